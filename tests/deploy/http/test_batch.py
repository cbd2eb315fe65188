"""POST /v1/recommend/batch: each request succeeds or fails alone, all within one time budget."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from tests.deploy.bad_input import asked
from tests.deploy.http.http_world import World, is_problem


def test_every_request_to_recommend_counts_under_one_outcome() -> None:
    world = World()
    for bad in (b"hello", {"user_id": "1", "k": 0}, {"user_id": "1", "filter": {"must": [{"field": "zzz", "eq": 1}]}}):
        assert world.post(bad).status_code == 400
    assert world.post(asked(), content_type="text/plain").status_code == 415
    assert world.metric("oskolok_recommend_requests_total", outcome="invalid") == 4
    world.post({"requests": [{"user_id": "1"}, {"user_id": "1", "k": 0}]}, "/v1/recommend/batch")
    world.post(b"hello", "/v1/recommend/batch")
    world.post(b"hello", "/v1/why")
    assert world.metric("oskolok_recommend_requests_total", outcome="invalid") == 6
    assert world.metric("oskolok_recommend_requests_total", outcome="full") == 1


def test_a_batch_element_fails_alone() -> None:
    world = World()
    requests = [
        {"user_id": "1", "k": 1},
        {"user_id": "2", "k": 0},
        {"user_id": "3", "nonsense": 1},
        "not an object",
        {"user_id": "5", "filter": {"must": [{"field": "zzz", "eq": 1}]}},
        {"user_id": "6", "k": 2},
    ]
    answer = world.post({"requests": requests}, "/v1/recommend/batch")
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["status"] for r in results] == [200, 400, 400, 400, 400, 200]
    assert [len(r["recommendation"]["items"]) for r in results if r["status"] == 200] == [1, 2]
    codes = [r["problem"]["type"].rpartition(":")[2] for r in results if r["status"] != 200]
    assert codes == ["invalid-value", "unknown-field", "invalid-value", "unknown-filter-field"]
    assert results[1]["problem"]["errors"][0]["pointer"] == "#/k"


def test_a_batch_in_msgpack() -> None:
    answer = World().post(
        msgpack.packb({"requests": [{"user_id": "1", "k": 1}, {"user_id": 2.5}]}),
        "/v1/recommend/batch",
        content_type="application/msgpack",
    )
    assert [r["status"] for r in msgpack.unpackb(answer.content)["results"]] == [200, 400]


def test_a_batch_shares_one_deadline_and_takes_turns() -> None:
    world = World()
    world.router.waits_s = 0.01
    answer = world.post({"requests": [{"user_id": str(i), "k": 1} for i in range(20)]}, "/v1/recommend/batch")
    assert [r["status"] for r in answer.json()["results"]] == [200] * 20
    assert world.router.in_flight_max == 8
    world.router.waits_s = 0.05
    late = world.post(
        {"timeout_ms": 20, "requests": [{"user_id": str(i), "timeout_ms": 1000} for i in range(20)]}, "/v1/recommend/batch"
    )
    assert max(world.router.remaining_ms[20:]) <= 20
    assert {r["status"] for r in late.json()["results"]} <= {200, 504}


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"requests": []}, "invalid-value", "#/requests"),
        ({"requests": [{}] * 65}, "limit-exceeded", "#/requests"),
        ({"requests": {}}, "invalid-value", "#/requests"),
        ({}, "invalid-value", "#/requests"),
        (b'{"requests": [{}], "requests": [{}]}', "duplicate-field", "#/requests"),
        (b'{"requests": [{}], "timeout_ms": 5, "timeout_ms": 9}', "duplicate-field", "#/timeout_ms"),
        ({"requests": [{}], "k": 3}, "unknown-field", "#/k"),
        ({"requests": [{}], "timeout_ms": 99_999}, "limit-exceeded", "#/timeout_ms"),
    ],
)
def test_a_batch_that_is_refused_as_a_whole(body: bytes | dict[str, Any], code: str, pointer: str) -> None:
    found = is_problem(World().post(body, "/v1/recommend/batch"), code, 400)
    assert found["errors"][0]["pointer"] == pointer
