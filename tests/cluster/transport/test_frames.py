"""A stream is the same frames however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import MalformedFrame
from cluster.transport.frames import HEADER, FrameReader, pack

LIMIT = 100_000

frames = st.tuples(
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.one_of(st.binary(max_size=40), st.integers(0, 70_000).map(bytes)),
)


@settings(deadline=None)
@given(st.lists(frames, max_size=8), st.data())
def test_any_cut_gives_the_same_frames(sent: list[tuple[int, int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(b"".join(pack(*frame)) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = FrameReader(LIMIT)
    came = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        came += reader.feed(stream[begin:end])
    assert came == sent


def test_byte_by_byte() -> None:
    reader = FrameReader(LIMIT)
    stream = b"".join(pack(3, 5, 7, b"body")) * 2
    came = [frame for byte in stream for frame in reader.feed(bytes([byte]))]
    assert came == [(3, 5, 7, b"body")] * 2


@pytest.mark.parametrize("size", [HEADER.size - 1, 0, LIMIT + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_on_the_header_alone(size: int) -> None:
    header = HEADER.pack(max(0, size - 4), 1, 0, 1)
    with pytest.raises(MalformedFrame, match=f"allowed are {HEADER.size} to {LIMIT}"):
        FrameReader(LIMIT).feed(header)


def test_the_largest_frame_passes_and_small_ones_are_one_piece() -> None:
    body = bytes(LIMIT - HEADER.size)
    pieces = pack(1, 0, 1, body)
    assert len(pieces) == 2
    assert FrameReader(LIMIT).feed(b"".join(pieces)) == [(1, 0, 1, body)]
    assert len(pack(1, 0, 1, b"x" * 1000)) == 1


def test_a_large_body_in_many_chunks_is_joined_once() -> None:
    """Quadratic joining of 16 MiB in 4 KiB chunks would take minutes."""
    body = bytes(16 << 20)
    stream = b"".join(pack(1, 0, 1, body))
    reader = FrameReader(len(stream))
    came = [frame for at in range(0, len(stream), 4096) for frame in reader.feed(stream[at : at + 4096])]
    assert len(came) == 1
    assert came[0][3] == body
