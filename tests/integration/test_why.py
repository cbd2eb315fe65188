"""Why, and why not, over HTTP: what is said of every item agrees with what the cluster recommends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.integration.running import JSON, Cluster, Reply

pytestmark = pytest.mark.ray


def why(cluster: Cluster, item_id: object, **fields: object) -> Reply:
    body = {"user_id": "user-0003", "k": 5, "item_id": item_id, **fields}
    return cluster.request("POST", "/v1/why", json.dumps(body).encode(), JSON)


def test_it_agrees_with_the_slate_for_every_item(cluster: Cluster) -> None:
    shown = {item["item_id"]: item["rank"] for item in cluster.recommend("user-0003", k=5).json["items"]}
    verdicts: dict[str, int] = {}
    every = cluster.recommend("user-0003", k=150).json["items"]
    assert len(every) > 100
    for item in every:
        told = why(cluster, item["item_id"]).json["why"]
        assert told["rank"] == shown.get(item["item_id"], 0)
        assert (told["verdict"] == "recommended") == (item["item_id"] in shown)
        assert told["exact"] and told["light"] is not None
        verdicts[told["verdict"]] = verdicts.get(told["verdict"], 0) + 1
    assert verdicts.pop("recommended") == 5
    assert set(verdicts) <= {"ranked_too_low", "rule", "merged_too_low", "not_proposed"}


def test_a_filter_and_an_exclusion_are_named(cluster: Cluster) -> None:
    best = cluster.recommend("user-0003", k=5).json["items"][0]
    category = best["payload"]["category"]
    filtered = why(cluster, best["item_id"], filter={"must_not": [{"field": "category", "eq": category}]}).json["why"]
    assert filtered["verdict"] == "filtered"
    assert (filtered["failed"][0]["pointer"], filtered["failed"][0]["has"]) == ("/filter/must_not/0", category)
    excluded = why(cluster, best["item_id"], exclude_item_ids=[best["item_id"]]).json["why"]
    assert (excluded["verdict"], excluded["excluded_by"]) == ("excluded", ["/exclude_item_ids/0"])


def test_an_unknown_item_is_a_404_that_names_the_field(cluster: Cluster) -> None:
    reply = why(cluster, "no-such-item")
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json["type"], reply.json["errors"][0]["pointer"]) == ("urn:oskolok:problem:unknown-item", "#/item_id")


def test_the_command_reads_like_an_answer(cluster: Cluster) -> None:
    item = cluster.recommend("user-0003", k=50).json["items"][-1]["item_id"]
    command = [sys.executable, "-m", "deploy.cli", "why", "--user", "user-0003", "--item", item, "-k", "5"]
    said = subprocess.run(
        [*command, "--url", f"http://127.0.0.1:{cluster.port}"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.startswith(item) and "is not recommended to user-0003" in said.splitlines()[0]
    assert "owner: shard-" in said
