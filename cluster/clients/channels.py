"""A shard or a ranker in another process, behind the client protocols: encode, call, decode."""

from __future__ import annotations

import asyncio
from functools import partial

from cluster.clients.in_process import failed
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
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply


class ShardChannel:
    """A `ShardClient` for one replica. Besides what the shard raises, calls raise what `Channel.call` says."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self.channel = channel

    def retrieve(self, query: Query, deadline: Deadline) -> asyncio.Future[ShardReply]:
        try:
            body = encode_query(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(RETRIEVE, body, deadline, decode_shard_reply)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> asyncio.Future[FetchReply]:
        try:
            body = encode_fetch_query(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(FETCH, body, deadline, partial(decode_fetch_reply, n_rows=len(query.rows)))

    def lookup(self, query: LookupQuery, deadline: Deadline) -> asyncio.Future[LookupReply]:
        try:
            body = encode_lookup_query(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(LOOKUP, body, deadline, partial(decode_lookup_reply, n_keys=len(query.keys)))

    def probe(self, query: ProbeQuery, deadline: Deadline) -> asyncio.Future[ProbeReply]:
        try:
            body = encode_probe_query(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(PROBE, body, deadline, decode_probe_reply)


class RankerChannel:
    """A `RankerClient` for one ranker."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self.channel = channel

    def rank(self, query: RankQuery, deadline: Deadline) -> asyncio.Future[RankReply]:
        try:
            body = encode_rank_query(query)
        except InvalidQuery as error:
            return failed(error)
        return self.channel.call(RANK, body, deadline, partial(decode_rank_reply, n_candidates=len(query.keys)))
