"""The encoding of filters. Most queries have none, and a few filters make up most of the rest: both are cached."""

from __future__ import annotations

import functools
import math

import msgspec
from msgspec import Raw

from cluster.codec.fields import WireCondition, WireFilter, require, sent_query
from cluster.filtering import EVERYTHING, GROUPS, Condition, Filter

_FILTER = msgspec.msgpack.Decoder(WireFilter)
_FILTER_DEPTH_MAX = 16
_BYTES_EVERYTHING = msgspec.msgpack.encode(WireFilter([], []))
_EVERYTHING = Raw(_BYTES_EVERYTHING)


def encode_filter(chosen: Filter) -> Raw:
    """A filter as a part of a query."""
    if chosen is EVERYTHING:
        return _EVERYTHING
    return Raw(sent_query(wire_filter(chosen)))


def wire_filter(chosen: Filter) -> WireFilter:
    return WireFilter([*map(_wire_condition, chosen.must)], [*map(_wire_condition, chosen.must_not)])


def _wire_condition(c: Condition) -> WireCondition:
    return WireCondition(c.field, c.op, c.values, tuple([_wire_condition(part) for part in c.parts]))


def decode_filter(body: bytes) -> Filter:
    """The filter of a query's part; of a nesting and a size that a shard can bear, or ValidationError."""
    if body == _BYTES_EVERYTHING:
        return EVERYTHING
    return _decode_small_filter(body) if len(body) <= 4_096 else _decode_any_filter(body)


@functools.lru_cache(maxsize=4_096)
def _decode_small_filter(body: bytes) -> Filter:
    """Remembered by its bytes: few filters make up most of the traffic."""
    return _decode_any_filter(body)


def _decode_any_filter(body: bytes) -> Filter:
    return filter_of(_FILTER.decode(body))


def filter_of(wire: WireFilter) -> Filter:
    return Filter(tuple([_condition_of(c) for c in wire.must]), tuple([_condition_of(c) for c in wire.must_not]))


def _condition_of(wire: WireCondition, depth: int = 1) -> Condition:
    op, name, values = wire.op, wire.field, wire.values
    if op in GROUPS:
        require(len(wire.parts) > 0 and not values, f"{op} takes conditions, not values")
        require(depth < _FILTER_DEPTH_MAX, f"conditions are nested deeper than {_FILTER_DEPTH_MAX}")
        return Condition(name, op, (), tuple([_condition_of(part, depth + 1) for part in wire.parts]))
    require(not wire.parts, f"{op} on {name!r} takes values, not conditions")
    require(op == "in" or len(values) == 1, f"{op} on {name!r} takes one value, got {len(values)}")
    require(len(values) <= 10_000, f"{op} on {name!r} has {len(values)} values, allowed are 10000")
    require(all(math.isfinite(v) for v in values if type(v) is float), f"{op} on {name!r} has a value that is not finite")
    return Condition(name, op, values)
