"""While a cluster starts: keep waiting, serve the parts that are ready, or give up? Pure, from the answer of GET /v1/cluster.

A shard that cannot be read, or a user store that is down, must not keep the rest from serving. Answers then show what is
missing (coverage, degraded), and the supervisor keeps trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

GRACE_S = 15.0
"""How long a router that could serve already is given to become whole: restarts of what failed once, rankers that load."""

FIRST_LOADS_S = 180.0
"""How long all shards' first loads are waited for. After that a cluster with one ready shard serves, one without is refused."""

Step = Literal["wait", "serve", "refuse"]


def next_step(answer: Mapping[str, Any] | None, waited_s: float) -> Step:
    """answer: of GET /v1/cluster, None if there was none.  waited_s: how long the start has taken so far."""
    state = answer["state"] if answer is not None else ""
    if state == "READY" or (state == "DEGRADED" and waited_s >= GRACE_S):
        return "serve"
    if waited_s < FIRST_LOADS_S:
        return "wait"
    return "serve" if answer is not None and _any_shard_ready(answer) else "refuse"


def missing_parts(answer: Mapping[str, Any]) -> Iterator[str]:
    """A line for each shard and ranker that is not ready, with the reason as far as it is known."""
    for part in (answer["cluster"] or {}).get("replicas", ()):
        if part["health"] != "ready":
            yield f"{part['name']} is {part['health']}" + (f": {part['detail']}" if part["detail"] else "")


def _any_shard_ready(answer: Mapping[str, Any]) -> bool:
    parts = (answer["cluster"] or {}).get("replicas", ())
    return any(part["shard"] >= 0 and part["health"] in ("ready", "suspect") for part in parts)
