"""A request over HTTP is kept, and comes out the same, bit for bit, without the cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from router.replay.file import read_log
from tests.integration.running import Cluster, wait_until

pytestmark = pytest.mark.ray


def test_an_answer_is_kept_and_comes_out_the_same(cluster: Cluster) -> None:
    folder = Path(cluster.config.storage.path) / "replay" / "asked"
    before = set(folder.glob("*.parquet"))
    body = cluster.recommend("user-0003", k=7, explain="full", filter={"must_not": [{"field": "organic", "eq": True}]}).json
    assert len(body["items"]) == 7 and body["explain"]["funnel"]
    cluster.recommend("user-0003", k=7, explain="funnel")
    wait_until(lambda: set(folder.glob("*.parquet")) > before, 15, "nothing was kept")
    (file,) = set(folder.glob("*.parquet")) - before
    (kept,) = read_log(file)
    assert kept.request.user_id == "user-0003" and kept.record is not None
    assert [one.item_id for one in kept.slate] == [item["item_id"] for item in body["items"]]

    replay = [sys.executable, "-m", "deploy.cli", "replay", str(file)]
    said = subprocess.run(replay, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith("user user-0003, k 7: the same, bit for bit; retrieval returns the same ")
    assert said.endswith("1 request: 1 the same, 0 differ\n")
    metrics = cluster.get("/metrics").body.decode()
    assert 'oskolok_replay_requests_total{outcome="kept"}' in metrics
    assert 'oskolok_replay_requests_total{outcome="dropped"} 0' in metrics
