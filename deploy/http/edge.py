"""The outermost layer of every HTTP request, inside Serve's server: it creates the request id and overrides Serve's own
headers.

Serve would let any caller set or switch off its request timeout (`x-request-timeout-seconds`), and decide whether work goes on
for a client that has gone (`x-request-disconnect-disabled`). Both headers are set here: no timeout by Serve, because the router
keeps its own deadlines, and no watch for clients that leave, because it costs a task and 0.13 to 0.3 ms of CPU per request
(measured), and saves at most one deadline's worth of work. Serve runs this as a middleware of its HTTP servers, before
it reads those headers: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deploy.http.edge:middlewares.
"""

from __future__ import annotations

import os
import re
import time

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = b"x-request-id"

_UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
_STRIPPED = frozenset({b"x-request-timeout-seconds", _UNWATCHED[0]})
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(Edge)]


class Edge:
    """ASGI in, ASGI out. Exactly one sane x-request-id goes in and comes back out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [pair for pair in scope["headers"] if pair[0] not in _STRIPPED]
        given = [value for name, value in headers if name == REQUEST_ID]
        if len(given) == 1 and _SANE_ID.match(given[0]):
            request_id = given[0]
        else:
            request_id = uuid7().encode()
            headers = [pair for pair in headers if pair[0] != REQUEST_ID]
            headers.append((REQUEST_ID, request_id))
        headers.append(_UNWATCHED)
        scope["headers"] = headers

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != REQUEST_ID]
                message["headers"] = [*kept, (REQUEST_ID, request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def uuid7(now_ms: int | None = None) -> str:
    """A UUID whose text sorts by time (RFC 9562, section 5.7): 48 bits of milliseconds, 74 random bits.

    >>> uuid7(0x0199A3C27D11)[:15]
    '0199a3c2-7d11-7'
    """
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = int.from_bytes(os.urandom(10))
    value = (ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 64 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
