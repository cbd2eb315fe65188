"""Everything that travels comes back as it was; nothing that is malformed comes back as anything but an error of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.codec import messages as codec
from cluster.errors import InternalError, InvalidQuery, MalformedFrame, OskolokError
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply
from tests.cluster import making
from tests.cluster.making import same

quickly = settings(max_examples=60, deadline=None)

DECODERS: dict[str, Callable[[bytes], object]] = {
    "query": codec.decode_query,
    "shard reply": codec.decode_shard_reply,
    "fetch query": codec.decode_fetch_query,
    "fetch reply": lambda body: codec.decode_fetch_reply(body, 2),
    "rank query": codec.decode_rank_query,
    "rank reply": lambda body: codec.decode_rank_reply(body, 2),
    "error": codec.decode_error,
}


@quickly
@given(making.queries)
def test_queries_come_back(query: Query) -> None:
    body = codec.encode_query(query)
    assert same(codec.decode_query(body), query)
    generation, asks, must_and_not, exclude, *_ = msgpack.unpackb(body)
    assert generation == query.generation
    assert [ask[:2] for ask in asks] == [[ask.source, ask.k] for ask in query.asks]
    assert [len(conditions) for conditions in must_and_not] == [len(query.filter.must), len(query.filter.must_not)]
    assert np.frombuffer(exclude, "<i8").tolist() == query.exclude.tolist()


@quickly
@given(making.shard_replies(), making.doubles)
def test_shard_replies_come_back_with_their_queue_time(reply: ShardReply, queue_us: float) -> None:
    body = codec.encode_shard_reply(reply, queue_us=queue_us)
    came = codec.decode_shard_reply(body)
    assert came.queue_us == queue_us
    assert same(codec.decode_shard_reply(codec.encode_shard_reply(came, queue_us=reply.queue_us)), reply)
    assert np.frombuffer(msgpack.unpackb(body)[5], "<f4").tobytes() == reply.match.tobytes()


@quickly
@given(making.fetch_queries)
def test_fetch_queries_come_back(query: FetchQuery) -> None:
    body = codec.encode_fetch_query(query)
    assert same(codec.decode_fetch_query(body), query)
    assert np.frombuffer(msgpack.unpackb(body)[1], "<i4").tolist() == query.rows.tolist()


@quickly
@given(making.fetch_replies())
def test_fetch_replies_come_back(reply: FetchReply) -> None:
    body = codec.encode_fetch_reply(reply)
    assert same(codec.decode_fetch_reply(body, len(reply.item_ids)), reply)
    assert msgpack.unpackb(body)[1] == list(reply.item_ids)


@quickly
@given(making.rank_queries())
def test_rank_queries_come_back(query) -> None:
    body = codec.encode_rank_query(query)
    assert same(codec.decode_rank_query(body), query)
    assert msgpack.unpackb(body)[1] == query.schema_hash


@quickly
@given(making.rank_replies())
def test_rank_replies_come_back(reply: RankReply) -> None:
    body = codec.encode_rank_reply(reply, queue_us=reply.queue_us)
    assert same(codec.decode_rank_reply(body, len(reply.order)), reply)
    assert np.frombuffer(msgpack.unpackb(body)[0], "<i4").tolist() == reply.order.tolist()


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_refused_by_name(name: str, body: bytes) -> None:
    with contextlib.suppress(MalformedFrame, InvalidQuery):
        DECODERS[name](body)


GOOD: dict[str, bytes] = {
    "query": codec.encode_query(
        Query("g", (), Filter((Condition("a", "in", (1, "b")),)), np.array([1, 2]), {"s": np.ones(2, "f4")})
    ),
    "shard reply": codec.encode_shard_reply(
        ShardReply("g", 0, np.arange(2, dtype="i4"), np.arange(2), np.ones((2, 1), "f4"), (), 9, 9, 1.0), queue_us=1.0
    ),
    "fetch query": codec.encode_fetch_query(FetchQuery("g", np.arange(2, dtype="i4"))),
    "fetch reply": codec.encode_fetch_reply(FetchReply("g", ("a", 2), ({"n": [1, "x"]}, {}), np.array([True, False]))),
    "rank query": codec.encode_rank_query(
        RankQuery("g", "hash", np.arange(2), np.ones((2, 3), "f4"), *[np.ones((2, 1), "f4")] * 2, *[np.ones(1, "f4")] * 2, 1)
    ),
    "rank reply": codec.encode_rank_reply(
        RankReply(np.array([1, 0], "i4"), np.ones(2, "f4"), 1, "", 1.0, 1.0, 0.0), queue_us=1.0
    ),
    "error": codec.encode_error(InvalidQuery("no", field="/k", allowed=[1, 2])),
}


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_spoilt_bodies_decode_or_are_refused_by_name(name: str, data: st.DataObject) -> None:
    body = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(body), data.draw(st.integers(0, len(body)))]))
    with contextlib.suppress(MalformedFrame, InvalidQuery):
        DECODERS[name](bytes(body[:cut]))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "bomb",
    [b"\x91" * 200_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc7\x08\x01" + b"x" * 8],
    ids=["nested", "array of 2^32", "map of 2^32", "string of 2^32", "extension type"],
)
def test_bombs_are_refused(name: str, bomb: bytes) -> None:
    with pytest.raises(MalformedFrame if name.endswith("reply") or name == "error" else OskolokError):
        DECODERS[name](bomb)


def spoil(name: str, **positions: object) -> bytes:
    """A good body with the values at some positions (`at3=...`) replaced."""
    fields = msgpack.unpackb(GOOD[name])
    for position, value in positions.items():
        fields[int(position.removeprefix("at"))] = value
    return msgpack.packb(fields)


f32 = np.float32


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (spoil("query", at1=[["ann", -1, []]]), "k|>= 0"),
        (spoil("query", at1=[["ann", 1.5, []]]), "int"),
        (spoil("query", at1=[["tops", 1, [["7d", float("nan")]]]]), "not finite"),
        (spoil("query", at1=[["ann", 1, []]] * 257), "length"),
        (spoil("query", at12=2), "a cap needs an attribute"),
        (spoil("query", at2=[[["a", "eq", [1, 2]]], []]), "takes one value"),
        (spoil("query", at2=[[["a", "like", ["x"]]], []]), "like"),
        (spoil("query", at2=[[["a", "gt", [float("inf")]]], []]), "not finite"),
        (spoil("query", at2=[[["a", "in", ["x"] * 10_001]], []]), "10001 values"),
        (spoil("query", at2=[[["a", "eq", ["x"]]] * 65, []]), "length"),
        (spoil("query", at3=b"1234567"), "whole number of int64"),
        (spoil("query", at3=np.array([2, 1]).tobytes()), "ascending"),
        (spoil("query", at3=np.array([1, 1]).tobytes()), "unique"),
        (spoil("query", at8=np.array([1, np.nan], f32).tobytes()), "not finite"),
        (spoil("query", at8=np.array([1, np.inf], f32).tobytes()), "not finite"),
        (spoil("query", at4={"s": 3}), "floats has 2 entries, at least 3"),
        (spoil("query", at4={}), "floats has 2 entries, 0 were announced"),
        (spoil("query", at4={"s": -1}), ">= 0"),
        (spoil("query", at5={"history": 1}), "seed_keys has 0 entries, at least 1"),
        (spoil("query", at7=bytes(8)), "seed_keys has 1 entries, 0 were announced"),
        (spoil("query", at6={"store": ["a"]}), "floats has 2 entries, at least 3"),
        (spoil("fetch query", at1=b"123"), "whole number of int32"),
        (spoil("rank query", at3=4), "6 entries, expected 8"),
        (spoil("rank query", at5=2), "2 entries, expected 4"),
        (spoil("rank query", at10=-1), ">= 0"),
    ],
)
def test_queries_that_ask_the_impossible_are_invalid(body: bytes, complaint: str) -> None:
    decode = {14: codec.decode_query, 4: codec.decode_fetch_query, 11: codec.decode_rank_query}[len(msgpack.unpackb(body))]
    with pytest.raises(InvalidQuery, match=complaint):
        decode(body)


HITS = ["ann", 1, False, 0.0, 0, "exact", 1.0]
ONE_MEMBER = {"at7": np.array([1], np.int32).tobytes(), "at8": np.array([1], f32).tobytes()}


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("shard reply", spoil("shard reply", at2=np.array([0, -1], np.int32).tobytes()), "negative"),
        ("shard reply", spoil("shard reply", at3=np.array([5, 5]).tobytes()), "ascending"),
        ("shard reply", spoil("shard reply", at3=b""), "0 entries, expected 2"),
        ("shard reply", spoil("shard reply", at4=2), "2 entries, expected 4"),
        ("shard reply", spoil("shard reply", at4=2**31 - 1), "2 entries, expected"),
        ("shard reply", spoil("shard reply", at6=[HITS]), "members has 0 entries, at least 1"),
        ("shard reply", spoil("shard reply", **ONE_MEMBER), "members has 1 entries, 0 were announced"),
        ("shard reply", spoil("shard reply", **ONE_MEMBER | {"at7": b"\2\0\0\0"}), "not a position"),
        ("shard reply", spoil("shard reply", **ONE_MEMBER | {"at7": b"\xff\xff\xff\xff"}), "not a position"),
        ("shard reply", spoil("shard reply", **ONE_MEMBER | {"at8": np.array([np.nan], f32).tobytes()}), "not finite"),
        ("shard reply", spoil("shard reply", at6=[["ann", 0, True, float("nan"), 0, "", 1.0]]), "next_score"),
        ("fetch reply", spoil("fetch reply", at1=["a"]), "not the 2 rows"),
        ("fetch reply", spoil("fetch reply", at3=b"\1"), "1 entries, expected 2"),
        ("fetch reply", spoil("fetch reply", at3=b"\1\2"), "more than 0 and 1"),
        ("fetch reply", spoil("fetch reply", at2=[{"n": {"deep": 1}}, {}]), "object"),
        ("rank reply", spoil("rank reply", at0=np.array([0, 0], np.int32).tobytes()), "permutation"),
        ("rank reply", spoil("rank reply", at0=np.array([0, -1], np.int32).tobytes()), "permutation"),
        ("rank reply", spoil("rank reply", at0=np.array([0, 2], np.int32).tobytes()), "permutation"),
        ("rank reply", spoil("rank reply", at0=np.array([0], np.int32).tobytes()), "1 entries, expected 2"),
        ("rank reply", spoil("rank reply", at1=np.array([0, np.inf], f32).tobytes()), "not finite"),
        ("rank reply", spoil("rank reply", at2=3), "n_heavy"),
    ],
)
def test_replies_that_contradict_themselves_are_malformed(name: str, body: bytes, complaint: str) -> None:
    with pytest.raises(MalformedFrame, match=complaint):
        DECODERS[name](body)


def test_a_cap_comes_back_with_its_groups() -> None:
    query = Query("g", (), group_by=("brand", "color"), cap=3)
    assert same(codec.decode_query(codec.encode_query(query)), query)


def test_a_fan_out_encodes_once() -> None:
    query, twin = (Query("g", ()) for _ in range(2))
    assert codec.encode_query(query) is codec.encode_query(query)
    assert codec.encode_query(query) is not codec.encode_query(twin)


def test_the_empty_filter_stays_the_one_everybody_knows() -> None:
    assert codec.decode_query(codec.encode_query(Query("g", ()))).filter is EVERYTHING


def test_a_filter_that_was_seen_before_is_the_same_object_but_true_is_not_one() -> None:
    def crossed(value: object) -> Filter:
        query = Query("g", (), Filter((Condition("organic", "eq", (value,)),)))  # type: ignore[arg-type]
        return codec.decode_query(codec.encode_query(query)).filter

    assert crossed(True) is crossed(True)
    assert crossed(True).must[0].values[0] is True
    assert crossed(1).must[0].values[0] is not True


def test_decoded_arrays_cannot_be_written_to() -> None:
    came = codec.decode_shard_reply(GOOD["shard reply"])
    for array in (came.rows, came.keys, came.match):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("value", ["\ud800", 2**64, object()])
def test_what_cannot_be_sent_is_refused_where_it_is_sent(value) -> None:
    with pytest.raises(InvalidQuery, match="cannot be sent"):
        codec.encode_fetch_query(FetchQuery("g", np.zeros(1, np.int32), Filter((Condition("a", "eq", (value,)),))))
    with pytest.raises(InternalError, match="cannot be sent"):
        codec.encode_fetch_reply(FetchReply("g", ("a",), ({"a": value},), np.ones(1, np.bool_)))


def test_strided_arrays_travel_in_their_logical_order() -> None:
    match = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    reply = ShardReply("g", 0, np.arange(6, dtype="i4")[::2], np.arange(6)[::2], match, (), 9, 9, 1.0)
    came = codec.decode_shard_reply(codec.encode_shard_reply(reply, queue_us=0.0))
    assert came.match.tolist() == match.tolist()
    assert came.rows.tolist() == [0, 2, 4]


def test_a_newer_peer_may_append_fields() -> None:
    fields = msgspec.msgpack.decode(GOOD["shard reply"])
    assert codec.decode_shard_reply(msgspec.msgpack.encode([*fields, "new"])).n_items == 9
