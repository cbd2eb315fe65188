"""What is asked now and then: health, metrics, version, the OpenAPI document and its page, and paths that do not exist."""

from __future__ import annotations

import json
import os
import re

from tests.deploy.fakes import view
from tests.deploy.http_world import CONFIG, World, is_problem


def test_paths_and_methods_that_do_not_exist() -> None:
    world = World()
    is_problem(world.get("/v1/recommendations"), "not-found", 404)
    is_problem(world.get("/../../etc/passwd"), "not-found", 404)
    refused = world.get("/v1/recommend")
    is_problem(refused, "method-not-allowed", 405)
    assert refused.headers["allow"] == "POST"
    is_problem(world.run(lambda c: c.delete("/livez"))[0], "method-not-allowed", 405)
    is_problem(world.run(lambda c: c.put("/v1/recommend/batch"))[0], "method-not-allowed", 405)


def test_health() -> None:
    world = World(view("ready", "ready", "dead", "ready", rankers=("dead", "ready")))
    assert world.get("/livez").text == "ok\n"
    assert (world.get("/readyz").status_code, world.get("/readyz").text) == (503, "not ready\n")
    verbose = world.get("/readyz?verbose")
    assert verbose.text.splitlines() == [
        "[+]config ok",
        "[+]topology version 3",
        "[+]generation g-1",
        "[-]shards 3/4 with >= 1 ready replica",
        "[~]rankers 1/2 ready",
        "[+]users ok",
        "readyz check failed",
    ]
    world.view = view("ready", "ready", "ready", "ready")
    assert world.get("/readyz").status_code == 200
    whole = world.get("/v1/cluster").json()
    assert (whole["state"], whole["answered_by"]) == ("READY", {"node_id": "", "pid": os.getpid()})
    assert whole["ranking"] == {"heavy": "catboost", "stage": "heavy", "why": "nothing was judged"}
    world.view = view("ready", "ready", "dead", "ready")
    world.users.down = True
    after = world.get("/readyz?verbose")
    assert after.status_code == 200, "a shard lost later lowers coverage and leaves the router ready"
    assert "[~]shards 3/4 with >= 1 ready replica" in after.text
    assert "[~]users unavailable: connection refused" in after.text
    assert world.get("/v1/cluster").json()["state"] == "DEGRADED"


def test_before_the_first_topology() -> None:
    world = World()
    world.view = None
    assert world.get("/readyz").status_code == 503
    cluster = world.get("/v1/cluster").json()
    assert (cluster["state"], cluster["cluster"], cluster["ranking"]) == ("STARTING", None, None)
    assert world.get("/version").json()["generation"] == ""


def test_version() -> None:
    body = World().get("/version").json()
    assert body["generation"] == "g-1"
    assert set(body) == {"version", "generation", "ray", "python"}


def test_docs_need_no_other_host() -> None:
    world = World()
    page = world.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page.text), "no other host"
    document = world.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert {"/v1/recommend", "/v1/recommend/batch", "/livez", "/readyz", "/metrics", "/version"} <= set(document["paths"])
    known = set(document["components"]["schemas"])
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert refs <= known, f"dangling: {refs - known}"
    body = document["components"]["schemas"]["RecommendBody"]
    assert body["properties"]["k"]["maximum"] == CONFIG.limits.k
    assert body["additionalProperties"] is False
    context = document["components"]["schemas"]["ContextBody"]["properties"]
    limits = CONFIG.limits
    most = {name: shown["maxItems"] for name, shown in context.items()}
    assert most == {"basket": limits.basket_items, "viewed": limits.viewed_items, "playlists": limits.playlists}


def test_the_documented_example_is_a_valid_request() -> None:
    world = World()
    document = world.get("/openapi.json").json()
    example = document["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]["application/json"]["example"]
    example["filter"]["must_not"] = []
    assert world.post(example).status_code == 200
