"""The protocols by which a router calls shards and rankers, the same for a local object, a connection, a replica set, a fake.

Calls return awaitables at once, so that a caller can start all of them before it waits for any. They raise only errors
of `cluster/errors.py`. A cancelled call does no harm: its late reply is dropped by whoever holds the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from cluster.deadline import Deadline
from cluster.lookup import LookupQuery, LookupReply
from cluster.probe import ProbeQuery, ProbeReply
from cluster.spec import GenerationSpec
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply


class ShardClient(Protocol):
    """One shard of the catalogue."""

    @property
    def name(self) -> str:
        """Whom a caller is talking to, for coverage and logs."""
        ...

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        """This shard's best candidates."""
        ...

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        """Payloads of some of this shard's rows."""
        ...

    def lookup(self, query: LookupQuery, deadline: Deadline) -> Awaitable[LookupReply]:
        """Which of some items this shard holds, and their vectors."""
        ...

    def probe(self, query: ProbeQuery, deadline: Deadline) -> Awaitable[ProbeReply]:
        """How one item stands in this shard, or among its items."""
        ...


class RankerClient(Protocol):
    """A ranker, or a pool of them."""

    @property
    def name(self) -> str: ...

    def rank(self, query: RankQuery, deadline: Deadline) -> Awaitable[RankReply]:
        """The order of the candidates."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """Everything one request talks to, taken once when it begins: one generation, one topology version.

    shards[i] answers for shard i.  ranker is None where none is configured.
    """

    version: int
    spec: GenerationSpec
    shards: tuple[ShardClient, ...]
    ranker: RankerClient | None
