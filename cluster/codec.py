"""How the types of `cluster/types.py` and the error tree look as bytes: msgpack arrays, numpy arrays as raw bytes.

Every value is one msgpack array whose positions are the fields of a struct below. A numpy array travels as its raw
little-endian bytes; the field fixes the dtype. Nothing is ever unpickled. Decoding checks what later code relies on:
lengths that belong together, indices in range, ascending keys, finite vectors and scores. Feature matrices may hold
NaN, which means unknown. A body that fails raises InvalidQuery (a query that decodes but asks for the impossible) or
MalformedFrame, never anything foreign.

Decoded arrays are read-only views of the received bytes. It knows nothing of frames or sockets (`cluster/transport/`).
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Raw, ValidationError
from numpy.typing import NDArray

from cluster.errors import InternalError, InvalidQuery, MalformedFrame, OskolokError, from_wire, to_wire
from cluster.types import (
    EVERYTHING,
    Affinity,
    Ask,
    Condition,
    FetchQuery,
    FetchReply,
    Filter,
    Floats,
    Keys,
    Op,
    Query,
    RankQuery,
    RankReply,
    Seeds,
    ShardReply,
    SourceHits,
)

assert sys.byteorder == "little", "arrays are sent as this machine's own bytes, which have to be little-endian"

Name = Annotated[str, Meta(max_length=4_096)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Plain = str | int | float | bool | None | list[str | int | float | bool | None]
"""What a payload or an error's detail may hold. Tuples come back as lists."""

P = ParamSpec("P")
T = TypeVar("T")
Number = TypeVar("Number", np.int64, np.int32, np.float32, np.bool_)


class _Filter(msgspec.Struct, array_like=True):
    must: Annotated[list[tuple[Name, Op, tuple[str | int | float | bool, ...]]], Meta(max_length=64)]
    must_not: Annotated[list[tuple[Name, Op, tuple[str | int | float | bool, ...]]], Meta(max_length=64)]


class _Query(msgspec.Struct, array_like=True):
    generation: Name
    asks: Annotated[list[tuple[Name, Count, tuple[tuple[Name, float], ...]]], Meta(max_length=32)]
    filter: Raw
    exclude: bytes
    vectors: dict[Name, bytes]
    seeds: dict[Name, tuple[bytes, bytes, bytes]]
    profile: dict[Name, tuple[tuple[Name, ...], bytes]]
    group_by: Name = ""


class _Hits(msgspec.Struct, array_like=True):
    source: Name
    n_members: Count
    more: bool
    next_score: float
    next_key: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    strategy: Name
    took_us: float


class _ShardReply(msgspec.Struct, array_like=True):
    generation: Name
    shard: Count
    rows: bytes
    keys: bytes
    n_match: Count
    match: bytes
    sources: list[_Hits]
    members: bytes
    scores: bytes
    n_items: Count
    n_eligible: Count
    took_us: float
    queue_us: float
    groups: bytes = b""


class _FetchQuery(msgspec.Struct, array_like=True):
    generation: Name
    rows: bytes
    filter: Raw


class _FetchReply(msgspec.Struct, array_like=True):
    generation: Name
    item_ids: tuple[Name | int, ...]
    payloads: tuple[dict[Name, Plain], ...]
    eligible: bytes


class _RankQuery(msgspec.Struct, array_like=True):
    generation: Name
    schema_hash: Name
    keys: bytes
    n_match: Count
    match: bytes
    n_sources: Count
    source_scores: bytes
    source_ranks: bytes
    user: bytes
    context: bytes
    n_heavy: Count


class _RankReply(msgspec.Struct, array_like=True):
    order: bytes
    scores: bytes
    n_heavy: Count
    skipped: Name
    light_us: float
    heavy_us: float
    queue_us: float


class _Error(msgspec.Struct, array_like=True):
    name: Name
    message: str
    details: dict[Name, Plain]


_ENCODER = msgspec.msgpack.Encoder()
_FILTER = msgspec.msgpack.Decoder(_Filter)
_QUERY = msgspec.msgpack.Decoder(_Query)
_SHARD_REPLY = msgspec.msgpack.Decoder(_ShardReply)
_FETCH_QUERY = msgspec.msgpack.Decoder(_FetchQuery)
_FETCH_REPLY = msgspec.msgpack.Decoder(_FetchReply)
_RANK_QUERY = msgspec.msgpack.Decoder(_RankQuery)
_RANK_REPLY = msgspec.msgpack.Decoder(_RankReply)
_ERROR = msgspec.msgpack.Decoder(_Error)


