"""Look-ups come back as they were sent, and what contradicts itself is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.codec.lookups import decode_lookup_query, decode_lookup_reply, encode_lookup_query, encode_lookup_reply
from cluster.errors import InvalidQuery, MalformedFrame
from cluster.lookup import LookupQuery, LookupReply
from tests.cluster.making import floats, keys, same


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(0, 5), st.integers(1, 4))
def test_both_come_back_as_they_were_sent(data: st.DataObject, n: int, dim: int) -> None:
    query = LookupQuery("g", data.draw(keys(n)), ("als", "content"))
    assert same(decode_lookup_query(encode_lookup_query(query)), query)
    known = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    vectors = data.draw(floats(n * dim)).reshape(n, dim)
    reply = LookupReply("g", known, {"als": vectors} if np.isfinite(vectors).all() else {})
    assert same(decode_lookup_reply(encode_lookup_reply(reply), n), reply)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (["g", b"\x01\x02", {}], "more than 0 and 1"),
        (["g", b"\x01", {}], "1 entries, expected 2"),
        (["g", b"\x01\x00", {"als": (2, bytes(8))}], "2 entries, expected 4"),
        (["g", b"\x01\x00", {"als": (1, np.array([np.nan, 0], np.float32).tobytes())}], "not finite"),
    ],
)
def test_a_reply_that_contradicts_itself_is_malformed(reply: list[object], complaint: str) -> None:
    with pytest.raises(MalformedFrame, match=complaint):
        decode_lookup_reply(msgspec.msgpack.encode(reply), 2)


def test_half_a_key_is_no_key() -> None:
    with pytest.raises(InvalidQuery, match="whole number of int64"):
        decode_lookup_query(msgspec.msgpack.encode(["g", b"1234567", ()]))
