"""A shard or a ranker in another process, behind the client protocols: encode, call, decode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cluster.clients.local import failed
from cluster.codec.lookups import decode_lookup_reply, encode_lookup_query
from cluster.codec.messages import (
    decode_fetch_reply,
    decode_rank_reply,
    decode_shard_reply,
    encode_fetch_query,
    encode_query,
    encode_rank_query,
)
from cluster.codec.methods import FETCH, LOOKUP, PROBE, RANK, RETRIEVE
from cluster.codec.probes import decode_probe_reply, encode_probe_query
from cluster.deadline import Deadline
from cluster.errors import InvalidQuery
from cluster.lookup import LookupQuery, LookupReply
from cluster.probe import ProbeQuery, ProbeReply
from cluster.transport.channel import Channel
from cluster.transport.client_connection import Decode
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply

Q = TypeVar("Q")
R = TypeVar("R")


class RemoteClient:
    """What is called `name`, at the other end of a channel."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self.channel = channel

    def _call(
        self, method: int, query: Q, deadline: Deadline, *, encode: Callable[[Q], bytes], decode: Decode[R]
    ) -> asyncio.Future[R]:
        """The decoded reply. Fails with InvalidQuery if the query has no bytes; see `Channel.call` for the other errors."""
        try:
            body = encode(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(method, body, deadline, decode)


class RemoteShardClient(RemoteClient):
    """A `ShardClient` for one replica. Besides what the shard raises, calls raise what `Channel.call` says."""

    def retrieve(self, query: Query, deadline: Deadline) -> asyncio.Future[ShardReply]:
        return self._call(RETRIEVE, query, deadline, encode=encode_query, decode=decode_shard_reply)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> asyncio.Future[FetchReply]:
        decode = partial(decode_fetch_reply, n_rows=len(query.rows))
        return self._call(FETCH, query, deadline, encode=encode_fetch_query, decode=decode)

    def lookup(self, query: LookupQuery, deadline: Deadline) -> asyncio.Future[LookupReply]:
        decode = partial(decode_lookup_reply, n_keys=len(query.keys))
        return self._call(LOOKUP, query, deadline, encode=encode_lookup_query, decode=decode)

    def probe(self, query: ProbeQuery, deadline: Deadline) -> asyncio.Future[ProbeReply]:
        return self._call(PROBE, query, deadline, encode=encode_probe_query, decode=decode_probe_reply)


class RemoteRankerClient(RemoteClient):
    """A `RankerClient` for one ranker."""

    def rank(self, query: RankQuery, deadline: Deadline) -> asyncio.Future[RankReply]:
        decode = partial(decode_rank_reply, n_candidates=len(query.keys))
        return self._call(RANK, query, deadline, encode=encode_rank_query, decode=decode)