def _refusing(refusal: type[OskolokError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decoders of bodies that do not fit raise `refusal`; of bodies that are not even msgpack, MalformedFrame."""

    def wrap(decode: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(decode)
        def decode_or_refuse(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return decode(*args, **kwargs)
            except ValidationError as error:
                raise refusal(f"{decode.__name__}: {error}") from None
            except (ValueError, RecursionError) as error:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
                raise MalformedFrame(f"{decode.__name__}: {error}") from None

        return decode_or_refuse

    return wrap


@functools.lru_cache(maxsize=64)
def encode_query(query: Query) -> bytes:
    """The query's bytes. Remembered by the query's identity, so that a fan-out to n shards encodes once."""
    return _encode_query(
        _Query(
            query.generation,
            [(ask.source, ask.k, ask.lists) for ask in query.asks],
            _encode_filter(query.filter),
            query.exclude.tobytes(),
            {space: vector.tobytes() for space, vector in query.vectors.items()},
            {name: (s.keys.tobytes(), s.weights.tobytes(), s.ages_days.tobytes()) for name, s in query.seeds.items()},
            {attribute: (a.values, a.weights.tobytes()) for attribute, a in query.profile.items()},
            query.group_by,
        )
    )


@_refusing(InvalidQuery)
def decode_query(body: bytes) -> Query:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _QUERY.decode(body)
    for source, _, lists in wire.asks:
        if not all(math.isfinite(weight) for _, weight in lists):
            raise ValidationError(f"a list of {source!r} has a weight that is not finite")
    return Query(
        generation=wire.generation,
        asks=tuple([Ask(source, k, lists) for source, k, lists in wire.asks]),
        filter=_decode_filter(bytes(wire.filter)),
        exclude=_ascending(_array(wire.exclude, np.int64, "exclude"), "exclude"),
        vectors={space: _finite(_array(raw, np.float32, "vector"), "vector") for space, raw in wire.vectors.items()},
        seeds={name: _seeds(*raw) for name, raw in wire.seeds.items()},
        profile={attribute: _affinity(values, raw) for attribute, (values, raw) in wire.profile.items()},
        group_by=wire.group_by,
    )


def encode_shard_reply(reply: ShardReply, *, queue_us: float) -> bytes:
    """The reply's bytes, with the time its query waited before the shard saw it."""
    sources = reply.sources
    return _encode_reply(
        _ShardReply(
            reply.generation,
            reply.shard,
            reply.rows.tobytes(),
            reply.keys.tobytes(),
            reply.match.shape[1],
            reply.match.tobytes(),
            [_Hits(s.source, len(s.members), s.more, s.next_score, s.next_key, s.strategy, s.took_us) for s in sources],
            b"".join([s.members.tobytes() for s in sources]),
            b"".join([s.scores.tobytes() for s in sources]),
            reply.n_items,
            reply.n_eligible,
            reply.took_us,
            queue_us,
            reply.groups.tobytes(),
        )
    )


@_refusing(MalformedFrame)
def decode_shard_reply(body: bytes) -> ShardReply:
    """The reply. Raises MalformedFrame."""
    wire = _SHARD_REPLY.decode(body)
    rows = _array(wire.rows, np.int32, "rows")
    members = _array(wire.members, np.int32, "members")
    scores = _finite(_array(wire.scores, np.float32, "scores", len(members)), "scores")
    _require(_all(rows >= 0), "a row is negative")
    _require(_all(members.view(np.uint32) < len(rows)), "a member is not a position in rows")
    sources, begin = [], 0
    for hits in wire.sources:
        end = begin + hits.n_members
        _require(math.isfinite(hits.next_score), "next_score is not finite")
        sources.append(
            SourceHits(
                hits.source,
                members[begin:end],
                scores[begin:end],
                hits.more,
                hits.next_score,
                hits.next_key,
                hits.strategy,
                hits.took_us,
            )
        )
        begin = end
    _require(begin == len(members), "members are not those of the sources")
    return ShardReply(
        wire.generation,
        wire.shard,
        rows,
        _ascending(_array(wire.keys, np.int64, "keys", len(rows)), "keys"),
        _matrix(wire.match, len(rows), wire.n_match, "match"),
        tuple(sources),
        wire.n_items,
        wire.n_eligible,
        wire.took_us,
        wire.queue_us,
        _array(wire.groups, np.int64, "groups", len(rows) if wire.groups else 0),
    )


def encode_fetch_query(query: FetchQuery) -> bytes:
    return _encode_query(_FetchQuery(query.generation, query.rows.tobytes(), _encode_filter(query.filter)))


@_refusing(InvalidQuery)
def decode_fetch_query(body: bytes) -> FetchQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _FETCH_QUERY.decode(body)
    return FetchQuery(wire.generation, _array(wire.rows, np.int32, "rows"), _decode_filter(bytes(wire.filter)))


def encode_fetch_reply(reply: FetchReply) -> bytes:
    payloads: tuple[dict[str, Any], ...] = reply.payloads
    return _encode_reply(_FetchReply(reply.generation, reply.item_ids, payloads, reply.eligible.tobytes()))


@_refusing(MalformedFrame)
def decode_fetch_reply(body: bytes, n_rows: int) -> FetchReply:
    """The reply to a query of n_rows rows. Raises MalformedFrame."""
    wire = _FETCH_REPLY.decode(body)
    _require(len(wire.item_ids) == len(wire.payloads) == n_rows, f"not the {n_rows} rows that were asked for")
    _require(max(wire.eligible, default=0) <= 1, "eligible holds more than 0 and 1")
    payloads: tuple[dict[str, Any], ...] = wire.payloads
    return FetchReply(wire.generation, wire.item_ids, payloads, _array(wire.eligible, np.bool_, "eligible", n_rows))


def encode_rank_query(query: RankQuery) -> bytes:
    return _encode_query(
        _RankQuery(
            query.generation,
            query.schema_hash,
            query.keys.tobytes(),
            query.match.shape[1],
            query.match.tobytes(),
            query.source_scores.shape[1],
            query.source_scores.tobytes(),
            query.source_ranks.tobytes(),
            query.user.tobytes(),
            query.context.tobytes(),
            query.n_heavy,
        )
    )


@_refusing(InvalidQuery)
def decode_rank_query(body: bytes) -> RankQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _RANK_QUERY.decode(body)
    keys = _array(wire.keys, np.int64, "keys")
    return RankQuery(
        wire.generation,
        wire.schema_hash,
        keys,
        _matrix(wire.match, len(keys), wire.n_match, "match"),
        _matrix(wire.source_scores, len(keys), wire.n_sources, "source_scores"),
        _matrix(wire.source_ranks, len(keys), wire.n_sources, "source_ranks"),
        _array(wire.user, np.float32, "user"),
        _array(wire.context, np.float32, "context"),
        wire.n_heavy,
    )


def encode_rank_reply(reply: RankReply, *, queue_us: float) -> bytes:
    """The reply's bytes, with the time its query waited before the ranker saw it."""
    order, scores = reply.order.tobytes(), reply.scores.tobytes()
    return _encode_reply(_RankReply(order, scores, reply.n_heavy, reply.skipped, reply.light_us, reply.heavy_us, queue_us))


@_refusing(MalformedFrame)
def decode_rank_reply(body: bytes, n_candidates: int) -> RankReply:
    """The reply to a query of n_candidates candidates. Raises MalformedFrame."""
    wire = _RANK_REPLY.decode(body)
    order = _array(wire.order, np.int32, "order", n_candidates)
    _require(_all(order.view(np.uint32) < n_candidates), "order is not a permutation")
    _require(_all(np.bincount(order, minlength=n_candidates) == 1), "order is not a permutation")
    _require(wire.n_heavy <= n_candidates, "n_heavy is larger than the number of candidates")
    scores = _finite(_array(wire.scores, np.float32, "scores", n_candidates), "scores")
    return RankReply(order, scores, wire.n_heavy, wire.skipped, wire.light_us, wire.heavy_us, wire.queue_us)


def encode_error(error: BaseException) -> bytes:
    """Any exception's bytes; see `errors.to_wire`. A detail that is not plain is sent as its text."""
    name, message, details = to_wire(error)
    message = message.encode(errors="replace").decode()[:4_096]
    try:
        body = _ENCODER.encode(_Error(name, message, dict(details)))  # type: ignore[arg-type]  # checked by the next line
        _ERROR.decode(body)
    except (TypeError, ValueError, OverflowError, RecursionError):
        texts: dict[str, Plain] = {key: ascii(value)[:4_096] for key, value in details.items()}
        body = _ENCODER.encode(_Error(name, message, texts))
    return body


@_refusing(MalformedFrame)
def decode_error(body: bytes) -> OskolokError:
    """The error, of the class it had where it was raised. Raises MalformedFrame."""
    wire = _ERROR.decode(body)
    return from_wire(wire.name, wire.message, dict(wire.details))


def _encode_filter(chosen: Filter) -> Raw:
    if chosen is EVERYTHING:
        return _RAW_EVERYTHING
    must = [(c.field, c.op, c.values) for c in chosen.must]
    must_not = [(c.field, c.op, c.values) for c in chosen.must_not]
    return Raw(_encode_query(_Filter(must, must_not)))


def _decode_filter(body: bytes) -> Filter:
    if body == _BYTES_EVERYTHING:
        return EVERYTHING
    return _decode_small_filter(body) if len(body) <= 4_096 else _decode_any_filter(body)


@functools.lru_cache(maxsize=4_096)
def _decode_small_filter(body: bytes) -> Filter:
    """Remembered by its bytes: few filters make up most of the traffic."""
    return _decode_any_filter(body)


def _decode_any_filter(body: bytes) -> Filter:
    wire = _FILTER.decode(body)
    for name, op, values in (*wire.must, *wire.must_not):
        _require(op == "in" or len(values) == 1, f"{op} on {name!r} takes one value, got {len(values)}")
        _require(len(values) <= 10_000, f"{op} on {name!r} has {len(values)} values, allowed are 10000")
        _require(all(math.isfinite(v) for v in values if type(v) is float), f"{op} on {name!r} has a value that is not finite")
    return Filter(tuple(Condition(*c) for c in wire.must), tuple(Condition(*c) for c in wire.must_not))


def _encode_query(wire: msgspec.Struct) -> bytes:
    try:
        return _ENCODER.encode(wire)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidQuery(f"cannot be sent: {error}") from None


def _encode_reply(wire: msgspec.Struct) -> bytes:
    try:
        return _ENCODER.encode(wire)
    except (TypeError, ValueError, OverflowError) as error:
        raise InternalError(f"cannot be sent: {error}") from None


def _seeds(keys: bytes, weights: bytes, ages_days: bytes) -> Seeds:
    owned: Keys = _array(keys, np.int64, "seed keys")
    return Seeds(
        owned,
        _finite(_array(weights, np.float32, "seed weights", len(owned)), "seed weights"),
        _finite(_array(ages_days, np.float32, "seed ages", len(owned)), "seed ages"),
    )


def _affinity(values: tuple[str, ...], weights: bytes) -> Affinity:
    return Affinity(values, _finite(_array(weights, np.float32, "profile weights", len(values)), "profile weights"))


def _array(raw: bytes, dtype: type[Number], name: str, length: int | None = None) -> NDArray[Number]:
    if len(raw) % _ITEM_BYTES[dtype]:
        raise ValidationError(f"{name} has {len(raw)} bytes, which is no whole number of {dtype.__name__}")
    array = np.frombuffer(raw, dtype)
    if length is not None and len(array) != length:
        raise ValidationError(f"{name} has {len(array)} entries, expected {length}")
    return array


def _matrix(raw: bytes, n_rows: int, n_columns: int, name: str) -> NDArray[np.float32]:
    return _array(raw, np.float32, name, n_rows * n_columns).reshape(n_rows, n_columns)


def _finite(array: Floats, name: str) -> Floats:
    _require(_all(np.isfinite(array)), f"{name} has an entry that is not finite")
    return array


def _ascending(keys: Keys, name: str) -> Keys:
    _require(_all(keys[1:] > keys[:-1]), f"{name} is not ascending and unique")
    return keys


def _all(mask: NDArray[np.bool_]) -> bool:
    return b"\0" not in mask.tobytes()  # a third of the time of mask.all(), which counts in small arrays


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValidationError(otherwise)


_ITEM_BYTES: Mapping[type[np.generic], int] = {np.int64: 8, np.int32: 4, np.float32: 4, np.bool_: 1}
_BYTES_EVERYTHING = _ENCODER.encode(_Filter([], []))
_RAW_EVERYTHING = Raw(_BYTES_EVERYTHING)
