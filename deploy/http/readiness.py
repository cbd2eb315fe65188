"""May this router be sent requests? The lines of /readyz?verbose, and the state of the cluster in one word. Pure.

A router becomes ready once it has every available shard, and at least one. It waits for a shard that is still in its first
attempt to load, and not for a shard that has failed, however often that one is tried again. From then on a lost shard lowers
the coverage of answers and leaves the router ready: one shard must not take the service down. Rankers and the user store do not
count; without them, answers are only worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.cluster_state import ClusterView

ClusterState = Literal["STARTING", "READY", "DEGRADED"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """lines: (mark, text) with mark "+" for good, "~" for worse answers, "-" for not ready."""

    ready: bool
    state: ClusterState
    lines: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """As Kubernetes' own components answer readyz?verbose."""
        lines = [f"[{mark}]{text}" for mark, text in self.lines]
        return "\n".join([*lines, f"readyz check {'passed' if self.ready else 'failed'}", ""])


def readiness(view: ClusterView | None, *, users: str, was_ready: bool) -> Readiness:
    """users: "" or what is wrong with the user store.  was_ready: whether an earlier call said so."""
    if view is None:
        return Readiness(False, "STARTING", (("+", "config ok"), ("-", "topology not received from the supervisor yet")))
    topology = view.topology
    n_shards = len(topology.shards)
    covered = [any(r.state == "ready" for r in replicas) for replicas in topology.shards]
    n_covered = sum(covered)
    unfailed = {part.shard for part in view.replicas if not part.failures}
    awaited = any(not here and shard in unfailed for shard, here in enumerate(covered))
    n_ranking = sum(r.state == "ready" for r in topology.rankers)
    ready = was_ready or (n_covered > 0 and not awaited)
    lost = "~" if ready else "-"
    lines = (
        ("+", "config ok"),
        ("+", f"topology version {topology.version}"),
        ("+", f"generation {topology.spec.id}"),
        ("+" if n_covered == n_shards else lost, f"shards {n_covered}/{n_shards} with >= 1 ready replica"),
        ("+" if n_ranking == len(topology.rankers) else "~", f"rankers {n_ranking}/{len(topology.rankers)} ready"),
        ("~", f"users {users}") if users else ("+", "users ok"),
    )
    whole = all(mark == "+" for mark, _ in lines)
    return Readiness(ready, "STARTING" if not ready else "READY" if whole else "DEGRADED", lines)
