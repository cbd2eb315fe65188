"""Probes come back as they were, and what is malformed comes back as an error of ours."""

from __future__ import annotations

import contextlib

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from cluster.codec.probes import decode_probe_query, decode_probe_reply, encode_probe_query, encode_probe_reply
from cluster.errors import InternalError, InvalidQuery, MalformedFrame
from cluster.probe import ProbedItem, ProbeQuery, ProbeReply
from cluster.types import Query
from tests.cluster import making
from tests.cluster.making import same

quickly = settings(max_examples=60, deadline=None)
scores = st.dictionaries(making.texts, making.doubles, max_size=3)
counts = st.dictionaries(making.texts, making.counts, max_size=3)
values = st.dictionaries(making.texts, making.plain, max_size=2)
items = st.builds(
    ProbedItem,
    row=making.counts,
    item_id=st.one_of(making.texts, making.int64s),
    payload=values,
    failed=st.lists(making.texts, max_size=2).map(tuple),
    excluded=st.booleans(),
    values=values,
    scores=scores,
    match=st.integers(0, 4).flatmap(making.floats),
    facts=st.one_of(st.none(), nps.arrays(np.int64, 2, elements=making.int64s)),
)


@quickly
@given(st.builds(ProbeQuery, making.queries, making.int64s, scores))
def test_queries_come_back(query: ProbeQuery) -> None:
    assert same(decode_probe_query(encode_probe_query(query)), query)


@quickly
@given(st.builds(ProbeReply, making.texts, making.counts, st.one_of(st.none(), items), counts, counts, making.doubles))
def test_replies_come_back(reply: ProbeReply) -> None:
    assert same(decode_probe_reply(encode_probe_reply(reply)), reply)


ITEM = ProbedItem(3, "i", {"n": 1}, ("/filter/must/0",), False, {"price": 2.5}, {"ann": 0.5}, np.ones(2, np.float32))
QUERY = encode_probe_query(ProbeQuery(Query("g", ()), 7, {"ann": 0.5}))
REPLY = encode_probe_reply(ProbeReply("g", 0, ITEM, {"ann": 1}, {"ann": 2}, 1.0))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([(QUERY, decode_probe_query), (REPLY, decode_probe_reply)]), st.data())
def test_spoilt_bodies_decode_or_are_refused_by_name(one, data: st.DataObject) -> None:
    good, decode = one
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(body), data.draw(st.integers(0, len(body)))]))
    with contextlib.suppress(MalformedFrame, InvalidQuery):
        decode(bytes(body[:cut]))


@pytest.mark.parametrize("bomb", [b"\x93" * 200_000, b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b""])
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises((MalformedFrame, InvalidQuery)):
        decode_probe_query(bomb)
    with pytest.raises(MalformedFrame):
        decode_probe_reply(bomb)


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [(0, b"junk", "decode_query"), (1, 2**63, "int"), (2, {"ann": float("nan")}, "not finite"), (2, {"ann": "high"}, "float")],
)
def test_queries_that_ask_the_impossible_are_invalid(at: int, value: object, complaint: str) -> None:
    fields = msgpack.unpackb(QUERY)
    fields[at] = value
    with pytest.raises((InvalidQuery, MalformedFrame), match=complaint):
        decode_probe_query(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [
        (6, {"ann": float("inf")}, "not finite"),
        (7, b"123", "whole number of float32"),
        (7, np.array([np.nan], np.float32).tobytes(), "not finite"),
        (8, b"123", "whole number of int64"),
        (0, -1, ">= 0"),
    ],
)
def test_replies_that_contradict_themselves_are_malformed(at: int, value: object, complaint: str) -> None:
    fields = msgpack.unpackb(REPLY)
    fields[2][at] = value
    with pytest.raises(MalformedFrame, match=complaint):
        decode_probe_reply(msgpack.packb(fields))


def test_what_cannot_be_sent_is_refused_where_it_is_sent() -> None:
    with pytest.raises(InvalidQuery, match="cannot be sent"):
        encode_probe_query(ProbeQuery(Query("g", ()), 2**64))
    with pytest.raises(InternalError, match="cannot be sent"):
        encode_probe_reply(ProbeReply("g", 0, None, {"ann": 2**64}, {}, 1.0))
