"""When a request arrived, and what is told of what was published since: over the application, with fakes behind it."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.sections import Config
from cluster.generation import current_id
from deploy.http.app import create_app
from deploy.http.arrival import waited_s
from deploy.http.backend import Backend
from deploy.machine.front import ARRIVED
from deploy.metrics.router_metrics import Metrics
from tests.deploy.fakes import FakeInquiry, FakeRouter, FakeUsers, view


def ask(backend: Backend, method: str, path: str, **more: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(backend, Config()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    return asyncio.run(call())


def backend(router: FakeRouter, **more: Any) -> Backend:
    return Backend(router, FakeInquiry(), lambda: view("ready"), FakeUsers(), Metrics(), **more)


def test_the_deadline_counts_from_when_haproxy_had_the_request() -> None:
    router = FakeRouter()
    for machine, least, most in ((socket.gethostname(), 0, 700), ("another machine", 700, 1_000)):
        stamp = f"{(time.time() - 0.3) * 1000:.0f},{machine}"
        body = {"user_id": "u", "timeout_ms": 1_000}
        assert ask(backend(router), "POST", "/v1/recommend", json=body, headers={ARRIVED: stamp}).status_code == 200
        assert least <= router.remaining_ms[-1] <= most, "clocks of two machines are not compared"


@pytest.mark.parametrize(
    "stamp", [b"", b"100000", b",here", b"1e5,here", b"100000,elsewhere", b"9" * 30 + b",here", b"102000,here"]
)
def test_a_stamp_that_cannot_be_used_says_nothing(stamp: bytes) -> None:
    assert waited_s({ARRIVED.encode(): stamp}, 101.0, b"here") == 0


@given(st.binary(max_size=40), st.floats(0, 1e10))
def test_whatever_it_says_time_only_gets_less_and_not_absurdly(stamp: bytes, now: float) -> None:
    assert 0 <= waited_s({ARRIVED.encode(): stamp + b",here"}, now, b"here") <= 60


def test_what_was_published_since_is_told(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("g9\n")
    for storage, told in ((tmp_path, "g9"), (tmp_path / "nowhere", "")):
        over = backend(FakeRouter(), published=partial(current_id, storage))
        assert ask(over, "GET", "/v1/cluster").json()["published"] == told
