"""How `cluster/probe.py` looks as bytes: msgpack arrays like those of `cluster/codec/messages.py`, refused for the same
reasons.

The query inside travels as the very bytes that a retrieval sends.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, ValidationError

from cluster.codec.fields import Count, Name, Plain, array_of, finite, refusing, require, sent_query, sent_reply
from cluster.codec.messages import decode_query, encode_query
from cluster.errors import InvalidQuery, MalformedFrame
from cluster.probe import ProbedItem, ProbeQuery, ProbeReply

_Key = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class WireProbeQuery(msgspec.Struct, array_like=True):
    query: bytes
    key: _Key
    scores: dict[Name, float]


class WireProbedItem(msgspec.Struct, array_like=True):
    row: Count
    item_id: Name | int
    payload: dict[Name, Plain]
    failed: tuple[Name, ...]
    excluded: bool
    values: dict[Name, Plain]
    scores: dict[Name, float]
    match: bytes
    facts: bytes | None = None


class WireProbeReply(msgspec.Struct, array_like=True):
    generation: Name
    shard: Count
    item: WireProbedItem | None
    before: dict[Name, Count]
    held: dict[Name, Count]
    took_us: float


_QUERY = msgspec.msgpack.Decoder(WireProbeQuery)
_REPLY = msgspec.msgpack.Decoder(WireProbeReply)


def encode_probe_query(probe: ProbeQuery) -> bytes:
    return sent_query(WireProbeQuery(encode_query(probe.query), probe.key, dict(probe.scores)))


@refusing(InvalidQuery)
def decode_probe_query(body: bytes) -> ProbeQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _QUERY.decode(body)
    require(all(math.isfinite(score) for score in wire.scores.values()), "a score is not finite")
    return ProbeQuery(decode_query(wire.query), wire.key, wire.scores)


def encode_probe_reply(reply: ProbeReply) -> bytes:
    return sent_reply(
        WireProbeReply(
            reply.generation,
            reply.shard,
            None if reply.item is None else _wire_item(reply.item),
            dict(reply.before),
            dict(reply.held),
            reply.took_us,
        )
    )


@refusing(MalformedFrame)
def decode_probe_reply(body: bytes) -> ProbeReply:
    """The reply. Raises MalformedFrame."""
    wire = _REPLY.decode(body)
    item = None if wire.item is None else _item(wire.item)
    return ProbeReply(wire.generation, wire.shard, item, wire.before, wire.held, wire.took_us)


def _wire_item(item: ProbedItem) -> WireProbedItem:
    payload: dict[str, Any] = dict(item.payload)
    return WireProbedItem(
        item.row,
        item.item_id,
        payload,
        item.failed,
        item.excluded,
        dict(item.values),
        dict(item.scores),
        item.match.tobytes(),
        None if item.facts is None else item.facts.tobytes(),
    )


def _item(wire: WireProbedItem) -> ProbedItem:
    if not all(math.isfinite(score) for score in wire.scores.values()):
        raise ValidationError("a score is not finite")
    return ProbedItem(
        wire.row,
        wire.item_id,
        wire.payload,
        wire.failed,
        wire.excluded,
        wire.values,
        wire.scores,
        finite(array_of(wire.match, np.float32, "match"), "match"),
        None if wire.facts is None else array_of(wire.facts, np.int64, "facts"),
    )
