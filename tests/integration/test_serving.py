"""The whole cluster over HTTP: answers, batches, metrics, docs, the command line, and who may connect to what."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import msgpack
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.config.sections import TransportSection
from cluster.deadline import Deadline
from cluster.errors import HandshakeRefused, OskolokError
from cluster.topology import Address
from cluster.transport.channel import Channel
from tests.integration.running import JSON, Cluster, command_of, load

pytestmark = pytest.mark.ray


def test_a_known_user_is_answered_in_full(cluster: Cluster) -> None:
    reply = cluster.recommend("user-0003", k=10, explain="funnel")
    body = reply.json
    assert reply.status == 200
    assert [item["rank"] for item in body["items"]] == list(range(1, 11))
    assert len({item["item_id"] for item in body["items"]}) == 10
    assert {source for item in body["items"] for source in item["sources"]} >= {"tops", "ann"}
    assert all(item["payload"]["category"].startswith("category-") for item in body["items"])
    assert (body["coverage"]["ratio"], body["degraded"], body["exact_merge"]) == (1.0, [], True)
    assert body["coverage"]["shards"] == {"total": 4, "ok": 4, "late": 0, "failed": 0, "loading": 0}
    assert [row["stage"] for row in body["explain"]["funnel"]] == ["hydrate", "retrieve", "merge", "rank", "slate", "fill"]
    assert sorted(row["shard"] for row in body["explain"]["shards"]) == [0, 1, 2, 3]
    assert reply.headers["oskolok-coverage"] == "1"
    assert reply.headers["x-request-id"] == body["request_id"]


def test_the_same_question_has_the_same_answer(cluster: Cluster) -> None:
    first, second = (cluster.recommend("user-0007", k=20).json["items"] for _ in range(2))
    assert first == second


def test_a_filter_leaves_only_what_passes(cluster: Cluster) -> None:
    body = cluster.recommend(
        "user-0003",
        k=20,
        filter={
            "must": [{"field": "category", "in": ["category-1", "category-2"]}],
            "must_not": [{"field": "organic", "eq": True}],
        },
    ).json
    assert body["items"]
    assert {item["payload"]["category"] for item in body["items"]} <= {"category-1", "category-2"}
    assert not any(item["payload"]["organic"] for item in body["items"])
    nothing = cluster.recommend("user-0003", filter={"must": [{"field": "category", "eq": "no such category"}]}).json
    assert (nothing["items"], nothing["coverage"]["ratio"]) == ([], 1.0)


def test_a_stranger_gets_a_cold_answer(cluster: Cluster) -> None:
    reply = cluster.recommend("nobody", k=5)
    assert (reply.status, len(reply.json["items"]), reply.degraded) == (200, 5, ["unknown_user"])


def test_msgpack_and_batches(cluster: Cluster) -> None:
    packed = {"content-type": "application/msgpack"}
    body = msgpack.packb({"requests": [{"user_id": "user-0001", "k": 3}, {"user_id": "user-0002", "k": 0}, {"user_id": "x"}]})
    reply = cluster.request("POST", "/v1/recommend/batch", body, packed)
    assert reply.headers["content-type"] == "application/msgpack"
    assert [result["status"] for result in msgpack.unpackb(reply.body)["results"]] == [200, 400, 200]
    many = json.dumps({"requests": [{"user_id": f"user-{i:04d}", "k": 5} for i in range(64)]}).encode()
    results = cluster.request("POST", "/v1/recommend/batch", many, JSON).json["results"]
    assert [result["status"] for result in results] == [200] * 64


def test_ids_may_be_integers_and_null_is_left_out(cluster: Cluster) -> None:
    reply = cluster.recommend(
        "user-0001", k=None, filter=None, seed=None, exclude_item_ids=[7], context={"basket": [8], "viewed": None}
    )
    assert (reply.status, len(reply.json["items"])) == (200, cluster.config.slate.k_default)
    as_text, as_integer = (
        cluster.request("POST", "/v1/recommend", json.dumps({"user_id": user_id}).encode(), JSON) for user_id in ("42", 42)
    )
    assert as_text.json["items"] == as_integer.json["items"]


def test_too_little_time_is_told_as_that(cluster: Cluster) -> None:
    reply = cluster.recommend("user-0001", timeout_ms=1)
    assert (reply.status, reply.json["type"]) == (504, "urn:oskolok:problem:deadline-exceeded")


def test_load_balancers_browsers_and_the_example(cluster: Cluster) -> None:
    for path in ("/livez", "/readyz", "/docs"):
        head = cluster.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
    assert cluster.get("/readyz/").status == 200
    assert (cluster.get("/").status, cluster.get("/").headers["location"]) == (307, "docs")
    squeezed = cluster.request("GET", "/metrics", headers={"accept-encoding": "gzip"})
    assert squeezed.headers["content-encoding"] == "gzip" and len(squeezed.body) < 20_000
    paths = cluster.get("/openapi.json").json["paths"]
    for path in ("/v1/recommend", "/v1/recommend/batch", "/v1/why"):
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        reply = cluster.request("POST", path, json.dumps(example).encode(), JSON)
        assert reply.status == 200, reply.body
        if path == "/v1/recommend":
            assert example["filter"]["must"] and reply.json["items"]


def test_coverage_that_is_required_and_there(cluster: Cluster) -> None:
    assert cluster.recommend("user-0001", min_coverage=1.0).status == 200


def test_health_version_and_docs(cluster: Cluster) -> None:
    assert cluster.get("/livez").body == b"ok\n"
    verbose = cluster.get("/readyz?verbose")
    assert (verbose.status, b"[+]shards 4/4 with >= 1 ready replica" in verbose.body) == (200, True)
    assert b"[+]rankers 2/2 ready" in verbose.body and b"[+]users ok" in verbose.body
    assert cluster.get("/version").json["generation"] == cluster.view()["topology"]["spec"]["id"]
    assert b"openapi.json" in cluster.get("/docs").body
    assert "/v1/recommend" in cluster.get("/openapi.json").json["paths"]
    assert cluster.get("/nothing/here").headers["content-type"] == "application/problem+json"


def test_metrics_count_what_happened(cluster: Cluster) -> None:
    def read() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        families = text_string_to_metric_families(cluster.get("/metrics").body.decode())
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    before = read()
    for _ in range(5):
        cluster.recommend("user-0005")
    cluster.recommend("user-0005", k=0)
    after = read()

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0)

    assert grown("oskolok_recommend_requests_total", outcome="full") == 5
    assert grown("oskolok_requests_rejected_total", reason="invalid-value") == 1
    assert grown("oskolok_http_requests_total", route="/v1/recommend", method="POST", code="200") == 5
    assert grown("oskolok_stage_duration_seconds_count", stage="rank") == 5
    assert grown("oskolok_coverage_ratio_count") == 5
    for shard in "0123":
        assert grown("oskolok_shard_requests_total", shard=shard, outcome="ok") >= 5
        decisions = [
            v - before.get(k, 0)
            for k, v in after.items()
            if k[0] == "oskolok_planner_decisions_total" and ("shard", shard) in k[1]
        ]
        assert sum(decisions) >= 5
    assert after["oskolok_shard_replicas", frozenset({("shard", "0"), ("state", "ready")})] == 1


def test_the_command_line_talks_to_it(cluster: Cluster) -> None:
    def oskolok(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.cli", *arguments, "--url", f"http://127.0.0.1:{cluster.port}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    shown = oskolok("recommend", "user-0003", "-k", "3", "--filter", "category in (category-1)", "--explain", "funnel")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "category-1" in shown.stdout and "coverage 1.00 (4/4 shards)" in shown.stdout
    status = oskolok("status", "--wait", "10")
    assert status.returncode == 0 and "READY" in status.stdout and "ranker-1" in status.stdout
    assert oskolok("recommend", "x", "--filter", "nonsense = 1").returncode == 2


def test_nothing_listens_beyond_this_machine(cluster: Cluster) -> None:
    found = cluster.listeners()
    assert any(one.port == cluster.port for one in found)
    assert [one for one in found if not one.on_loopback] == []
    assert "warning" not in cluster.said()


def test_secrets_are_private_and_in_no_log(cluster: Cluster) -> None:
    folder = cluster.config.storage.path
    for name in ("data-plane", "ray-token"):
        path = f"{folder}/secrets/{name}"
        assert os.stat(path).st_mode & 0o777 == 0o600
        with open(path) as stream:
            assert stream.read() not in cluster.said()
    assert "Traceback" not in cluster.said()


def test_the_data_plane_refuses_a_stranger(cluster: Cluster) -> None:
    replica = cluster.view()["topology"]["shards"][0][0]["address"]
    address = Address(**replica)
    assert (address.host, address.port) == ("", 0), "a laptop's data plane has no TCP port"
    assert os.stat(address.unix_path).st_mode & 0o777 == 0o600
    with open(f"{cluster.config.storage.path}/secrets/data-plane") as stream:
        secret = bytes.fromhex(stream.read())

    async def call(with_secret: bytes) -> None:
        channel = Channel(address, node_id=address.node_id, secret=with_secret, limits=TransportSection())
        try:
            await channel.wait_connected(5)
            await channel.call(99, b"", Deadline.after_ms(2_000), bytes)
        finally:
            channel.close()
            await channel.wait_closed()

    with pytest.raises(OskolokError) as known:
        asyncio.run(call(secret))
    assert "99" in str(known.value), "let in, and told that there is no such method"
    with pytest.raises(HandshakeRefused):
        asyncio.run(call(b"x" * 32))


def test_ray_refuses_a_stranger(cluster: Cluster) -> None:
    gcs = next(one for one in cluster.listeners() if "gcs_server" in command_of(one.pid))
    code = f"import ray; ray.init('127.0.0.1:{gcs.port}', log_to_driver=False)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64, "RAY_gcs_rpc_server_connect_timeout_s": "3"}
    environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or the stranger looks for the cluster beyond loopback and finds none
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=90)
    assert done.returncode != 0
    assert "uthentication" in done.stderr or "UNAUTHENTICATED" in done.stderr, done.stderr[-2000:]


def test_valid_traffic_is_all_answered(cluster: Cluster) -> None:
    with load(cluster, per_s=40) as found:
        import time

        time.sleep(3)
    assert found.failures == [] and found.statuses == {200}
    assert len(found.replies) > 100
    assert {reply.ratio for reply in found.replies} == {1.0}
