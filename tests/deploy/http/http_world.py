"""The HTTP application over a fake router, in reach of a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from cluster.cluster_state import ClusterView
from cluster.config.sections import AdmissionSection, Config
from deploy.http.app import create_app
from deploy.http.backend import Backend
from deploy.http.edge import Edge
from deploy.metrics.router_metrics import Metrics
from tests.deploy.fakes import FakeInquiry, FakeRouter, FakeUsers, view

CONFIG = Config(admission=AdmissionSection(max_in_flight=4))


class World:
    """The application and everything it stands on, in reach of a test."""

    def __init__(self, shown: ClusterView | None = None, config: Config = CONFIG) -> None:
        self.metrics = Metrics()
        self.router = FakeRouter(observer=self.metrics)
        self.inquiry = FakeInquiry()
        self.users = FakeUsers()
        self.view: ClusterView | None = shown or view("ready", "ready", "ready", "ready")
        if self.view is not None:
            self.metrics.describe(self.view.topology)
        backend = Backend(self.router, self.inquiry, lambda: self.view, self.users, self.metrics, unobserved=FakeRouter())
        self.app = Edge(create_app(backend, config))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://test")

    def run(self, *steps: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> list[Any]:
        async def all_steps() -> list[Any]:
            async with self.client() as client:
                return [await step(client) for step in steps]

        return asyncio.run(all_steps())

    def post(self, body: bytes | dict[str, Any], path: str = "/v1/recommend", **headers: str) -> httpx.Response:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.run(lambda c: c.post(path, content=content, headers=headers))[0]

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.run(lambda c: c.get(path, **more))[0]

    def metric(self, name: str, **labels: str) -> float:
        for family in self.metrics.instruments.registry.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise KeyError((name, labels))


def is_problem(answer: httpx.Response, code: str, status: int) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["type"]) == (status, f"urn:oskolok:problem:{code}"), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"] and body["detail"] and body["help"]
    assert "Traceback" not in answer.text and "/site-packages" not in answer.text
    return body
