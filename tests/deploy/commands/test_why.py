"""POST /v1/why and `oskolok why`: bodies, mistakes, and how the answer reads."""

from __future__ import annotations

import doctest
import json
import re
from typing import Any

import msgpack
import msgspec
import pytest
from rich.console import Console

import deploy.commands.why_text
from deploy.cli import run
from deploy.commands.common import USAGE
from deploy.commands.why_text import headline, sentences, standings_table
from router.why.verdict import VERDICTS, FailedCondition, Place, Standing, Verdict, Why
from tests.deploy.commands.test_cli import Server, server, url
from tests.deploy.fakes import why
from tests.deploy.http.http_world import World, is_problem

__all__ = ["server"]


def plain(told: Why) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(told))
    return found


def test_the_answer_is_what_the_router_says() -> None:
    world = World()
    answer = world.post({"user_id": "42", "item_id": "item-7", "k": 8, "context": {"basket": ["1"]}}, "/v1/why")
    assert answer.status_code == 200
    assert answer.json() == {"request_id": answer.headers["x-request-id"], "why": plain(why())}
    ((request, item_id),) = world.inquiry.asked
    assert (request.user_id, request.k, request.basket, request.explain, item_id) == ("42", 8, ("1",), "none", "item-7")
    assert 1_500 < world.inquiry.remaining_ms[0] <= 2_000


def test_msgpack_and_a_budget_of_ones_own() -> None:
    world = World()
    body = msgpack.packb({"user_id": "42", "item_id": 7, "timeout_ms": 300})
    answer = world.post(body, "/v1/why", content_type="application/msgpack")
    assert msgpack.unpackb(answer.content)["why"]["verdict"] == "not_proposed"
    assert world.inquiry.asked[0][1] == 7 and world.inquiry.remaining_ms[0] <= 300
    assert world.metric("oskolok_http_requests_total", route="/v1/why", method="POST", code="200") == 1


@pytest.mark.parametrize(
    ("fields", "code", "status", "pointer"),
    [
        ({"item_id": "nobody"}, "unknown-item", 404, "#/item_id"),
        ({}, "invalid-value", 400, "#/item_id"),
        ({"item_id": ""}, "invalid-value", 400, "#/item_id"),
        ({"item_id": 2**63}, "invalid-value", 400, "#/item_id"),
        ({"item_id": 1.5}, "invalid-value", 400, "#/item_id"),
        ({"item_id": None}, "invalid-value", 400, "#/item_id"),
        ({"item_id": "x" * 257}, "limit-exceeded", 400, "#/item_id"),
        ({"item_id": "7", "item": 1}, "unknown-field", 400, "#/item"),
        ({"item_id": "7", "explain": "funnel"}, "unknown-field", 400, "#/explain"),
        ({"item_id": "7", "k": 500}, "limit-exceeded", 400, "#/k"),
        ({"item_id": "7", "timeout_ms": 0}, "invalid-value", 400, "#/timeout_ms"),
        ({"item_id": "7", "timeout_ms": 10**6}, "limit-exceeded", 400, "#/timeout_ms"),
        ({"item_id": "7", "filter": {"must": [{"field": "b", "eq": 1}]}}, "unknown-filter-field", 400, "#/filter/must/0/field"),
    ],
)
def test_mistakes_name_the_field(fields: dict[str, Any], code: str, status: int, pointer: str) -> None:
    problem = is_problem(World().post({"user_id": "42", **fields}, "/v1/why"), code, status)
    assert problem["errors"][0]["pointer"] == pointer


def test_a_field_given_twice_and_a_wrong_method_are_refused() -> None:
    world = World()
    is_problem(world.post(b'{"user_id": "1", "item_id": "2", "item_id": "3"}', "/v1/why"), "duplicate-field", 400)
    is_problem(world.get("/v1/why"), "method-not-allowed", 405)


def test_the_document_knows_it() -> None:
    document = World().get("/openapi.json").json()
    told = document["paths"]["/v1/why"]["post"]
    assert "unknown-item" in told["responses"]["404"]["description"]
    assert "404" not in document["paths"]["/v1/recommend"]["post"]["responses"]
    schemas = document["components"]["schemas"]
    assert {"user_id", "item_id", "k", "filter"} <= set(schemas["WhyBody"]["properties"])
    assert schemas["WhyBody"]["properties"]["timeout_ms"]["default"] == 2_000
    assert set(VERDICTS) == set(schemas["Why"]["properties"]["verdict"]["enum"])


FILTERED = FailedCondition("/filter/must/1", "price", "lte", (2.0,), 2.5)
SAID: dict[Verdict, tuple[dict[str, Any], str]] = {
    "recommended": ({"rank": 2}, "is recommended to 42: rank 2 of 8"),
    "excluded": ({"excluded_by": ("/context/basket/0",)}, "not recommended to 42: excluded by /context/basket/0"),
    "filtered": ({"failed": (FILTERED,)}, "the filter keeps it out: it requires price <= 2.0, and the item has 2.5"),
    "shard_missing": ({}, "shard-1, which owns it, did not answer in time"),
    "not_proposed": ({}, "no source proposes it"),
    "merged_too_low": (
        {"sources": (Standing("ann", 0.3, 290, 999, 300, 0.2, True),), "merge": Place(512, 600, 400, 0.01)},
        "ann proposed it, but only 400 become candidates and it is 512 of 600",
    ),
    "rule": ({"rule": "cap.brand"}, "the slate's rule cap.brand holds it back"),
    "ranked_too_low": ({}, "it is ranked 23 of 401, and only 8 are shown"),
    "undelivered": ({}, "it had a position but could no longer be shown"),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_a_sentence(verdict: Verdict) -> None:
    changes, said = SAID[verdict]
    line = headline(plain(why(verdict, **changes)))
    assert line.startswith("item-7 (butter, price 2.5) ") and line.endswith(said)


def test_stages_are_told_in_their_order() -> None:
    assert sentences(plain(why())) == [
        "eligible: it passes the filter and nothing excludes it",
        "ranking: if it were a candidate, light puts it at 57 of 401 (score -1.5) and passes it on; heavy puts it at 23 of 101"
        " (score 0.25)",
        "slate: it would still not be among the 8, ranked 23 of 401",
        "owner: shard-1, generation g-1",
    ]
    assert "slate: it would then be shown at 3 of 8" in sentences(plain(why(would_be=3, would_rule="")))
    cut = sentences(plain(why("merged_too_low", merge=Place(512, 600, 400, 0.01))))
    assert cut[1] == "merge: place 512 of 600, the first 400 are candidates: it is cut"


def test_the_table_says_where_it_stands() -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(standings_table(plain(why())))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    console.file.close()
    assert lines[1:] == [
        "ann 412 23,000 0.213 0.241 300 below the cut-off",
        "tops – 1,840 – – 200 does not have it",
    ]


def test_examples_hold() -> None:
    assert doctest.testmod(deploy.commands.why_text).failed == 0


def test_the_command_asks_and_tells(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["why", "--user", "42", "--item", "item-7", "--filter", "price <= 4", "--basket", "1", "--url", url(server)]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("item-7 (butter, price 2.5) is not recommended to 42: no source proposes it\n")
    assert re.search(r"ann +412 +23,000", said)
    body = {
        "user_id": "42",
        "k": 10,
        "filter": {"must": [{"field": "price", "lte": 4.0}]},
        "context": {"basket": ["1"]},
        "item_id": "item-7",
    }
    assert server.asked == [("/v1/why", body)]
    assert run([*arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain(why())


def test_the_command_needs_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", "--user", "42"]) == USAGE
    assert "--item" in capsys.readouterr().err
