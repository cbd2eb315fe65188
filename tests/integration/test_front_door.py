"""HAProxy and what is behind it when that is gone, or stands still, and who may talk to it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.wiring import front_dir
from tests.integration.running import Cluster, Load, command_of, hung, kill, load, wait_until

pytestmark = pytest.mark.ray

IN_FLIGHT_MAX = 12
"""`admission.max_in_flight` of the cluster."""


def answers(cluster: Cluster) -> bool:
    with suppress(OSError):
        return cluster.recommend("user-0001").status == 200
    return False


def later_than(found: Load, moment: float) -> list[int]:
    statuses = [reply.status for reply in found.replies if reply.sent_at >= moment]
    assert len(statuses) > 50
    return statuses


def test_the_only_router_is_killed(cluster: Cluster) -> None:
    """What comes while it is gone is told so at once, and nothing of it is in the way of what comes after."""
    with load(cluster, per_s=40, threads=24) as found:
        time.sleep(1)
        kill(cluster.pid_titled("ray::ServeReplica"))
        wait_until(lambda: not answers(cluster), 5, "the kill was not felt")
        wait_until(lambda: answers(cluster), 60, "no router came back")
        again = time.monotonic()
        time.sleep(4)
    assert set(later_than(found, again + 1)) == {200}
    assert found.statuses == {200, 503}
    refused = [reply for reply in found.replies if reply.status == 503]
    assert all(reply.json["type"].endswith(("unavailable", "starting")) for reply in refused)
    assert all(reply.headers["retry-after"] for reply in refused)
    assert sum(reply.took_s > 2 for reply in found.replies) <= IN_FLIGHT_MAX
    assert len(found.failures) <= IN_FLIGHT_MAX, "what it was answering"


def test_the_only_router_stands_still(cluster: Cluster) -> None:
    """Requests that waited in front of it are over when it goes on; it spends nothing on them."""
    router = cluster.pid_titled("ray::ServeReplica")
    with load(cluster, per_s=40, threads=200) as found:
        time.sleep(1)
        with hung(router):
            time.sleep(4)
        going = time.monotonic()
        time.sleep(4)
    assert set(later_than(found, going + 1)) == {200}
    waited = [reply for reply in found.replies if reply.sent_at < going - 1.5 and reply.took_s > 1.2]
    assert len(waited) > 40
    assert 200 not in {reply.status for reply in waited}, "an answer after its deadline"


def test_haproxy_is_killed(cluster: Cluster) -> None:
    (haproxy,) = {one.pid for one in cluster.listeners() if one.port == cluster.port}
    kill(haproxy)
    wait_until(lambda: answers(cluster), 20, "nobody started HAProxy again")


def test_haproxys_own_doors_are_shut(cluster: Cluster) -> None:
    folder = front_dir(cluster.config, Path(cluster.config.storage.path))
    (admin,) = folder.glob("*/admin.sock")
    assert admin.stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o077 for path in (folder, admin.parent)} == {0}
    assert any("haproxy" in command_of(one.pid) for one in cluster.listeners())
