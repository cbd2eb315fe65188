"""The HTTP application over a fake router: the shape of answers, headers, batches, health, metrics, docs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import msgpack
import pytest

from cluster.config.sections import Config
from cluster.errors import CoverageTooLow, DeadlineExceeded, InternalError, Overloaded, ShardLoading
from deploy.http.app import create_app
from deploy.http.backend import Backend
from deploy.http.body import DISCARD_BYTES_MAX
from deploy.http.edge import Edge
from deploy.metrics.router_metrics import Metrics
from tests.deploy.bad_input import BAD, ODD_BUT_VALID, Bad, asked
from tests.deploy.fakes import RANKED, FakeInquiry, FakeRouter, FakeUsers
from tests.deploy.http.http_world import CONFIG, World, is_problem


def test_an_answer_in_full() -> None:
    world = World()
    answer = world.post({"user_id": "42", "k": 2, "timeout_ms": 1_000, "min_coverage": 0.7, "explain": "funnel"})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("request_id") == answer.headers["x-request-id"]
    assert body == {
        "items": [
            {
                "item_id": f"item-{rank}",
                "rank": rank,
                "score": 1 / rank,
                "sources": ["ann", "tops"],
                "payload": {"a": "x", "price": 1.5, "stores": ["1"]},
            }
            for rank in (1, 2)
        ],
        "coverage": {
            "ratio": 1.0,
            "required": 0.0,
            "shards": {"total": 4, "ok": 4, "late": 0, "failed": 0, "loading": 0},
            "missing": [],
            "by_source": {"tops": 1.0, "ann": 1.0},
        },
        "degraded": [],
        "generation": {"id": "g-1", "topology": 3},
        "timings_ms": {"hydrate": 0.5, "retrieve": 2.25, "total": 3.0},
        "eligible": {"n_items": 50, "n_searched": 200, "unknown_values": []},
        "exact_merge": True,
        "explain": {
            "funnel": [{"stage": "merge", "in": 100, "out": 80, "took_ms": 0.4, "removed": {"beyond_k": 20}}],
            "sources": [
                {
                    "source": "ann",
                    "asked": 300,
                    "found": 290,
                    "kept": 280,
                    "exclusive": 70,
                    "placed": 8,
                    "took_ms": 1.5,
                    "strategies": {"hnsw": 3, "scan": 1},
                }
            ],
            "shards": [
                {
                    "shard": 0,
                    "replica": "shard-0",
                    "took_ms": 2.0,
                    "queue_ms": 0.1,
                    "n_rows": 40,
                    "n_eligible": 50,
                    "strategies": {"ann": "hnsw"},
                    "asked_again": False,
                }
            ],
            "rank": asdict(RANKED),
            "kept": False,
            "slate": {
                "seed": 7,
                "pinned": [1],
                "relaxed": {"2": ["cap.brand"]},
                "missed": ["quota.new"],
                "explored": [{"rank": 2, "item_id": "item-2", "tried": True, "propensity": 0.25}],
            },
            "unknown_items": [],
        },
    }
    assert answer.headers["oskolok-generation"] == "g-1"
    assert answer.headers["oskolok-coverage"] == "1"
    assert answer.headers["server-timing"] == "hydrate;dur=0.5, retrieve;dur=2.25, total;dur=3"
    assert CONFIG.deadline.default_ms < world.router.remaining_ms[0] <= 1_000


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_null_is_left_out_and_an_integer_is_its_decimal_text(form: str) -> None:
    world = World()
    optional = ("k", "filter", "exclude_item_ids", "context", "pins", "seed", "timeout_ms", "min_coverage", "explain")
    for body in ({"user_id": "42"}, {"user_id": 42, **dict.fromkeys(optional)}):
        content = json.dumps(body).encode() if form == "json" else msgpack.packb(body)
        assert world.post(content, content_type=f"application/{form}").status_code == 200
    said, nulls = world.router.asked
    assert said == nulls
    assert (
        world.post({"requests": [{"user_id": 7}], "timeout_ms": None}, "/v1/recommend/batch").json()["results"][0]["status"]
        == 200
    )
    assert world.router.asked[-1].user_id == "7"


def test_a_missing_shard_is_named() -> None:
    world = World()
    world.router.missing_shard = True
    answer = world.post({"user_id": "42"})
    body = answer.json()
    assert body["coverage"]["missing"] == [
        {"shard": 2, "replica": "shard-2", "reason": "timeout", "detail": "no reply", "waited_ms": 20.1}
    ]
    assert (body["degraded"], answer.headers["oskolok-coverage"]) == (["shard_timeout"], "0.75")
    assert world.metric("oskolok_degraded_requests_total", reason="shard_timeout") == 1


def test_defaults_come_from_the_configuration() -> None:
    world = World()
    answer = world.post({"user_id": "42"})
    assert len(answer.json()["items"]) == CONFIG.slate.k_default
    assert answer.json()["explain"] is None
    assert CONFIG.deadline.default_ms - 50 < world.router.remaining_ms[0] <= CONFIG.deadline.default_ms
    assert world.router.asked[0].min_coverage is None


def test_the_whole_request_reaches_the_router() -> None:
    world = World()
    world.post(
        {
            "user_id": "42",
            "filter": {
                "must": [{"field": "a", "in": ["x", "y"]}, {"field": "price", "lte": 4}],
                "must_not": [{"field": "fresh", "eq": True}],
            },
            "exclude_item_ids": ["7"],
            "context": {"basket": ["8", "9"], "viewed": ["3", "2", "3"], "playlists": ["breakfast"]},
        }
    )
    request = world.router.asked[0]
    assert [(c.field, c.op, c.values) for c in request.filter.must] == [("a", "in", ("x", "y")), ("price", "lte", (4,))]
    assert [(c.field, c.op, c.values) for c in request.filter.must_not] == [("fresh", "eq", (True,))]
    assert (request.exclude_item_ids, request.basket) == (("7",), ("8", "9"))
    assert (request.viewed, request.playlists) == (("3", "2", "3"), ("breakfast",))


@pytest.mark.parametrize("content_type", ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"])
def test_msgpack_in_msgpack_out(content_type: str) -> None:
    world = World()
    answer = world.post(msgpack.packb({"user_id": "42", "k": 1}), content_type=content_type)
    assert answer.headers["content-type"] == "application/msgpack"
    packed, plain = msgpack.unpackb(answer.content), world.post({"user_id": "42", "k": 1}).json()
    assert packed | {"request_id": ""} == plain | {"request_id": ""}


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_input_is_refused_and_named(bad: Bad) -> None:
    world = World()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(bad.body), 65_536):
            yield bad.body[at : at + 65_536]

    headers = {"content-type": bad.content_type, **bad.headers}
    content = chunks() if bad.chunked else bad.body
    answer = world.run(lambda c: c.post("/v1/recommend", content=content, headers=headers))[0]
    body = is_problem(answer, bad.code, bad.status)
    assert [e["pointer"] for e in body.get("errors", [])] == ([] if bad.pointer is None else [bad.pointer])
    if bad.code == "limit-exceeded":
        key = body["errors"][0]["limit_key"]
        assert key and key in body["help"]
    assert world.metric("oskolok_requests_rejected_total", reason=bad.code) == 1


def test_the_bad_input_has_at_least_24_categories() -> None:
    assert len({bad.category for bad in BAD}) + 5 >= 24  # five more are tested on their own: headers, paths, methods, …
    assert len(BAD) > 80


@pytest.mark.parametrize(("name", "body"), ODD_BUT_VALID, ids=[name for name, _ in ODD_BUT_VALID])
def test_odd_input_that_is_allowed(name: str, body: bytes) -> None:
    assert World().post(body).status_code == 200


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not() -> None:
    world = World()
    padding = CONFIG.limits.body_bytes - len(asked())
    assert world.post(asked() + b" " * padding).status_code == 200
    is_problem(world.post(asked() + b" " * (padding + 1)), "body-too-large", 413)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_taken_to_its_end_before_the_answer(announced: bool) -> None:
    """A server that answers and closes while bytes are under way resets the connection, and the answer may be lost with it."""
    world = World()
    part, n_parts = b" " * 65_536, 40
    left = n_parts
    left_when_answered: list[int] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": part, "more_body": left > 0}

        async def send(message: dict[str, Any]) -> None:
            left_when_answered.append(left)

        headers = [(b"content-length", b"%d" % (len(part) * n_parts))] if announced else []
        await world.app({"type": "http", "method": "POST", "path": "/v1/recommend", "headers": headers}, receive, send)

    asyncio.run(ask())
    assert left_when_answered == [0, 0]


def test_a_caller_who_asks_first_is_not_told_to_send_too_large_a_body() -> None:
    world = World()
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("reading sends 100 Continue")

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    headers = [(b"content-length", b"%d" % (CONFIG.limits.body_bytes + 1)), (b"expect", b"100-continue")]
    asyncio.run(world.app({"type": "http", "method": "POST", "path": "/v1/recommend", "headers": headers}, receive, send))
    assert messages[0]["status"] == 413


def test_an_endless_body_is_not_read_for_ever() -> None:
    world = World()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    async def receive_one_by_one() -> int:
        stream = endless()
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(stream), "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": []}
        await world.app(scope, receive, send)
        assert (b"connection", b"close") in messages[0]["headers"]
        return int(messages[0]["status"])

    assert asyncio.run(receive_one_by_one()) == 413
    assert sent <= CONFIG.limits.body_bytes + DISCARD_BYTES_MAX + 2 * 65_536


def test_a_slow_body_runs_out_of_time() -> None:
    config = Config.model_validate({"deadline": {"default_ms": 20, "max_ms": 30}})
    metrics = Metrics()
    app = Edge(create_app(Backend(FakeRouter(), FakeInquiry(), lambda: None, FakeUsers(), metrics), config))
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": "/v1/recommend", "headers": []}, receive, send))
    assert messages[0]["status"] == 408


def test_a_caller_who_leaves_gets_nothing_and_costs_nothing() -> None:
    world = World()
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": []}
    asyncio.run(world.app(scope, receive, send))
    assert (messages, world.router.asked) == ([], [])
    assert world.metric("oskolok_http_requests_in_flight") == 0


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Overloaded("4 in flight", retry_after_s=7, limit_key="admission.max_in_flight"), "overloaded", 429),
        (DeadlineExceeded("the deadline passed before rank", stage="rank"), "deadline-exceeded", 504),
        (CoverageTooLow("0.5 is less than 0.7", coverage={"ratio": 0.5}), "coverage-too-low", 503),
        (ShardLoading("no topology yet"), "starting", 503),
        (InternalError("secret cause"), "internal", 500),
        (RuntimeError("secret cause"), "internal", 500),
    ],
)
def test_what_the_router_raises(error: Exception, code: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.router.fails = error
    answer = world.post({"user_id": "42"})
    body = is_problem(answer, code, status)
    assert "secret" not in answer.text
    if status == 429:
        assert answer.headers["retry-after"] == "7"
        assert "admission.max_in_flight" in body["help"]
    if code == "coverage-too-low":
        assert body["coverage"] == {"ratio": 0.5}
    if status == 500:
        assert "secret cause" in caplog.text
        assert answer.headers["x-request-id"] in caplog.text


def test_a_router_that_never_answers_is_cut_off() -> None:
    world = World()
    world.router.waits_s = 5
    is_problem(world.post({"user_id": "42", "timeout_ms": 10}), "deadline-exceeded", 504)


def test_request_ids_are_kept_if_sane_and_made_if_not() -> None:
    world = World()
    assert world.post({"user_id": "1"}, x_request_id="my-id.7").headers["x-request-id"] == "my-id.7"
    for insane in ("", "a b", "x" * 200, "<script>", "ä".encode("latin-1").decode("latin-1")):
        made = world.run(
            lambda c, insane=insane: c.post(
                "/v1/recommend", content=asked(), headers=[(b"x-request-id", insane.encode("latin-1"))]
            )
        )[0]
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made.headers["x-request-id"]
        )
        assert made.headers.get_list("x-request-id") == [made.headers["x-request-id"]]


def test_serves_own_headers_do_not_get_through() -> None:
    seen: dict[str, list[bytes]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen["names"] = [name for name, _ in scope["headers"]]
        seen["unwatched"] = [value for name, value in scope["headers"] if name == b"x-request-disconnect-disabled"]

    headers = [(b"x-request-timeout-seconds", b"0"), (b"x-request-disconnect-disabled", b"?0"), (b"accept", b"*/*")]
    asyncio.run(Edge(app)({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]
    assert seen["names"] == [b"accept", b"x-request-id", b"x-request-disconnect-disabled"]
    assert seen["unwatched"] == [b"?1"]
