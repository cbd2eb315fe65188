"""What the data plane's bytes mean: frames, and how a stream of bytes becomes frames again.

A frame is a 17-byte little-endian header and a body: length of what follows the length field (u32), kind (u8),
microseconds left until the caller's deadline (u32, 0 in replies), call id (u64), body. A request's kind is its method,
1 to 127; a reply's is REPLY or ERROR. Bodies are not looked at here (`cluster/codec/messages.py`), nor are sockets.
"""

from __future__ import annotations

import struct

from cluster.errors import MalformedFrame

REPLY = 0
ERROR = 255
METHOD_MAX = 127
HEADER = struct.Struct("<IBIQ")
MICROS_MAX = 2**32 - 1

_LENGTH_FIELD = 4
_AFTER_LENGTH = HEADER.size - _LENGTH_FIELD
_SMALL = 16_384

Frame = tuple[int, int, int, bytes]
"""(kind, micros, call id, body): a plain tuple, there is one per call and direction."""


def pack(kind: int, micros: int, call_id: int, body: bytes) -> tuple[bytes, ...]:
    """The pieces of a frame, to be written together: one piece if copying the body is cheaper than a second buffer."""
    header = HEADER.pack(_AFTER_LENGTH + len(body), kind, micros, call_id)
    return (header + body,) if len(body) <= _SMALL else (header, body)


class FrameReader:
    """Cuts a stream into frames, however it arrives. Holds at most one incomplete frame.

    frame_bytes_max counts header and body; a longer frame is refused on its header, before its body is awaited.
    """

    __slots__ = ("_frame_bytes_max", "_held", "_wanted")

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._held = bytearray()
        self._wanted = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that these bytes complete. Raises MalformedFrame; the stream is unusable after that."""
        if self._held:
            self._held += chunk
            if len(self._held) < self._wanted:
                return []
            chunk = bytes(self._held)
            self._held = bytearray()
        frames: list[Frame] = []
        at, end, wanted = 0, len(chunk), HEADER.size
        while end - at >= HEADER.size:
            length, kind, micros, call_id = HEADER.unpack_from(chunk, at)
            wanted = length + _LENGTH_FIELD
            if not HEADER.size <= wanted <= self._frame_bytes_max:
                raise MalformedFrame(f"a frame of {wanted} bytes, allowed are {HEADER.size} to {self._frame_bytes_max}")
            if end - at < wanted:
                break
            frames.append((kind, micros, call_id, chunk[at + HEADER.size : at + wanted]))
            at += wanted
            wanted = HEADER.size
        if at < end:
            self._held += chunk[at:]
            self._wanted = wanted
        return frames
