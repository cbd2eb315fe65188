"""What should run, what does, and what to do about the difference. Pure: no Ray, no clock of its own.

Each slot (shard 3's replica 0, ranker 1) follows the news of its actor: a status, silence, its death. `plan` then decides which
actors to start and which to kill. A silent actor is a suspect, not dead: its silence counts from the first unanswered question,
and only while the supervisor was awake to hear an answer. Actors that stay silent are ended one at a time. An actor that keeps
failing is started ever more rarely but never given up: it comes back once the cause is repaired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.cluster_state import Health, ReplicaView
from cluster.spec import GenerationSpec
from cluster.topology import Address, Replica, ReplicaState, ReplicaStatus, Topology

STABLE_S = 10.0
"""An actor that was ready for this long has done well; its next failure counts as the first."""

BACKOFF_S = (0.0, 2.0, 8.0, 15.0, 20.0)
"""Wait before the start that follows n failures in a row; the last entry goes on. At most 5 restarts in any minute."""

SILENT_READY_S = 8.0
"""A ready actor that is silent for this long is replaced. Long, because on a starved machine the slow look dead."""

SILENT_LOADING_S = 180.0
"""The same while it starts or reads its snapshot: libraries hold the interpreter's lock while they load an index."""

UNANSWERED_S = 1.0
"""An actor whose data plane leaves a call that needs no work unanswered for longer than this is silent, whatever it says."""


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
class SlotState:
    """What is known of a slot's actor.

    since: when it got into this health.  exists: whether there may be a process to kill.
    failures: starts in a row that came to nothing, the present one included once it has failed.  detail: why, for people.
    silent_since: when its silence began, None while it answers.  ended_at: when the slot's actor was ended for its silence,
    None again once the one that replaces it is ready or has failed.
    """

    health: Health
    since: float
    exists: bool = False
    starts: int = 0
    failures: int = 0
    status: ReplicaStatus | None = None
    detail: str = ""
    silent_since: float | None = None
    ended_at: float | None = None


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


def absent(now: float) -> SlotState:
    """A slot that was never filled."""
    return SlotState("dead", now)


def started(state: SlotState, now: float) -> SlotState:
    """An actor was created, or one from before this supervisor was found."""
    return replace(state, health="starting", since=now, exists=True, starts=state.starts + 1, status=None, silent_since=None)


def heard(state: SlotState, status: ReplicaStatus, now: float, *, generation: str) -> SlotState:
    """The actor answered. One that could not load, or serves another generation than this one, is a failure that lives."""
    if state.health == "dead":
        return state  # it is being ended, whatever it says meanwhile
    if status.state == "dead":
        return replace(_failed(state, now, status.detail or "failed to load"), status=status)
    if status.generation not in ("", generation):
        return replace(_failed(state, now, f"serves generation {status.generation}, not {generation}"), status=status)
    if status.unanswered_s > UNANSWERED_S:
        why = f"its data plane has not answered for {status.unanswered_s:.0f} s"
        return silent(replace(state, status=status), now, why)
    ready = status.state == "ready"
    since = state.since if state.health == status.state else now
    return replace(
        state,
        health=status.state,
        since=since,
        failures=0 if ready and now - since >= STABLE_S else state.failures,
        status=status,
        detail="" if ready else state.detail,
        silent_since=None,
        ended_at=None if ready else state.ended_at,
    )


def silent(state: SlotState, now: float, why: str) -> SlotState:
    """The actor did not answer, which says little: while it starts, why the one before it failed says more."""
    if state.health == "dead":
        return state
    detail = state.detail if state.failures and state.health in ("starting", "loading") else why
    asked = replace(state, detail=detail, silent_since=now if state.silent_since is None else state.silent_since)
    return replace(asked, health="suspect", since=now) if state.health == "ready" else asked


def overslept(states: Mapping[Slot, SlotState], now: float) -> dict[Slot, SlotState]:
    """The supervisor was not awake for a while: silent actors may have answered since, so their silence counts from now."""
    return {slot: state if state.silent_since is None else replace(state, silent_since=now) for slot, state in states.items()}


def ended(state: SlotState, now: float, why: str) -> SlotState:
    """The actor was asked to end. It counts as dead from now on, before its death is reported."""
    return state if state.health == "dead" else replace(_failed(state, now, why), ended_at=now)


