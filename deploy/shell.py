"""The FastAPI part of the application: health, metrics, version, the cluster's state, the OpenAPI document and its page.

Errors here are problem documents too. The page at /docs is one file of this package: it needs no other host, so it works in
a closed network.
"""

from __future__ import annotations

import logging
import os
import platform
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from cluster.config import Config
from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from cluster.ranking import ranking_of
from deploy.openapi import document
from deploy.problems import Refused, headers_of, problem_of
from deploy.readiness import Readiness, readiness
from deploy.schema import to_json

if TYPE_CHECKING:
    from deploy.app import Backend

_PING_MS = 100

log = logging.getLogger("oskolok.http")


def build_shell(backend: Backend, config: Config) -> FastAPI:
    """The routes beside the hot ones, whose paths are here only to refuse other methods."""
    shell = FastAPI(title="Oskolok", version=version("oskolok"), docs_url=None, redoc_url=None, openapi_url=None)
    was_ready = False

    async def now() -> Readiness:
        nonlocal was_ready
        try:
            await backend.users.ping(Deadline.after_ms(_PING_MS))
            users = ""
        except UserStoreUnavailable as error:
            users = f"unavailable: {error.message}"
        found = readiness(backend.view_of(), users=users, was_ready=was_ready)
        was_ready = found.ready
        return found

    @shell.get("/livez", response_class=PlainTextResponse, summary="Is this process's event loop alive?")
    async def livez() -> str:
        return "ok\n"

    @shell.get("/readyz", response_class=PlainTextResponse, summary="May this router be sent requests?")
    async def readyz(request: Request) -> PlainTextResponse:
        found = await now()
        text = found.text() if "verbose" in request.query_params else ("ok\n" if found.ready else "not ready\n")
        return PlainTextResponse(text, status_code=200 if found.ready else 503)

    @shell.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics of this router")
    async def metrics() -> Response:
        return Response(backend.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @shell.get("/version", summary="What is running")
    async def version_() -> dict[str, str]:
        view = backend.view_of()
        return {
            "version": version("oskolok"),
            "generation": view.topology.spec.id if view else "",
            "ray": version("ray"),
            "python": platform.python_version(),
        }

    @shell.get("/v1/cluster", summary="Shards, rankers and their states, as this router knows them")
    async def cluster() -> Response:
        found = await now()
        view = backend.view_of()
        body = {
            "state": found.state,
            "checks": [f"[{mark}]{text}" for mark, text in found.lines],
            "ranking": ranking_of(view.topology.spec, config.ranker) if view else None,
            "answered_by": {"node_id": backend.node_id, "pid": os.getpid()},
            "cluster": view,
        }
        return Response(to_json(body), media_type="application/json")

    @shell.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(to_json(document(shell, config)), media_type="application/json")

    @shell.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = files("deploy").joinpath("static/docs.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers={"content-security-policy": "default-src 'self' 'unsafe-inline'"})

    @shell.api_route("/v1/recommend", methods=["POST"], include_in_schema=False)
    @shell.api_route("/v1/recommend/batch", methods=["POST"], include_in_schema=False)
    @shell.api_route("/v1/why", methods=["POST"], include_in_schema=False)
    async def hot() -> None:
        raise AssertionError("hot routes are answered before the shell is asked")

    @shell.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            refused = Refused("method-not-allowed", f"{path} does not take {request.method}", allow=allow)
        else:
            refused = Refused("not-found", f"there is nothing at {path[:200]}")
        return _problem(request, refused)

    @shell.exception_handler(Exception)
    async def on_exception(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _problem(request, error)

    return shell


def _problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error, instance=request.url.path, request_id=request.headers.get("x-request-id", ""))
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    return Response(to_json(problem), problem.status, headers, "application/problem+json")
