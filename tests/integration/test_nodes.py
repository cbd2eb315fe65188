"""Multi-node is real: shards over three raylets, the data plane over TCP between them, and a lost node's shards elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cluster.config.text import render
from tests.integration.conftest import free_port
from tests.worlds import build_tiny, tiny_config

pytestmark = [pytest.mark.ray, pytest.mark.long]


def test_three_nodes_answer_and_survive_the_loss_of_one(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "store", n_shards=6, http={"port": free_port()}, deadline={"default_ms": 1_000})
    build_tiny(tmp_path, config=config)
    file = tmp_path / "oskolok.toml"
    file.write_text(render(config))
    command = [sys.executable, "-m", "tests.integration.three_nodes", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])

    shards = [part for part in found["before"]["replicas"] if part["shard"] >= 0]
    per_node = Counter(part["node_id"] for part in shards)
    assert sorted(per_node.values()) == [2, 2, 2], "spread evenly over three nodes"
    assert found["whole"]["coverage"]["ratio"] == 1 and len(found["whole"]["items"]) == 10
    assert found["whole"]["degraded"] == []

    addresses = [group[0]["address"] for group in found["before"]["topology"]["shards"]]
    assert all(address["port"] > 0 and address["host"] for address in addresses)
    assert len(found["connected"]) >= 4, "shards on other nodes than the router's are reached over TCP"

    lost = [part["shard"] for part in shards if part["node_id"] == found["lost"]]
    coverage = found["partial"]["coverage"]
    assert {missing["shard"] for missing in coverage["missing"]} <= set(lost)
    after = {part["shard"]: part for part in found["after"]["replicas"] if part["shard"] >= 0}
    assert all(after[shard]["node_id"] != found["lost"] and after[shard]["health"] == "ready" for shard in lost)
    survivors = [part for part in shards if part["node_id"] != found["lost"]]
    assert all(after[part["shard"]]["pid"] == part["pid"] for part in survivors), "the others were left alone"
