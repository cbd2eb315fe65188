"""The encoding of the types in `cluster/types.py` and of the error tree: msgpack arrays, and numpy arrays as raw bytes.

Every value is one msgpack array whose positions are the fields of a struct in `cluster/codec/fields.py`. A numpy array travels
as its raw little-endian bytes; the field fixes the dtype. Many small arrays travel joined, so that they are read and checked as
one array; the counts beside their names separate them again. Nothing is ever unpickled. Decoding checks what later code needs:
lengths that belong together, indices in range, ascending keys, finite vectors and scores. Feature matrices may hold NaN, which
means unknown. A body that fails raises InvalidQuery (a query that decodes but asks for the impossible) or MalformedFrame, never
anything foreign.

Decoded arrays are read-only views of the received bytes. It knows nothing of frames or sockets (`cluster/transport/`).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import msgspec
import numpy as np
from msgspec import ValidationError

from cluster.codec.fields import (
    Pieces,
    Plain,
    WireError,
    WireFetchQuery,
    WireFetchReply,
    WireHits,
    WireQuery,
    WireRankQuery,
    WireRankReply,
    WireShardReply,
    array_of,
    ascending,
    every,
    finite,
    joined,
    matrix_of,
    refusing,
    require,
    sent_query,
    sent_reply,
)
from cluster.codec.filters import decode_filter, encode_filter, filter_of, wire_filter
from cluster.errors import InvalidQuery, MalformedFrame, OskolokError, from_wire, to_wire
from cluster.order import all_finite
from cluster.types import (
    Affinity,
    Ask,
    FetchQuery,
    FetchReply,
    Query,
    RankQuery,
    RankReply,
    Seeds,
    ShardReply,
    SourceHits,
    UnknownValue,
)

_ENCODER = msgspec.msgpack.Encoder()
_QUERY = msgspec.msgpack.Decoder(WireQuery)
_SHARD_REPLY = msgspec.msgpack.Decoder(WireShardReply)
_FETCH_QUERY = msgspec.msgpack.Decoder(WireFetchQuery)
_FETCH_REPLY = msgspec.msgpack.Decoder(WireFetchReply)
_RANK_QUERY = msgspec.msgpack.Decoder(WireRankQuery)
_RANK_REPLY = msgspec.msgpack.Decoder(WireRankReply)
_ERROR = msgspec.msgpack.Decoder(WireError)


@functools.lru_cache(maxsize=64)
def encode_query(query: Query) -> bytes:
    """The query's bytes. Remembered by the query's identity, so that a fan-out to n shards encodes once."""
    seeds = query.seeds.values()
    floats = [*query.vectors.values()]
    floats += [array for s in seeds for array in (s.weights, s.ages_days)]
    floats += [affinity.weights for affinity in query.profile.values()]
    return sent_query(
        WireQuery(
            query.generation,
            [(ask.source, ask.k, ask.lists) for ask in query.asks],
            encode_filter(query.filter),
            query.exclude.tobytes(),
            {space: len(vector) for space, vector in query.vectors.items()},
            {name: len(s.keys) for name, s in query.seeds.items()},
            {attribute: affinity.values for attribute, affinity in query.profile.items()},
            joined([s.keys for s in seeds]),
            joined(floats),
            query.include.tobytes(),
            query.group_by,
            tuple([wire_filter(mark) for mark in query.marks]),
            query.cap,
            query.named.tobytes(),
        )
    )


@refusing(InvalidQuery)
def decode_query(body: bytes) -> Query:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _QUERY.decode(body)
    require(wire.cap == 0 or len(wire.group_by) > 0, "a cap needs an attribute whose groups it caps")
    for source, _, lists in wire.asks:
        if not all(math.isfinite(weight) for _, weight in lists):
            raise ValidationError(f"a list of {source!r} has a weight that is not finite")
    seed_keys = Pieces(array_of(wire.seed_keys, np.int64, "seed_keys"), "seed_keys")
    floats = Pieces(finite(array_of(wire.floats, np.float32, "floats"), "floats"), "floats")
    query = Query(
        generation=wire.generation,
        asks=tuple([Ask(source, k, lists) for source, k, lists in wire.asks]),
        filter=decode_filter(bytes(wire.filter)),
        exclude=ascending(array_of(wire.exclude, np.int64, "exclude"), "exclude"),
        vectors={space: floats.take(n) for space, n in wire.vectors.items()},
        seeds={name: Seeds(seed_keys.take(n), floats.take(n), floats.take(n)) for name, n in wire.seeds.items()},
        profile={attribute: Affinity(values, floats.take(len(values))) for attribute, values in wire.profile.items()},
        include=ascending(array_of(wire.include, np.int64, "include"), "include"),
        group_by=wire.group_by,
        marks=tuple([filter_of(mark) for mark in wire.marks]),
        cap=wire.cap,
        named=ascending(array_of(wire.named, np.int64, "named"), "named"),
    )
    seed_keys.end()
    floats.end()
    return query


def encode_shard_reply(reply: ShardReply, *, queue_us: float) -> bytes:
    """The reply's bytes, with the time its query waited before the shard saw it."""
    sources = reply.sources
    n_facts, facts = (0, b"") if reply.facts is None else (reply.facts.shape[1], reply.facts.tobytes())
    return sent_reply(
        WireShardReply(
            reply.generation,
            reply.shard,
            reply.rows.tobytes(),
            reply.keys.tobytes(),
            reply.match.shape[1],
            reply.match.tobytes(),
            [WireHits(s.source, len(s.members), s.more, s.next_score, s.next_key, s.strategy, s.took_us) for s in sources],
            joined([s.members for s in sources]),
            joined([s.scores for s in sources]),
            reply.n_items,
            reply.n_eligible,
            reply.took_us,
            queue_us,
            n_facts,
            facts,
            reply.named.tobytes(),
            tuple([(unknown.field, unknown.value, unknown.did_you_mean) for unknown in reply.unknown_values]),
        )
    )


