"""What shard and ranker processes serve over the data plane: bytes in, the local object's work, bytes out.

`lookup` maps a generation's id to what serves it. It raises ShardLoading or RankerUnavailable while that is being
read, GenerationMismatch for a generation this process does not hold; the caller gets exactly that error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn

from cluster.clients.local import LocalRanker, LocalShard
from cluster.codec.lookups import decode_lookup_query, encode_lookup_reply
from cluster.codec.messages import (
    decode_fetch_query,
    decode_query,
    decode_rank_query,
    encode_fetch_reply,
    encode_rank_reply,
    encode_shard_reply,
)
from cluster.codec.methods import FETCH, LOOKUP, PROBE, RANK, RETRIEVE
from cluster.codec.probes import decode_probe_query, encode_probe_reply
from cluster.errors import InternalError, InvalidQuery, OskolokError
from cluster.serving.side_lane import SideLane
from cluster.transport.service import Call, Service
from cluster.types import RankQuery

_LOG = logging.getLogger(__name__)

PROBES_MAX = 8
"""Probes of one shard that may wait or run at once: as many as two routers let in (`router.why.inquiry.IN_FLIGHT_MAX`)."""


def shard_service(lookup: Callable[[str], LocalShard]) -> Service:
    """Serves RETRIEVE, FETCH and LOOKUP, one call after the other, and PROBE beside them: it scans what retrieving need not."""
    probing = SideLane("probe", waiting_max=PROBES_MAX)

    def retrieve(call: Call) -> bytes:
        query = decode_query(call.body)
        return encode_shard_reply(lookup(query.generation).retrieve(query), queue_us=call.queued_us)

    def fetch(call: Call) -> bytes:
        query = decode_fetch_query(call.body)
        return encode_fetch_reply(lookup(query.generation).fetch(query))

    def look_up(call: Call) -> bytes:
        query = decode_lookup_query(call.body)
        return encode_lookup_reply(lookup(query.generation).lookup(query))

    def probe(call: Call) -> bytes:
        query = decode_probe_query(call.body)
        return encode_probe_reply(lookup(query.query.generation).probe(query))

    methods = {RETRIEVE: retrieve, FETCH: fetch, LOOKUP: look_up}

    def serve(calls: Sequence[Call]) -> None:
        for call in calls:
            if call.method == PROBE:
                probing.take(call, probe, failed=_fail)
                continue
            try:
                body = methods.get(call.method, _unknown)(call)
            except Exception as error:
                _fail(call, error)
            else:
                call.reply(body)

    return serve


def ranker_service(lookup: Callable[[str], LocalRanker]) -> Service:
    """Serves RANK: the calls of one generation that wait together are ranked together."""

    def serve(calls: Sequence[Call]) -> None:
        waiting: dict[str, list[tuple[Call, RankQuery]]] = {}
        for call in calls:
            try:
                query = decode_rank_query(call.body) if call.method == RANK else _unknown(call)
            except Exception as error:
                _fail(call, error)
            else:
                waiting.setdefault(query.generation, []).append((call, query))
        for generation, batch in waiting.items():
            _rank(lookup, generation, batch)

    return serve


def _rank(lookup: Callable[[str], LocalRanker], generation: str, batch: list[tuple[Call, RankQuery]]) -> None:
    """Each reply is written as soon as it is known, hence sent before the work for the next one begins."""
    calls = [call for call, _ in batch]
    try:
        remaining_ms = [call.deadline.remaining_ms() for call in calls]
        for at, outcome in lookup(generation).rank([query for _, query in batch], remaining_ms):
            if isinstance(outcome, OskolokError):
                _fail(calls[at], outcome)
            else:
                calls[at].reply(encode_rank_reply(outcome, queue_us=calls[at].queued_us))
        assert all(call.answered for call in calls), f"the ranker left some of {len(calls)} queries without an outcome"
    except Exception as error:
        for call in calls:
            if not call.answered:
                _fail(call, error)


def _unknown(call: Call) -> NoReturn:
    raise InvalidQuery(f"unknown method {call.method}")


def _fail(call: Call, error: Exception) -> None:
    if not isinstance(error, OskolokError) or isinstance(error, InternalError):
        _LOG.error("method %d failed", call.method, exc_info=error)
    call.fail(error)
