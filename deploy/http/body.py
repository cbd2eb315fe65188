"""Reads a request's body: no more bytes and no longer than allowed, in a supported type and encoding.

Starlette and Serve read a body of any size. Here a body over the limit is refused, and at most the limit is ever held, with or
without a content-length. It does not look inside the body (`deploy/http/schema.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.types import Receive

from deploy.http.schema import Format
from deploy.problems import Refused

_FORMATS: Mapping[bytes, Format] = {
    b"application/json": "json",
    b"application/msgpack": "msgpack",
    b"application/x-msgpack": "msgpack",
    b"application/vnd.msgpack": "msgpack",
}

DISCARD_BYTES_MAX = 8 << 20
_DISCARD_S = 1.0


class Disconnected(Exception):
    """The caller went away before the body was complete. Nobody is left to answer."""


def format_of(headers: Mapping[bytes, bytes]) -> Format:
    """How the body is written. A body without a content type is taken for JSON; any encoding but identity is refused."""
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"", b"identity"):
        raise Refused(
            "unsupported-media-type", f"content-encoding {_shown(encoding)} is not supported: send the body unencoded"
        )
    content_type, _, parameters = headers.get(b"content-type", b"application/json").partition(b";")
    form = _FORMATS.get(content_type.strip().lower())
    if form is None:
        raise Refused("unsupported-media-type", f"content-type {_shown(content_type)} is not supported")
    charset = parameters.strip().lower().removeprefix(b"charset=").strip(b'"')
    if form == "json" and parameters.strip().lower().startswith(b"charset=") and charset not in (b"utf-8", b"utf8"):
        raise Refused("unsupported-media-type", f"charset {_shown(charset)} is not supported: send JSON in UTF-8")
    return form


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, *, bytes_max: int, timeout_s: float) -> bytes:
    """The whole body. Raises Refused when it is too large or too late, Disconnected when its sender has gone."""
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 20 or int(announced) > bytes_max):
        if b"expect" not in headers:  # who waits for "100 Continue" has sent nothing yet, and reading would ask for it
            await _discard(receive)
        raise Refused("body-too-large", f"the body is {_shown(announced)} bytes, the limit is {bytes_max}")
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, bytes_max)
    except TimeoutError:
        raise Refused("request-timeout", f"the body was not complete after {timeout_s:g} s") from None


async def _read(receive: Receive, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        part = message.get("body", b"")
        n_bytes += len(part)
        if n_bytes > bytes_max:
            if message.get("more_body", False):
                await _discard(receive)
            raise Refused("body-too-large", f"the body is over the limit of {bytes_max} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _discard(receive: Receive) -> None:
    """Read on for a while and keep nothing: who is still sending when the connection closes sees a reset, not the answer."""
    n_bytes = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while n_bytes < DISCARD_BYTES_MAX:
                message = await receive()
                n_bytes += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("ascii", "replace"))
