"""What must hold when parts neither work nor die: a frozen machine kills nobody, and one stuck thread is found and replaced."""

from __future__ import annotations

import time

import pytest

from tests.integration.running import Cluster, hung, load, slowed, wait_until, wedged

pytestmark = [pytest.mark.ray, pytest.mark.long]

FROZEN_S = 13.0
SLOW_S = 12.0


def test_a_freeze_of_everything_ends_nobody(cluster: Cluster) -> None:
    """The supervisor's own silence, longer than the 8 s that it grants its actors, is not held against them, nor is it that
    everybody is slow afterwards: for a while each of them runs a fifth of the time.
    """
    before = cluster.pids()
    supervisor = cluster.pid_titled("ray::Supervisor")

    def answers_from_all() -> bool:
        reply = cluster.recommend("user-0001")
        return reply.status == 200 and reply.ratio == 1 and cluster.get("/v1/cluster").json["state"] == "READY"

    with load(cluster, per_s=40) as found:
        time.sleep(1)
        with hung(supervisor, *before.values()):
            time.sleep(FROZEN_S)
            assert any(reply.status != 200 or reply.ratio < 1 for reply in found.replies[40:]), "the freeze was not felt"
        with slowed(supervisor, *before.values(), stopped_ms=80, running_ms=20):
            wait_until(answers_from_all, 10, lambda: f"not whole: {cluster.view()}")
            time.sleep(SLOW_S)
        cluster.wait_whole(30)  # after a while rankers believe that they are fast again
    assert found.failures == []
    assert cluster.pids() == before
    assert cluster.pid_titled("ray::Supervisor") == supervisor


def test_a_shard_whose_data_plane_is_stuck_is_late_and_then_replaced(cluster: Cluster) -> None:
    victim = cluster.part("shard-2-0")
    with load(cluster, per_s=20) as found:
        time.sleep(1)
        with wedged(victim["pid"], "data-plane"):
            began = time.monotonic()
            wait_until(lambda: cluster.recommend("user-0001").ratio < 1, 3, "the stuck thread was not felt")
            wait_until(lambda: "data plane" in cluster.part("shard-2-0")["detail"], 5, lambda: f"{cluster.part('shard-2-0')}")
            wait_until(
                lambda: cluster.part("shard-2-0")["pid"] not in (0, victim["pid"]),
                20,
                lambda: f"not replaced: {cluster.part('shard-2-0')}",
            )
            replaced_s = time.monotonic() - began
        cluster.wait_whole(15)
    assert found.failures == []
    assert {reply.status for reply in found.replies} == {200}
    assert replaced_s < 15
    assert max(reply.json["timings_ms"]["total"] for reply in found.replies) <= cluster.config.deadline.default_ms + 50
    again = cluster.part("shard-2-0")
    assert again["starts"] == victim["starts"] + 1
    others = {name: part for name, part in cluster.pids().items() if name != "shard-2-0"}
    assert 0 not in others.values()
