"""The FastAPI part of the application: health, metrics, version, the cluster's state, the OpenAPI document and its page.

Errors here are problem documents too. The page at /docs is one file of this package: it needs no other host, so it works in
a closed network.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from importlib import metadata
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import GenerationError, OskolokError, UserStoreUnavailable
from cluster.ranking import ranking_of
from deploy.http.backend import Backend
from deploy.http.compression import GZIP_BYTES_MIN, LEVEL
from deploy.http.example import USER_ID, Example, example_of
from deploy.http.openapi import VERBOSE, document
from deploy.http.readiness import Readiness, readiness
from deploy.http.schema import AnsweredBy, ClusterBody, to_json
from deploy.problems import Refused, headers_of, problem_of
from router.request import Request as Wish

_PING_MS = 100
_EXAMPLE_MS = 500

log = logging.getLogger("oskolok.http")


def create_pages(backend: Backend, config: Config) -> FastAPI:
    """The routes beside the hot ones, whose paths are here only to refuse other methods."""
    pages = FastAPI(
        title="Oskolok",
        version=metadata.version("oskolok"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    pages.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN, compresslevel=LEVEL)
    was_ready = False

    async def now() -> Readiness:
        nonlocal was_ready
        try:
            await backend.users.ping(Deadline.after_ms(_PING_MS))
            users = ""
        except UserStoreUnavailable as error:
            users = f"unavailable: {error.message}"
        current = readiness(backend.view_of(), users=users, was_ready=was_ready)
        was_ready = current.ready
        return current

    @pages.get("/livez", response_class=PlainTextResponse, summary="Is this process's event loop alive?")
    async def livez() -> str:
        return "ok\n"

    @pages.get(
        "/readyz",
        response_class=PlainTextResponse,
        summary="May this router be sent requests?",
        responses={503: {"description": "Not yet", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        openapi_extra={"parameters": [VERBOSE]},
    )
    async def readyz(request: Request) -> PlainTextResponse:
        current = await now()
        text = current.text() if "verbose" in request.query_params else ("ok\n" if current.ready else "not ready\n")
        return PlainTextResponse(text, status_code=200 if current.ready else 503)

    @pages.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics of this router")
    async def metrics() -> Response:
        return Response(backend.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @pages.get("/version", summary="Versions of the running code")
    async def version() -> dict[str, str]:
        view = backend.view_of()
        return {
            "version": metadata.version("oskolok"),
            "generation": view.topology.spec.id if view else "",
            "ray": metadata.version("ray"),
            "python": platform.python_version(),
        }

    @pages.get("/v1/cluster", summary="Shards, rankers and their states, as this router knows them")
    async def cluster() -> Response:
        current = await now()
        view = backend.view_of()
        body = ClusterBody(
            state=current.state,
            checks=tuple(f"[{mark}]{text}" for mark, text in current.lines),
            answered_by=AnsweredBy(backend.node_id, os.getpid()),
            cluster=view,
            published=await asyncio.to_thread(_published, backend),
            ranking=ranking_of(view.topology.spec, config.ranker) if view else None,
        )
        return Response(to_json(body), media_type="application/json")

    @pages.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(to_json(document(pages, config, await _example(backend))), media_type="application/json")

    @pages.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    @pages.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = files("deploy").joinpath("static/docs.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers={"content-security-policy": "default-src 'self' 'unsafe-inline'"})

    @pages.api_route("/v1/recommend", methods=["POST"], include_in_schema=False)
    @pages.api_route("/v1/recommend/batch", methods=["POST"], include_in_schema=False)
    @pages.api_route("/v1/why", methods=["POST"], include_in_schema=False)
    async def hot() -> None:
        raise AssertionError("hot routes are answered before these pages are asked")

    @pages.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            refused = Refused("method-not-allowed", f"{path} does not support {request.method}", allow=allow)
        else:
            refused = Refused("not-found", f"there is nothing at {path[:200]}")
        return _problem(request, refused)

    @pages.exception_handler(Exception)
    async def on_exception(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _problem(request, error)

    return pages


async def _example(backend: Backend) -> Example:
    """Made from an item that the cluster answers with; from the generation's attributes alone if it does not answer."""
    view = backend.view_of()
    spec = view.topology.spec if view else None
    if spec is None or backend.unobserved is None:
        return example_of(spec)
    try:
        items = (await backend.unobserved.recommend(Wish(USER_ID, 1), Deadline.after_ms(_EXAMPLE_MS))).items
    except OskolokError:
        items = ()
    return example_of(spec, items[0].item_id, items[0].payload) if items else example_of(spec)


def _published(backend: Backend) -> str:
    try:
        return backend.published()
    except GenerationError:
        return ""


def _problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error, instance=request.url.path, request_id=request.headers.get("x-request-id", ""))
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    return Response(to_json(problem), problem.status, headers, "application/problem+json")
