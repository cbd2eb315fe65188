"""The supervisor's decisions, against a simulated world with a clock of its own."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.topology import Address, ReplicaState, ReplicaStatus
from deploy.runtime.reconcile import (
    BACKOFF_S,
    SILENT_LOADING_S,
    SILENT_READY_S,
    STABLE_S,
    UNANSWERED_S,
    Kill,
    Node,
    Slot,
    SlotState,
    Start,
    absent,
    died,
    ended,
    overslept,
    place,
    plan,
    silent,
    slots_of,
    start_at,
    started,
    topology_of,
    views_of,
)
from deploy.runtime.reconcile import heard as heard_for
from deploy.runtime.wakefulness import Wakefulness
from tests.deploy.fakes import SPEC

SLOT = Slot("shard-0-0", 0)
heard = partial(heard_for, generation=SPEC.id)


def status(state: ReplicaState, slot: Slot = SLOT, detail: str = "") -> ReplicaStatus:
    return ReplicaStatus(slot.name, slot.shard, 1, Address("n", "", 0, f"/run/{slot.name}.sock"), state, "g-1", 0.1, detail)


def ready(now: float = 0.0) -> SlotState:
    return heard(started(absent(now), now), status("ready"), now)


def test_an_empty_cluster_is_filled_at_once() -> None:
    slots = slots_of(4, 2)
    assert [(s.name, s.shard) for s in slots[-3:]] == [("shard-3-0", 3), ("ranker-0", -1), ("ranker-1", -1)]
    assert plan({slot: absent(5.0) for slot in slots}, 5.0) == tuple(Start(slot) for slot in slots)


@pytest.mark.parametrize("state", ["loading", "ready"])
def test_what_runs_is_left_alone(state: ReplicaState) -> None:
    assert plan({SLOT: started(absent(0), 0)}, 1.0) == ()
    assert plan({SLOT: heard(started(absent(0), 0), status(state), 1)}, 2.0) == ()


def test_a_death_after_a_good_while_is_mended_at_once() -> None:
    seen = heard(ready(0), status("ready"), STABLE_S)
    seen = died(seen, 20.0, "killed")
    assert plan({SLOT: seen}, 20.0) == (Start(SLOT),)


def test_silence_makes_a_suspect_and_a_word_clears_it() -> None:
    seen = silent(ready(0), 1.0, "no answer")
    assert (seen.health, plan({SLOT: seen}, 1.0)) == ("suspect", ())
    assert topology_of({SLOT: seen}, SPEC, 1).shards[0][0].state == "ready", "routers judge connections for themselves"
    assert heard(seen, status("ready"), 2.0).health == "ready"


def test_long_silence_is_ended() -> None:
    seen = silent(ready(0), 1.0, "no answer")
    assert plan({SLOT: seen}, 1.0 + SILENT_READY_S) == ()
    (kill,) = plan({SLOT: seen}, 1.0 + SILENT_READY_S + 0.1)
    assert isinstance(kill, Kill) and "silent for 8 s" in kill.reason
    loading = silent(heard(started(absent(0), 0), status("loading"), 0), 1.0, "no answer")
    assert plan({SLOT: loading}, 1.0 + SILENT_READY_S + 1) == (), "a library may hold the interpreter while it loads"
    assert isinstance(plan({SLOT: loading}, 1.0 + SILENT_LOADING_S + 1)[0], Kill)


def test_silence_counts_from_the_first_question_without_an_answer() -> None:
    seen = heard(ready(0), status("ready"), 1.0)
    late = silent(seen, 500.0, "no answer")
    assert plan({SLOT: late}, 500.0) == (), "nobody asked before that"
    again = silent(late, 505.0, "no answer")
    assert isinstance(plan({SLOT: again}, 500.0 + SILENT_READY_S + 0.1)[0], Kill), "and not from the last"


def test_time_that_the_supervisor_slept_through_is_nobodys_silence() -> None:
    seen = {SLOT: silent(ready(0), 1.0, "no answer")}
    seen = overslept(seen, 300.0)
    assert plan(seen, 300.0 + SILENT_READY_S) == ()
    assert isinstance(plan(seen, 300.0 + SILENT_READY_S + 0.1)[0], Kill)


def test_an_actor_whose_data_plane_does_not_answer_is_silent_however_much_it_talks() -> None:
    wedged = replace(status("ready"), unanswered_s=UNANSWERED_S + 1)
    seen = heard(ready(0), wedged, 1.0)
    assert seen.health == "suspect" and "data plane has not answered for 2 s" in seen.detail
    seen = heard(seen, replace(wedged, unanswered_s=UNANSWERED_S + 10), 1.0 + SILENT_READY_S)
    assert isinstance(plan({SLOT: seen}, 1.0 + SILENT_READY_S + 0.1)[0], Kill)
    assert heard(seen, status("ready"), 11.0).silent_since is None
    loading = heard(started(absent(0), 0), replace(wedged, state="loading", generation=""), 1.0)
    assert plan({SLOT: loading}, 1.0 + SILENT_READY_S + 1) == (), "a library may hold the interpreter while it loads"


def test_of_many_silent_ones_of_a_kind_one_is_ended_at_a_time() -> None:
    slots = slots_of(3, 2)
    seen = {slot: silent(ready(0), 1.0 + i / 10, "no answer") for i, slot in enumerate(reversed(slots))}
    kills = plan(seen, 60.0)
    assert [action.slot.name for action in kills] == ["shard-2-0", "ranker-1"], "of each kind the longest silent"
    for action in kills:
        assert isinstance(action, Kill)
        seen[action.slot] = ended(seen[action.slot], 60.0, action.reason)
    shard = kills[0].slot

    def hung_on(now: float) -> list[str]:
        return [a.slot.name for a in plan(seen, now) if isinstance(a, Kill) and a.slot != shard and a.slot.shard >= 0]

    assert hung_on(61.0) == []
    seen[shard] = died(seen[shard], 62.0, "killed")
    assert "silent for" in seen[shard].detail, "why it was ended says more than how"
    seen[shard] = started(seen[shard], 62.0)
    assert hung_on(63.0) == [], "its replacement has not proved anything yet"
    assert hung_on(60.0 + SILENT_LOADING_S + 1) == ["shard-1-0"], "nobody is waited for for ever"
    good = heard(seen[shard], status("ready", shard), 64.0)
    bad = died(seen[shard], 64.0, "crashed")
    for proven in (good, bad):
        seen[shard] = proven
        assert hung_on(64.0) == ["shard-1-0"]


def test_an_actor_of_another_generation_is_replaced() -> None:
    seen = started(absent(0), 0)
    loading = heard(seen, replace(status("loading"), generation=""), 1.0)
    assert loading.health == "loading"
    seen = heard(loading, replace(status("ready"), generation="g-0"), 2.0)
    assert plan({SLOT: seen}, 2.0) == (Kill(SLOT, "serves generation g-0, not g-1"),)
    assert topology_of({SLOT: seen}, SPEC, 1).shards[0][0].state == "dead"
    assert heard(seen, status("ready"), 3.0) == seen, "it is being ended, whatever it says meanwhile"
    assert plan({SLOT: died(seen, 3.0, "killed")}, 3.0) == (Start(SLOT),)


def test_an_actor_that_cannot_load_is_ended_and_tried_again_later() -> None:
    seen = heard(started(absent(0), 0), status("dead", detail="sha256 differs"), 1.0)
    assert plan({SLOT: seen}, 1.0) == (Kill(SLOT, "sha256 differs"),)
    again = heard(seen, status("dead", detail="sha256 differs"), 1.5)
    assert again.failures == seen.failures == 1, "one failure is counted once, however often it is heard of"
    gone = died(again, 2.0, "killed by us")
    assert (gone.failures, start_at(gone)) == (1, 1.0 + BACKOFF_S[0])


def test_why_it_failed_is_shown_while_it_is_tried_again() -> None:
    failed = died(heard(started(absent(0), 0), status("dead", detail="sha256 differs"), 1.0), 1.5, "killed by us")
    again = silent(started(failed, 2.0), 3.0, "no answer within 1 s")
    assert "sha256 differs" in again.detail
    assert silent(started(absent(0), 0), 1.0, "no answer within 1 s").detail == "no answer within 1 s"


def test_a_crash_loop_is_slowed_down_and_never_given_up() -> None:
    now, seen, starts = 0.0, absent(0.0), []
    while now < 600:
        if plan({SLOT: seen}, now) == (Start(SLOT),):
            starts.append(now)
            seen = died(started(seen, now), now, "crashed")
        now = round(now + 0.25, 2)
    restarts = starts[1:]
    for at in restarts:
        assert sum(at <= other < at + 60 for other in restarts) <= 5
    assert max(b - a for a, b in pairwise(starts)) <= 30, "a mended cause is noticed within 30 s"
    assert "starts again in" in views_of({SLOT: seen}, now)[0].detail or plan({SLOT: seen}, now)


def test_doing_well_forgives_earlier_failures() -> None:
    seen = absent(0)
    for now in (0.0, 1.0, 2.0):
        seen = died(started(seen, now), now, "crashed")
    assert seen.failures == 3
    seen = heard(started(seen, 20), status("ready"), 20)
    seen = heard(seen, status("ready"), 20 + STABLE_S)
    assert died(seen, 40, "killed").failures == 1


def test_the_topology_names_only_what_has_an_address() -> None:
    slots = slots_of(4, 1)
    seen = {slot: absent(0) for slot in slots}
    seen[slots[0]] = heard(started(absent(0), 0), status("ready", slots[0]), 0)
    seen[slots[1]] = heard(started(absent(0), 0), status("loading", slots[1]), 0)
    seen[slots[2]] = started(absent(0), 0)
    found = topology_of(seen, SPEC, 9)
    assert [replicas[0].state for replicas in found.shards] == ["ready", "loading", "dead", "dead"]
    assert (found.version, found.rankers[0].state, found.shards[0][0].address.unix_path) == (9, "dead", "/run/shard-0-0.sock")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 24), st.integers(0, 6))
def test_shards_spread_evenly_over_any_number_of_nodes(n_nodes: int, n_shards: int, n_rankers: int) -> None:
    nodes = [Node(f"n{i}", f"10.0.0.{i}") for i in range(n_nodes)]
    placed: dict[Slot, str] = {}
    for slot in slots_of(n_shards, n_rankers):
        placed[slot] = place(slot, nodes, placed).id
    for kind in (lambda s: s.shard >= 0, lambda s: s.shard < 0):
        counts = [sum(kind(s) and at == node.id for s, at in placed.items()) for node in nodes]
        assert max(counts) - min(counts) <= 1


def test_a_node_that_has_gone_is_not_counted() -> None:
    placed = {Slot("shard-0-0", 0): "gone", Slot("shard-1-0", 1): "n1"}
    assert place(Slot("shard-0-0", 0), [Node("n1", ""), Node("n2", "")], placed).id == "n2"


class World:
    """Actors that start, load, answer, hang, freeze and die as a seeded dice says, with a supervisor that is stopped now and
    then, by itself or together with everything else; and what it sees of them.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.awake = Wakefulness(0.0)
        self.awake_since = 0.0
        self.seen = {slot: absent(0.0) for slot in slots_of(3, 2)}
        self.alive: dict[Slot, float] = {}
        self.hung_until: dict[Slot, float] = {}
        self.answered_at: dict[Slot, float] = {}
        self.n_started = 0

    def read_clock(self) -> None:
        if self.awake.slept(self.now):
            self.seen = overslept(self.seen, self.now)

    def act(self) -> None:
        self.read_clock()
        for action in plan(self.seen, self.now):
            slot = action.slot
            if isinstance(action, Start):
                assert slot not in self.alive, "two actors for one slot"
                self.alive[slot] = self.answered_at[slot] = self.now
                self.hung_until.pop(slot, None)
                self.n_started += 1
                self.seen[slot] = started(self.seen[slot], self.now)
            else:
                if slot in self.alive:
                    mute_s = self.now - max(self.answered_at[slot], self.awake_since)
                    assert mute_s >= SILENT_READY_S, f"{slot.name} answered within {mute_s} s of the supervisor being awake"
                self.alive.pop(slot, None)
                self.seen[slot] = ended(self.seen[slot], self.now, action.reason)
        for shards in (True, False):
            replaced = [one for slot, one in self.seen.items() if one.ended_at is not None and (slot.shard >= 0) == shards]
            assert len(replaced) <= 1, "no more than one of a kind is ended for its silence at a time"

    def look(self) -> None:
        self.read_clock()
        for slot, seen in self.seen.items():
            if slot not in self.alive:
                self.seen[slot] = died(seen, self.now, "gone")
            elif self.hung_until.get(slot, 0) > self.now:
                self.seen[slot] = silent(seen, self.now, "no answer")
            else:
                state: ReplicaState = "ready" if self.now - self.alive[slot] > 1 else "loading"
                self.seen[slot] = heard(seen, status(state, slot), self.now)
                self.answered_at[slot] = self.now

    def hurt(self) -> None:
        for slot in list(self.alive):
            if self.dice.random() < 0.02:
                del self.alive[slot]
            elif self.dice.random() < 0.01:
                self.hung_until[slot] = self.now + self.dice.choice([1, 5, 15])
        if self.dice.random() < 0.02:  # the supervisor stops, and perhaps everybody with it, who are slow to come back
            self.now += self.dice.choice([3, 9, 15, 400])
            self.awake_since = self.now
            if self.dice.random() < 0.5:
                for slot in self.alive:
                    self.hung_until[slot] = self.now + self.dice.uniform(0, SILENT_READY_S)

    def step(self, *, faults: bool) -> None:
        self.act()
        if faults:
            self.hurt()
        self.look()
        self.now += 0.25


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_nobody_who_answers_is_ended_and_all_is_whole_soon_after(seed: int) -> None:
    world = World(seed)
    for _ in range(300):
        world.step(faults=True)
    for _ in range(360):  # 1.5 minutes: the longest back-off, and for each of a kind a stall, its detection and a load
        world.step(faults=False)
    assert {seen.health for seen in world.seen.values()} == {"ready"}
    before = world.n_started
    for _ in range(100):
        world.step(faults=False)
    assert world.n_started == before, "a whole cluster is left alone"


@pytest.mark.parametrize("n_hung", [1, 3])
def test_what_hangs_for_good_is_replaced_in_bounded_time(n_hung: int) -> None:
    world = World(0)
    for _ in range(100):
        world.step(faults=False)
    hung = [slot for slot in world.seen if slot.shard >= 0][:n_hung]
    for slot in hung:
        world.hung_until[slot] = 1e9
    began = world.now
    while any(world.seen[slot].starts < 2 or world.seen[slot].health != "ready" for slot in hung):
        world.step(faults=False)
        assert world.now < began + SILENT_READY_S + n_hung * 3
    assert sum(seen.starts for seen in world.seen.values()) == len(world.seen) + n_hung
