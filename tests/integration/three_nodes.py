"""Run as a program by test_nodes.py: three raylets on this machine, a cluster over them, and what was seen, as JSON on stdout.

A program of its own because Ray and Serve read their settings when they are imported, and one process can join one cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil

from cluster.config.file import load
from cluster.config.sections import Config
from deploy.client import Client
from deploy.machine.secret_file import load_or_create
from tests.integration.running import wait_until

_NODES = 3


def main(config_file: Path) -> None:
    """Start, ask, take a node away, ask again, stop."""
    config = load(config_file).config
    token = Path(config.storage.path) / "secrets" / "ray-token"
    load_or_create(token)
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "0",  # one HAProxy a node, and all our nodes are one machine with one set of ports
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 80 << 20})
    workers = [nodes.add_node(num_cpus=2, object_store_memory=80 << 20) for _ in range(_NODES - 1)]
    try:
        serve(config.model_copy(update={"ray": config.ray.model_copy(update={"address": nodes.address})}), nodes, workers)
    finally:
        nodes.shutdown()


def serve(config: Config, nodes: Any, workers: list[Any]) -> None:
    from deploy.runtime.launcher import Launcher

    launcher = Launcher(config, lambda step, what: print(f"{step}: {what}", file=sys.stderr))
    client = Client(f"http://127.0.0.1:{config.http.port}")
    try:
        launcher.start()
        first = client.cluster()
        before, router_node = first["cluster"], first["answered_by"]["node_id"]
        whole = client.recommend({"user_id": "user-0003", "k": 10})
        ports = {r["address"]["port"] for group in before["topology"]["shards"] for r in group}
        connected = connected_ports() & ports
        others = [w for w in workers if w.node_id != router_node]  # with one router, its node is the one that must not go
        lost = next(w for w in others if any(part["node_id"] == w.node_id for part in before["replicas"]))
        nodes.remove_node(lost, allow_graceful=False)
        wait_until(lambda: client.recommend({"user_id": "user-0003"})["coverage"]["ratio"] < 1, 20, "the loss was not felt")
        partial = client.recommend({"user_id": "user-0003", "k": 10})
        wait_until(lambda: client.recommend({"user_id": "user-0003"})["coverage"]["ratio"] == 1, 60, "not healed")
        wait_until(lambda: client.cluster()["state"] == "READY", 60, "not whole again")
        after = client.cluster()["cluster"]
    finally:
        launcher.stop()
    found = {
        "before": before,
        "after": after,
        "whole": whole,
        "partial": partial,
        "lost": lost.node_id,
        "ports": sorted(ports),
        "connected": sorted(connected),
    }
    print(json.dumps(found))


def connected_ports() -> set[int]:
    """Remote ports of established TCP connections of this process's children: whom the router is connected to."""
    ports = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            connections = process.net_connections("tcp")
            ports |= {one.raddr.port for one in connections if one.status == psutil.CONN_ESTABLISHED}
    return ports


if __name__ == "__main__":
    main(Path(sys.argv[1]))
