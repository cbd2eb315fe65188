"""A cluster that comes up whole is served at once, one that lacks something after a grace, one that has nothing never."""

from __future__ import annotations

import json
from typing import Any

from cluster.topology import ReplicaState
from deploy.http.schema import to_json
from deploy.runtime.arriving import FIRST_LOADS_S, GRACE_S, missing_parts, next_step
from tests.deploy.fakes import view


def shown(state: str, *shards: ReplicaState) -> dict[str, Any]:
    """As GET /v1/cluster shows it."""
    return {"state": state, "checks": [], "cluster": json.loads(to_json(view(*shards))) if shards else None}


def test_whole_is_served_at_once() -> None:
    assert next_step(shown("READY", "ready", "ready"), 0.0) == "serve"


def test_what_cannot_be_whole_is_served_after_a_grace() -> None:
    found = shown("DEGRADED", "ready", "dead")
    assert (next_step(found, GRACE_S - 0.1), next_step(found, GRACE_S)) == ("wait", "serve")


def test_first_loads_are_waited_for_longer_and_not_for_ever() -> None:
    found = shown("STARTING", "ready", "loading")
    assert (next_step(found, FIRST_LOADS_S - 0.1), next_step(found, FIRST_LOADS_S)) == ("wait", "serve")


def test_nothing_is_not_served() -> None:
    for found in (None, shown("STARTING"), shown("STARTING", "dead", "dead")):
        assert (next_step(found, GRACE_S), next_step(found, FIRST_LOADS_S)) == ("wait", "refuse")


def test_what_is_missing_is_named() -> None:
    found = shown("DEGRADED", "ready", "dead")
    found["cluster"]["replicas"][1]["detail"] = "sha256 differs"
    assert list(missing_parts(found)) == ["shard-1 is dead: sha256 differs"]
    assert list(missing_parts(shown("STARTING"))) == []
