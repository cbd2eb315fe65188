"""When a router may be sent requests: once it has what is to be had, also if it is a restarted one in a damaged cluster."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cluster.topology import ReplicaState
from deploy.http.readiness import Readiness, readiness
from tests.deploy.fakes import view


def of(*shards: ReplicaState, failures: int, was_ready: bool = False) -> Readiness:
    """failures: how often the shards that are not ready have failed."""
    found = view(*shards)
    parts = (part if part.health == "ready" else replace(part, failures=failures) for part in found.replicas)
    return readiness(replace(found, replicas=tuple(parts)), users="", was_ready=was_ready)


@pytest.mark.parametrize("state", ["loading", "dead"])
def test_a_first_attempt_to_load_is_waited_for(state: ReplicaState) -> None:
    found = of("ready", "ready", state, failures=0)
    assert (found.ready, found.state) == (False, "STARTING")
    assert ("-", "shards 2/3 with >= 1 ready replica") in found.lines


@pytest.mark.parametrize("state", ["loading", "dead"])
def test_a_shard_that_has_failed_does_not_hold_up_the_others(state: ReplicaState) -> None:
    found = of("ready", "ready", state, failures=1)
    assert (found.ready, found.state) == (True, "DEGRADED")
    assert ("~", "shards 2/3 with >= 1 ready replica") in found.lines


def test_one_shard_at_least() -> None:
    assert not of("dead", "dead", failures=3).ready
    assert of("dead", "dead", failures=3, was_ready=True).ready, "answers then say what they lack"


def test_a_shard_lost_later_leaves_the_router_ready() -> None:
    assert of("ready", "loading", failures=0, was_ready=True).state == "DEGRADED"
    assert of("ready", "ready", failures=0).state == "READY"
