"""What is asked now and then: health, metrics, version, the OpenAPI document and its page, and paths that do not exist."""

from __future__ import annotations

import json
import os
import re

import openapi_spec_validator

from cluster.config.sections import Config
from cluster.filtering import Condition
from router.request import DEGRADATIONS
from tests.deploy.bad_input import asked
from tests.deploy.fakes import view
from tests.deploy.http.http_world import CONFIG, World, is_problem


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


def test_the_document_is_valid_and_says_everything() -> None:
    document = World().get("/openapi.json").json()
    openapi_spec_validator.validate(document)
    operations = [(path, method, said) for path, methods in document["paths"].items() for method, said in methods.items()]
    names = [said["operationId"] for _, _, said in operations]
    assert len(set(names)) == len(operations) and {"recommend", "recommend_batch", "why", "cluster", "readyz"} <= set(names)
    for path, method, said in operations:
        if method == "post":
            assert set(said["responses"]["200"]["content"]) == {"application/json", "application/msgpack"}, path
    schemas = document["components"]["schemas"]
    assert schemas["BatchBody"]["properties"]["requests"]["items"] == {"$ref": "#/components/schemas/RecommendBody"}
    degraded = schemas["RecommendationBody"]["properties"]["degraded"]["items"]["anyOf"]
    assert {value for kind in degraded for value in kind["enum"]} == set(DEGRADATIONS)
    seed = schemas["RecommendBody"]["properties"]["seed"]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**53 - 1)
    cluster = document["paths"]["/v1/cluster"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert cluster == {"$ref": "#/components/schemas/ClusterBody"}
    ready = document["paths"]["/readyz"]["get"]
    assert "503" in ready["responses"] and [one["name"] for one in ready["parameters"]] == ["verbose"]


def test_the_documented_examples_can_be_answered() -> None:
    world = World()
    document = world.get("/openapi.json").json()
    for path in ("/v1/recommend", "/v1/recommend/batch", "/v1/why"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        answer = world.post(example, path)
        assert answer.status_code == 200, path
        assert all(result["status"] == 200 for result in answer.json().get("results", []))
    assert world.router.asked[0].filter.must == (Condition("a", "eq", ("x",)), Condition("stores", "in", ("1",)))
    assert world.metric("oskolok_recommend_requests_total", outcome="full") == 2, "the document's own question is no traffic"
    world.view = None
    assert world.get("/openapi.json").status_code == 200


def test_head_is_get_without_its_body() -> None:
    world = World()
    for path in ("/livez", "/readyz", "/docs", "/metrics", "/nothing"):
        head, get = world.run(lambda c, path=path: c.head(path), lambda c, path=path: c.get(path))
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert path == "/metrics" or head.headers["content-length"] == get.headers["content-length"]
    assert world.run(lambda c: c.head("/v1/recommend"))[0].status_code == 405
    assert world.metric("oskolok_http_requests_total", route="/livez", method="HEAD", code="200") == 1


def test_a_trailing_slash_is_the_same_route_and_the_root_leads_to_the_page() -> None:
    world = World()
    assert world.post(asked(), "/v1/recommend/").status_code == 200
    assert world.metric("oskolok_http_requests_total", route="/v1/recommend", method="POST", code="200") == 1
    assert world.get("/readyz/").text == "ok\n"
    assert world.get("/docs/").status_code == 200
    assert world.get("/", follow_redirects=True).url.path == "/docs"


def test_large_answers_are_compressed_for_those_who_can_read_that() -> None:
    world = World()
    plain = world.post(asked(k=200), accept_encoding="identity")
    small = world.post(asked(k=200), accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "accept-encoding")
    assert int(small.headers["content-length"]) < len(plain.content) / 4
    assert small.json()["items"] == plain.json()["items"]
    assert "content-encoding" not in world.post(asked(k=2), accept_encoding="gzip").headers
    assert world.get("/metrics", headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in world.get("/metrics", headers={"accept-encoding": "identity"}).headers


def test_pages_of_other_origins_may_ask_only_if_the_configuration_says_so() -> None:
    origin = {"origin": "https://shop.example"}
    preflight = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    closed = World()
    assert "access-control-allow-origin" not in closed.post(asked(), **origin).headers
    assert closed.run(lambda c: c.options("/v1/recommend", headers=preflight))[0].status_code == 405
    opened = World(config=Config.model_validate({"http": {"cors_origins": ("https://shop.example",)}}))
    answer = opened.post(asked(), **origin)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    asked_first = opened.run(lambda c: c.options("/v1/recommend", headers=preflight))[0]
    assert (asked_first.status_code, asked_first.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert "access-control-allow-origin" not in opened.post(asked(), origin="https://elsewhere.example").headers
