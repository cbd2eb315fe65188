"""Megabytes of junk beside valid traffic, through HAProxy and Serve: who asks properly must not notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.deploy.http.test_junk import ANSWER_BYTES_MAX, JUNK
from tests.integration.running import JSON, Cluster, Load, Reply, load
from tests.integration.test_bad_input import resident_bytes

pytestmark = [pytest.mark.ray, pytest.mark.long]

KINDS = ("a repeated object", "a long name", "conditions")
NOISE_S = (
    0.060  # two cores carry the cluster, the valid callers and those who send junk; single requests wait for the scheduler
)


@contextmanager
def junk_beside(cluster: Cluster, *, per_s: float) -> Iterator[list[Reply]]:
    """Junk at a steady rate while the block runs. One sender: what it cannot keep up with is not sent twice as fast later."""
    replies: list[Reply] = []
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.wait(1 / per_s):
            replies.append(cluster.request("POST", "/v1/recommend", JUNK[KINDS[number % len(KINDS)]], JSON))
            number += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield replies
    finally:
        stop.set()
        sender.join()


def measured(cluster: Cluster, *, for_s: float) -> Load:
    with load(cluster, per_s=20, threads=4) as found:
        time.sleep(for_s)
    return found


def test_a_flood_of_junk_costs_valid_callers_nothing(cluster: Cluster) -> None:
    router = cluster.pid_titled("ray::ServeReplica:oskolok:router")
    measured(cluster, for_s=1)
    alone = measured(cluster, for_s=8)
    with junk_beside(cluster, per_s=20) as junk:
        time.sleep(1)
        memory = resident_bytes(router)  # with the buffers that bodies of this size take, once
        flooded = measured(cluster, for_s=10)
        growth = resident_bytes(router) - memory
    assert flooded.failures == [] and flooded.statuses == {200}
    assert {reply.ratio for reply in flooded.replies} == {1.0}
    assert flooded.quantile_s(0.99) <= 1.5 * alone.quantile_s(0.99) + NOISE_S
    assert len(junk) >= 80, "of 220"
    assert {reply.status for reply in junk} == {400}
    assert max(len(reply.body) for reply in junk) <= ANSWER_BYTES_MAX
    assert sorted(reply.took_s for reply in junk)[len(junk) // 2] <= 0.050 + NOISE_S
    assert growth < 50 << 20
    assert cluster.pid_titled("ray::ServeReplica:oskolok:router") == router
