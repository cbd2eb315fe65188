"""The supervisor's loop against actors that fail in every way that Ray's do: it goes on, heals, and never pretends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from cluster.cluster_state import ClusterView
from cluster.errors import Unavailable
from cluster.topology import Address, ReplicaStatus
from deploy.runtime.actors import ActorGone
from deploy.runtime.reconcile import Node, Slot
from deploy.runtime.supervisor import Supervisor
from tests.deploy.fakes import SPEC


class Actor:
    """Answers that it is ready, for as long as it lives."""

    def __init__(self, slot: Slot, generation: str = SPEC.id) -> None:
        self.slot, self.generation, self.alive = slot, generation, True


class FakeActors:
    """Actors in this process. fails: names of the methods that raise at present.  hangs: names of those that never return."""

    def __init__(self) -> None:
        self.by_slot: dict[Slot, Actor] = {}
        self.fails: set[str] = set()
        self.hangs: set[str] = set()
        self.n_kills = 0

    async def _as_told(self, method: str) -> None:
        if method in self.fails:
            raise Unavailable(f"{method}: the control store does not answer")
        await asyncio.sleep(3600 if method in self.hangs else 0)

    async def find(self, slot: Slot) -> Actor | None:
        await self._as_told("find")
        return self.by_slot.get(slot)

    async def nodes(self) -> Sequence[Node]:
        await self._as_told("nodes")
        return [Node("n", "127.0.0.1")]

    async def start(self, slot: Slot, node: Node) -> Actor:
        await self._as_told("start")
        self.by_slot[slot] = Actor(slot)
        return self.by_slot[slot]

    async def ask(self, actor: Actor) -> ReplicaStatus:
        await self._as_told("ask")
        if not actor.alive:
            raise ActorGone("killed")
        return ReplicaStatus(actor.slot.name, actor.slot.shard, 1, Address("n", "", 0, "/s"), "ready", actor.generation, 0.1)

    async def kill(self, actor: Actor) -> None:
        self.n_kills += 1
        await self._as_told("kill")
        actor.alive = False

    async def stop(self, actor: Actor) -> None:
        await self._as_told("stop")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def supervised(check: Callable[[Supervisor, FakeActors], Awaitable[None]], actors: FakeActors) -> list[str]:
    """While `check` runs, a supervisor does. Why it gave up, if it did."""
    gave_up: list[str] = []

    async def run() -> None:
        supervisor = Supervisor(actors, SPEC, name="test", n_rankers=1, interval_s=0.005)
        supervisor.begin(gave_up.append)
        await check(supervisor, actors)
        actors.hangs.clear()
        await supervisor.stop()

    asyncio.run(run())
    return gave_up


async def whole(supervisor: Supervisor) -> ClusterView:
    known = 0
    async with asyncio.timeout(10):
        while True:
            view = await supervisor.view(known, 1.0)
            if view is not None and all(part.health == "ready" for part in view.replicas):
                return view
            known = view.version if view is not None else 0


def test_it_fills_every_slot_and_ends_every_actor() -> None:
    async def check(supervisor: Supervisor, actors: FakeActors) -> None:
        view = await whole(supervisor)
        assert [part.name for part in view.replicas] == ["shard-0-0", "shard-1-0", "shard-2-0", "shard-3-0", "ranker-0"]

    actors = FakeActors()
    assert supervised(check, actors) == []
    assert not any(actor.alive for actor in actors.by_slot.values())


@pytest.mark.parametrize("method", ["find", "nodes", "start", "ask"])
def test_a_call_that_fails_for_a_while_is_made_again(method: str) -> None:
    async def check(supervisor: Supervisor, actors: FakeActors) -> None:
        await asyncio.sleep(0.05)
        actors.fails.clear()
        await whole(supervisor)

    actors = FakeActors()
    actors.fails = {method}
    assert supervised(check, actors) == []


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_kill_that_does_not_work_keeps_nobody_else_from_being_looked_after(how: str) -> None:
    async def check(supervisor: Supervisor, actors: FakeActors) -> None:
        before = await whole(supervisor)
        doomed, other = list(actors.by_slot.values())[:2]
        setattr(actors, how, {"kill"})
        doomed.generation = "g-0"
        await until(lambda: actors.n_kills)
        other.alive = False
        await until(lambda: actors.by_slot[other.slot] is not other)
        view = await supervisor.view(before.version, 1.0)
        assert view is not None and view.replicas[0].health == "dead"
        if how == "fails":
            actors.fails.clear()
            await until(lambda: actors.by_slot[doomed.slot] is not doomed)
            await whole(supervisor)

    assert supervised(check, FakeActors()) == []


def test_actors_of_this_generation_are_taken_over_and_those_of_another_replaced() -> None:
    actors = FakeActors()
    slots = [Slot("shard-0-0", 0), Slot("shard-1-0", 1), Slot("ranker-0", -1)]
    found = {slot: Actor(slot, "g-0" if slot.shard == 1 else SPEC.id) for slot in slots}
    actors.by_slot = dict(found)

    async def check(supervisor: Supervisor, actors: FakeActors) -> None:
        first = await supervisor.view(0, 5.0)
        assert first is not None
        assert {part.name: part.health for part in first.replicas}["shard-1-0"] == "dead"
        await until(lambda: len(actors.by_slot) == 5 and all(actor.generation == SPEC.id for actor in actors.by_slot.values()))
        await whole(supervisor)

    assert supervised(check, actors) == []
    assert [actors.by_slot[slot] is found[slot] for slot in slots] == [True, False, True]


def test_a_loop_that_ends_is_told_of() -> None:
    """Planted: a clock that stops working. Whatever ends the loop, a supervisor without one must not live on."""
    gave_up: list[str] = []

    def broken() -> float:
        if time.monotonic() > breaks_at:
            raise OSError("no clock")
        return time.monotonic()

    async def run() -> None:
        supervisor = Supervisor(FakeActors(), SPEC, name="test", n_rankers=1, interval_s=0.005, clock=broken)
        supervisor.begin(gave_up.append)
        await until(lambda: gave_up)

    breaks_at = time.monotonic() + 0.1
    asyncio.run(run())
    assert len(gave_up) == 1 and "no clock" in gave_up[0]


def test_a_stopped_process_kills_nobody_when_it_goes_on() -> None:
    """The clock jumps by a minute each time a round has asked: every silence would be long."""
    skipped_s = 0.0

    async def run() -> None:
        nonlocal skipped_s
        actors = FakeActors()
        supervisor = Supervisor(
            actors, SPEC, name="test", n_rankers=1, interval_s=0.005, clock=lambda: time.monotonic() + skipped_s
        )
        supervisor.begin(lambda why: pytest.fail(why))
        before = await whole(supervisor)
        for _ in range(3):
            actors.fails = {"ask"}
            await asyncio.sleep(0.05)
            skipped_s += 60
            await asyncio.sleep(0.05)
            actors.fails = set()
            await asyncio.sleep(0.05)
        after = await whole(supervisor)
        assert actors.n_kills == 0
        assert [part.starts for part in after.replicas] == [part.starts for part in before.replicas]
        await supervisor.stop()

    asyncio.run(run())
