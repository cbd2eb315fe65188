"""What should run, what does, and what to do about the difference. Pure: no Ray, no clock of its own.

Each slot (shard 3's replica 0, ranker 1) is followed through what is heard of its actor: a status, silence, its death. `plan`
then says which actors to start and which to kill. An actor that is silent is a suspect, not dead; one that keeps failing is
started ever more rarely, and never given up: mending the cause is enough to bring it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.spec import GenerationSpec
from cluster.topology import Address, Replica, ReplicaState, ReplicaStatus, Topology
from deploy.view import Health, ReplicaView

STABLE_S = 10.0
"""An actor that was ready for this long has done well; its next failure counts as the first."""

BACKOFF_S = (0.0, 2.0, 8.0, 15.0, 20.0)
"""Wait before the start that follows n failures in a row; the last entry goes on. At most 5 restarts in any minute."""

SILENT_READY_S = 10.0
"""A ready actor that says nothing for this long is replaced. Long, because on a starved machine the slow look dead."""

SILENT_LOADING_S = 180.0
"""The same while it starts or reads its snapshot: libraries hold the interpreter's lock while they load an index."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the cluster that one actor fills. shard: -1 for a ranker."""

    name: str
    shard: int


def slots_of(n_shards: int, n_rankers: int) -> tuple[Slot, ...]:
    """Every slot of a cluster, shards first."""
    shards = tuple(Slot(f"shard-{shard}-0", shard) for shard in range(n_shards))
    return shards + tuple(Slot(f"ranker-{ranker}", -1) for ranker in range(n_rankers))


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a slot's actor.

    exists: whether there may be a process to kill.  since: when it got into this health.  heard_at: its last status.
    failures: starts in a row that came to nothing, the present one included once it has failed.  detail: why, for people.
    """

    health: Health
    since: float
    heard_at: float
    exists: bool = False
    starts: int = 0
    failures: int = 0
    status: ReplicaStatus | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Nothing fills the slot: start an actor."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Kill:
    """The slot's actor is of no use: end it. Its death, once seen, leads to a start."""

    slot: Slot
    reason: str


Action = Start | Kill


def absent(now: float) -> Seen:
    """A slot that was never filled."""
    return Seen("dead", now, now)


def started(seen: Seen, now: float) -> Seen:
    """An actor was created, or one from before this supervisor was found."""
    return Seen("starting", now, now, exists=True, starts=seen.starts + 1, failures=seen.failures, detail=seen.detail)


def heard(seen: Seen, status: ReplicaStatus, now: float) -> Seen:
    """The actor answered. One that says it could not load is a failure, though its process lives."""
    health: Health = status.state
    if health == "dead":
        failed = seen if seen.health == "dead" else replace(seen, failures=seen.failures + 1, since=now)
        return replace(failed, health="dead", heard_at=now, status=status, detail=status.detail or "failed to load")
    since = seen.since if seen.health == health else now
    failures = 0 if health == "ready" and now - since >= STABLE_S else seen.failures
    detail = "" if health == "ready" else seen.detail
    return replace(seen, health=health, since=since, heard_at=now, failures=failures, status=status, detail=detail)


def silent(seen: Seen, now: float, why: str) -> Seen:
    """The actor did not answer, which says little."""
    if seen.health != "ready":
        return replace(seen, detail=why)
    return replace(seen, health="suspect", since=now, detail=why)


def died(seen: Seen, now: float, why: str) -> Seen:
    """The actor's process is gone. After a while of doing well that is bad luck, before it a failure."""
    if seen.health == "dead" and not seen.exists:
        return seen
    did_well = seen.health in ("ready", "suspect") and now - seen.since >= STABLE_S
    already_counted = seen.health == "dead"
    failures = 1 if did_well else seen.failures if already_counted else seen.failures + 1
    since = seen.since if already_counted else now
    return replace(seen, health="dead", since=since, exists=False, failures=failures, status=None, detail=why)


def plan(seen: Mapping[Slot, Seen], now: float) -> tuple[Action, ...]:
    """What to do now. Slots that wait (for a status, for their back-off to pass) are not in it."""
    return tuple(action for slot, one in seen.items() if (action := _action(slot, one, now)) is not None)


def start_at(seen: Seen) -> float:
    """When a dead slot may be filled again."""
    return seen.since + BACKOFF_S[min(max(seen.failures - 1, 0), len(BACKOFF_S) - 1)]


def topology_of(seen: Mapping[Slot, Seen], spec: GenerationSpec, version: int) -> Topology:
    """Who serves what, as routers need it: every actor whose address is known. A suspect still counts as ready."""
    by_shard: list[list[Replica]] = [[] for _ in range(spec.n_shards)]
    rankers: list[Replica] = []
    for slot, one in seen.items():
        address = one.status.address if one.status is not None else Address("", "", 0)
        state: ReplicaState = "ready" if one.health == "suspect" else "loading" if one.health == "starting" else one.health
        filled = Replica(slot.name, address, state if one.status is not None else "dead")
        (rankers if slot.shard < 0 else by_shard[slot.shard]).append(filled)
    return Topology(version, spec, tuple(map(tuple, by_shard)), tuple(rankers))


def views_of(seen: Mapping[Slot, Seen], now: float) -> tuple[ReplicaView, ...]:
    """The same for people."""
    return tuple(_view(slot, one, now) for slot, one in seen.items())


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    ip: str


def place(slot: Slot, nodes: Sequence[Node], placed: Mapping[Slot, str]) -> Node:
    """The node for a slot: the one with the fewest of its kind, then with the fewest of all, then the first.

    placed: where the other slots are. Nodes that are not in `nodes` do not count.
    """
    assert nodes, "a cluster has at least one node"

    def load(node: Node) -> tuple[int, int]:
        here = [other for other, node_id in placed.items() if node_id == node.id and other != slot]
        return sum((other.shard < 0) == (slot.shard < 0) for other in here), len(here)

    return min(nodes, key=load)


def _action(slot: Slot, seen: Seen, now: float) -> Action | None:
    match seen.health:
        case "dead" if seen.exists:
            return Kill(slot, seen.detail)
        case "dead":
            return Start(slot) if now >= start_at(seen) else None
        case "suspect" if now - seen.heard_at > SILENT_READY_S:
            return Kill(slot, f"silent for {now - seen.heard_at:.0f} s: {seen.detail}")
        case "starting" | "loading" if now - seen.heard_at > SILENT_LOADING_S:
            return Kill(slot, f"silent for {now - seen.heard_at:.0f} s while {seen.health}")
    return None


def _view(slot: Slot, seen: Seen, now: float) -> ReplicaView:
    status = seen.status
    detail = seen.detail
    if seen.health == "dead" and not seen.exists and (wait := start_at(seen) - now) > 0:
        detail = f"{detail}; starts again in {wait:.0f} s after {seen.failures} failures"
    return ReplicaView(
        name=slot.name,
        shard=slot.shard,
        health=seen.health,
        node_id=status.address.node_id if status else "",
        pid=status.pid if status else 0,
        starts=seen.starts,
        load_s=status.load_s if status else 0.0,
        detail=detail,
    )