@refusing(MalformedFrame)
def decode_shard_reply(body: bytes) -> ShardReply:
    """The reply. Raises MalformedFrame."""
    wire = _SHARD_REPLY.decode(body)
    rows = array_of(wire.rows, np.int32, "rows")
    all_members = array_of(wire.members, np.int32, "members")
    require(every(rows >= 0), "a row is negative")
    require(every(all_members.view(np.uint32) < len(rows)), "a member is not a position in rows")
    members = Pieces(all_members, "members")
    scores = Pieces(finite(array_of(wire.scores, np.float32, "scores"), "scores"), "scores")
    sources = []
    for hits in wire.sources:
        require(math.isfinite(hits.next_score), "next_score is not finite")
        sources.append(
            SourceHits(
                hits.source,
                members.take(hits.n_members),
                scores.take(hits.n_members),
                hits.more,
                hits.next_score,
                hits.next_key,
                hits.strategy,
                hits.took_us,
            )
        )
    members.end()
    scores.end()
    return ShardReply(
        wire.generation,
        wire.shard,
        rows,
        ascending(array_of(wire.keys, np.int64, "keys", len(rows)), "keys"),
        matrix_of(wire.match, len(rows), wire.n_match, "match"),
        tuple(sources),
        wire.n_items,
        wire.n_eligible,
        wire.took_us,
        wire.queue_us,
        array_of(wire.facts, np.int64, "facts", len(rows) * wire.n_facts).reshape(-1, wire.n_facts) if wire.n_facts else None,
        ascending(array_of(wire.named, np.int64, "named"), "named"),
        tuple([UnknownValue(*unknown) for unknown in wire.unknown_values]),
    )


def encode_fetch_query(query: FetchQuery) -> bytes:
    return sent_query(WireFetchQuery(query.generation, query.rows.tobytes(), encode_filter(query.filter), query.vectors))


@refusing(InvalidQuery)
def decode_fetch_query(body: bytes) -> FetchQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _FETCH_QUERY.decode(body)
    return FetchQuery(wire.generation, array_of(wire.rows, np.int32, "rows"), decode_filter(bytes(wire.filter)), wire.vectors)


