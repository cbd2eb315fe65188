from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import NO_FLOATS, NO_KEYS, Affinity, Seeds, UserRecord
from router.users.record import decode_record, encode_record
from tests.router.users.records import GENERATION, record_of, same

IDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@settings(deadline=None, max_examples=50)
@given(user_id=IDS, dim=st.integers(0, 64), n_history=st.integers(0, 50))
def test_a_record_comes_back_as_it_went_in(user_id: str, dim: int, n_history: int) -> None:
    record = record_of(user_id, dim=dim, n_history=n_history)
    back = decode_record(encode_record(record), user_id=user_id, generation=GENERATION)
    assert back is not None
    assert same(back, record)


def test_a_record_may_be_empty() -> None:
    record = UserRecord("u", "g", {}, Seeds(NO_KEYS, NO_FLOATS, NO_FLOATS), {"brand": Affinity((), NO_FLOATS)}, NO_FLOATS)
    back = decode_record(encode_record(record), user_id="u", generation="g")
    assert back is not None
    assert same(back, record)


@settings(deadline=None, max_examples=50)
@given(mine=IDS, theirs=IDS)
def test_nobody_gets_anothers_record(mine: str, theirs: str) -> None:
    raw = encode_record(record_of(theirs))
    assert (decode_record(raw, user_id=mine, generation=GENERATION) is None) == (mine != theirs)
    assert decode_record(raw, user_id=theirs, generation="g-2") is None


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, 10_000), to=st.integers(0, 255), length=st.integers(0, 10_000))
def test_damaged_bytes_are_no_record_or_a_whole_one(at: int, to: int, length: int) -> None:
    """Bytes carry no checksum, so a changed float stays unnoticed; a wrong length, user or shape does not."""
    raw = bytearray(encode_record(record_of("42")))
    raw[at % len(raw)] = to
    back = decode_record(bytes(raw[: length % len(raw) + 1]), user_id="42", generation=GENERATION)
    if back is not None:
        assert back.user_id == "42"
        for seeds in (back.history, *back.seeds.values()):
            assert len(seeds.keys) == len(seeds.weights) == len(seeds.ages_days)


UNEVEN_SEEDS = [b"12345678", b"1234", b""]


@pytest.mark.parametrize(
    ("position", "part"),
    [(4, UNEVEN_SEEDS), (5, {"department": [["BAKERY"], b"12345678"]}), (6, b"123"), (7, {"favourites": UNEVEN_SEEDS})],
)
def test_arrays_that_do_not_belong_together_are_no_record(position: int, part: object) -> None:
    raw = msgspec.msgpack.decode(encode_record(record_of("42")))
    raw[position] = part
    assert decode_record(msgspec.msgpack.encode(raw), user_id="42", generation=GENERATION) is None


def test_decoded_arrays_cannot_be_written_to() -> None:
    back = decode_record(encode_record(record_of("42")), user_id="42", generation=GENERATION)
    assert back is not None
    with pytest.raises(ValueError, match="read-only"):
        np.add(back.features, 1, out=back.features)