def died(state: SlotState, now: float, why: str) -> SlotState:
    """The actor's process is gone. If that was our doing, why we ended it says more than how it went."""
    if not state.exists:
        return state
    failed = state if state.health == "dead" else _failed(state, now, why)
    return replace(failed, exists=False, status=None)


def _failed(state: SlotState, now: float, why: str) -> SlotState:
    """After a stable period this counts as bad luck; before it, as one more failure in a row."""
    stable = state.health in ("ready", "suspect") and now - state.since >= STABLE_S
    failures = 1 if stable else state.failures + 1
    return replace(state, health="dead", since=now, failures=failures, detail=why, silent_since=None, ended_at=None)


def plan(states: Mapping[Slot, SlotState], now: float) -> tuple[Action, ...]:
    """What to do now. Slots that wait (for a status, for their back-off to pass) are not in it.

    Of the shards, and of the rankers, one is ended for its silence at a time, the one that has been silent longest: what
    silences many at once is seldom their own fault, and a replacement that fares no better proves it.
    """
    settled = (_settled(slot, state, now) for slot, state in states.items())
    return (*(action for action in settled if action is not None), *_ended_for_silence(states, now))


def start_at(state: SlotState) -> float:
    """When a dead slot may be filled again."""
    return state.since + BACKOFF_S[min(max(state.failures - 1, 0), len(BACKOFF_S) - 1)]


def topology_of(states: Mapping[Slot, SlotState], spec: GenerationSpec, version: int) -> Topology:
    """Who serves what, as routers need it: every actor whose address is known. A suspect still counts as ready."""
    by_shard: list[list[Replica]] = [[] for _ in range(spec.n_shards)]
    rankers: list[Replica] = []
    for slot, state in states.items():
        address = state.status.address if state.status is not None else Address("", "", 0)
        replica_state: ReplicaState = (
            "ready" if state.health == "suspect" else "loading" if state.health == "starting" else state.health
        )
        filled = Replica(slot.name, address, replica_state if state.status is not None else "dead")
        (rankers if slot.shard < 0 else by_shard[slot.shard]).append(filled)
    return Topology(version, spec, tuple(map(tuple, by_shard)), tuple(rankers))


def views_of(states: Mapping[Slot, SlotState], now: float) -> tuple[ReplicaView, ...]:
    """Every slot as people are shown it."""
    return tuple(_view(slot, state, now) for slot, state in states.items())


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


def _settled(slot: Slot, state: SlotState, now: float) -> Action | None:
    """What a dead slot needs, whatever else goes on."""
    if state.health != "dead":
        return None
    if state.exists:
        return Kill(slot, state.detail)
    return Start(slot) if now >= start_at(state) else None


def _ended_for_silence(states: Mapping[Slot, SlotState], now: float) -> Iterator[Kill]:
    for shards in (True, False):
        kind = {slot: state for slot, state in states.items() if (slot.shard >= 0) == shards}
        replacing = any(state.ended_at is not None and now - state.ended_at <= SILENT_LOADING_S for state in kind.values())
        hung = {slot: state for slot, state in kind.items() if _hung(state, now)}
        if hung and not replacing:
            slot, state = max(hung.items(), key=lambda each: _silent_s(each[1], now))
            yield Kill(slot, f"silent for {_silent_s(state, now):.0f} s while {state.health}: {state.detail}")


def _hung(state: SlotState, now: float) -> bool:
    return _silent_s(state, now) > (SILENT_READY_S if state.health == "suspect" else SILENT_LOADING_S)


def _silent_s(state: SlotState, now: float) -> float:
    return 0.0 if state.silent_since is None else now - state.silent_since


def _view(slot: Slot, state: SlotState, now: float) -> ReplicaView:
    status = state.status
    detail = state.detail
    if state.health == "dead" and not state.exists and (wait := start_at(state) - now) > 0:
        detail = f"{detail}; starts again in {wait:.0f} s after {state.failures} failures"
    return ReplicaView(
        name=slot.name,
        shard=slot.shard,
        health=state.health,
        node_id=status.address.node_id if status else "",
        pid=status.pid if status else 0,
        starts=state.starts,
        failures=state.failures,
        load_s=status.load_s if status else 0.0,
        detail=detail,
    )