def encode_fetch_reply(reply: FetchReply) -> bytes:
    payloads: tuple[dict[str, Any], ...] = reply.payloads
    vectors = () if reply.vectors is None else (reply.vectors.shape[1], reply.vectors.tobytes())
    return sent_reply(WireFetchReply(reply.generation, reply.item_ids, payloads, reply.eligible.tobytes(), *vectors))


@refusing(MalformedFrame)
def decode_fetch_reply(body: bytes, n_rows: int) -> FetchReply:
    """The reply to a query of n_rows rows. Raises MalformedFrame."""
    wire = _FETCH_REPLY.decode(body)
    require(len(wire.item_ids) == len(wire.payloads) == n_rows, f"not the {n_rows} rows that were asked for")
    require(max(wire.eligible, default=0) <= 1, "eligible holds more than 0 and 1")
    payloads: tuple[dict[str, Any], ...] = wire.payloads
    eligible = array_of(wire.eligible, np.bool_, "eligible", n_rows)
    vectors = matrix_of(wire.vectors, n_rows, wire.dim, "vectors") if wire.dim else None
    require(vectors is None or all_finite(vectors), "vectors has an entry that is not finite")
    return FetchReply(wire.generation, wire.item_ids, payloads, eligible, vectors)


def encode_rank_query(query: RankQuery) -> bytes:
    return sent_query(
        WireRankQuery(
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


@refusing(InvalidQuery)
def decode_rank_query(body: bytes) -> RankQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _RANK_QUERY.decode(body)
    keys = array_of(wire.keys, np.int64, "keys")
    return RankQuery(
        wire.generation,
        wire.schema_hash,
        keys,
        matrix_of(wire.match, len(keys), wire.n_match, "match"),
        matrix_of(wire.source_scores, len(keys), wire.n_sources, "source_scores"),
        matrix_of(wire.source_ranks, len(keys), wire.n_sources, "source_ranks"),
        array_of(wire.user, np.float32, "user"),
        array_of(wire.context, np.float32, "context"),
        wire.n_heavy,
    )


def encode_rank_reply(reply: RankReply, *, queue_us: float) -> bytes:
    """The reply's bytes, with the time its query waited before the ranker saw it."""
    order, scores = reply.order.tobytes(), reply.scores.tobytes()
    return sent_reply(WireRankReply(order, scores, reply.n_heavy, reply.skipped, reply.light_us, reply.heavy_us, queue_us))


@refusing(MalformedFrame)
def decode_rank_reply(body: bytes, n_candidates: int) -> RankReply:
    """The reply to a query of n_candidates candidates. Raises MalformedFrame."""
    wire = _RANK_REPLY.decode(body)
    order = array_of(wire.order, np.int32, "order", n_candidates)
    require(every(order.view(np.uint32) < n_candidates), "order is not a permutation")
    require(every(np.bincount(order, minlength=n_candidates) == 1), "order is not a permutation")
    require(wire.n_heavy <= n_candidates, "n_heavy is larger than the number of candidates")
    scores = finite(array_of(wire.scores, np.float32, "scores", n_candidates), "scores")
    return RankReply(order, scores, wire.n_heavy, wire.skipped, wire.light_us, wire.heavy_us, wire.queue_us)


def encode_error(error: BaseException) -> bytes:
    """Any exception's bytes; see `errors.to_wire`. A detail that is not plain is sent as its text."""
    name, message, details = to_wire(error)
    message = message.encode(errors="replace").decode()[:4_096]
    try:
        body = _ENCODER.encode(WireError(name, message, dict(details)))  # type: ignore[arg-type]  # checked by the next line
        _ERROR.decode(body)
    except (TypeError, ValueError, OverflowError, RecursionError):
        texts: dict[str, Plain] = {key: ascii(value)[:4_096] for key, value in details.items()}
        body = _ENCODER.encode(WireError(name, message, texts))
    return body


@refusing(MalformedFrame)
def decode_error(body: bytes) -> OskolokError:
    """The error, of the class it had where it was raised. Raises MalformedFrame."""
    wire = _ERROR.decode(body)
    return from_wire(wire.name, wire.message, dict(wire.details))
