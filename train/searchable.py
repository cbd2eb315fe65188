"""Shards in this process, asked for candidates and for the vectors of a session's items, as a router asks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cluster.lookup import LookupQuery, LookupReply
from cluster.types import Floats, Query, ShardReply, UserRecord
from router.planning.session import session_of
from router.planning.setup import Setup
from router.request import Request


class Searchable(Protocol):
    """`shard.shard.Shard`, as far as it is used here."""

    def retrieve(self, query: Query) -> ShardReply: ...

    def lookup(self, query: LookupQuery) -> LookupReply: ...


def session_here(request: Request, record: UserRecord | None, shards: Sequence[Searchable], setup: Setup) -> dict[str, Floats]:
    """Vectors by space, from the session, for a user without one in the store, computed as a router does."""
    session = session_of(request, record, setup)
    return session.vectors({at: shards[at].lookup(query) for at, query in session.queries.items()})
