"""The HTTP application: hot routes as plain ASGI, everything else behind FastAPI. Runs without Ray.

A hot request costs a dictionary look-up here; FastAPI's stack would cost five times as much as decoding the request. FastAPI
serves the pages that are read now and then: health, metrics, the OpenAPI document and its page.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.config.sections import Config
from deploy.http.answers import Answer, Answers
from deploy.http.arrival import waited_s
from deploy.http.backend import Backend
from deploy.http.body import Disconnected, format_of, read_body
from deploy.http.compression import gzipped
from deploy.http.edge import REQUEST_ID
from deploy.http.pages import create_pages
from deploy.http.schema import Format, to_json
from deploy.metrics.router_metrics import ROUTES
from deploy.problems import Refused, headers_of, problem_of

RECOMMENDS = ("/v1/recommend", "/v1/recommend/batch")

Headers = list[tuple[bytes, bytes]]
Handler = Callable[[bytes, Format, str, float], Awaitable[Answer]]

log = logging.getLogger("oskolok.http")


def create_app(backend: Backend, config: Config) -> ASGIApp:
    """The whole application over some backend. `deploy.http.edge.Edge` belongs around it; under Serve it already is."""
    app = Application(backend, config, create_pages(backend, config))
    if not (origins := config.http.cors_origins):
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-request-id"],
        expose_headers=["x-request-id", "retry-after", "server-timing", "oskolok-generation", "oskolok-coverage"],
    )


class Application:
    """ASGI."""

    def __init__(self, backend: Backend, config: Config, pages: FastAPI) -> None:
        answers = Answers(backend.router, backend.inquirer, config, refused=backend.metrics.refused)
        self._metrics = backend.metrics
        self._in_flight = backend.metrics.http_in_flight[()]
        self._bytes_max = config.limits.body_bytes
        self._body_timeout_s = config.deadline.max_ms / 1000
        self._pages = pages
        self._hot = {"/v1/recommend": answers.recommend, "/v1/recommend/batch": answers.batch, "/v1/why": answers.why}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        began = time.perf_counter()
        path, method = scope["path"], scope["method"]
        if path.endswith("/") and path != "/":  # the same route, without a redirect that some clients follow with GET
            path = path.rstrip("/") or "/"
            scope = {**scope, "path": path}
        handler = self._hot.get(path) if method == "POST" else None
        self._in_flight.value += 1
        status = 499  # if nothing is ever sent: the caller went away
        try:
            if handler is not None:
                status = await self._answer(handler, scope, receive, send)
            else:
                status = await self._serve_page(scope, receive, send)
        finally:
            self._in_flight.value -= 1
            route = path if path in ROUTES else "other"
            known = method if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"
            self._metrics.http(route, known, status, time.perf_counter() - began)

    async def _answer(self, handler: Handler, scope: Scope, receive: Receive, send: Send) -> int:
        headers = dict(scope["headers"])
        arrived_at = time.monotonic() - waited_s(headers)
        request_id = headers.get(REQUEST_ID, b"").decode("ascii", "replace")
        try:
            form, body = await self._read(headers, receive, scope["path"])
            answer = await handler(body, form, request_id, arrived_at)
        except Disconnected:
            return 499
        except Exception as error:
            problem = problem_of(error, instance=scope["path"], request_id=request_id)
            if problem.status == 500:
                log.error("request %s failed", request_id, exc_info=error)
            self._metrics.rejected[problem.code].value += 1

            await _send(send, problem.status, to_json(problem), b"application/problem+json", headers_of(error))
            return problem.status
        content_type = b"application/json" if answer.form == "json" else b"application/msgpack"
        extra = _outcome_headers(answer)
        body = answer.body
        if (smaller := gzipped(body, headers)) is not None:
            body = smaller
            extra += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        await _send(send, 200, body, content_type, extra)
        return 200

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive, path: str) -> tuple[Format, bytes]:
        try:
            return format_of(headers), await read_body(
                headers, receive, bytes_max=self._bytes_max, timeout_s=self._body_timeout_s
            )
        except Refused as error:
            if path in RECOMMENDS:
                self._metrics.refused(error)
            raise

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> int:
        """HEAD, with which load balancers probe, is answered as GET without its body."""
        status = 499
        head = scope["method"] == "HEAD"

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        await self._pages({**scope, "method": "GET"} if head else scope, receive, noting_status)
        return status


def _outcome_headers(answer: Answer) -> Headers:
    """What proxies and logs can read without parsing the body."""
    if (recommendation := answer.recommendation) is None:
        return []
    timing = ", ".join(f"{stage};dur={ms:g}" for stage, ms in recommendation.timings_ms.items())
    return [
        (b"oskolok-generation", recommendation.generation.encode()),
        (b"oskolok-coverage", f"{recommendation.coverage.ratio:.6g}".encode()),
        (b"server-timing", timing.encode()),
    ]


async def _send(send: Send, status: int, body: bytes, content_type: bytes, extra: Headers) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
