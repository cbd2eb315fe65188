"""Keeps the cluster in its desired state: observes, plans (`deploy/runtime/reconcile.py`), acts, publishes its view. No Ray
here.

After a restart it looks up the actors by name, and publishes nothing before it has heard from them, so routers never see an
empty cluster. If one part of a round fails, the others still run. No query passes through here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from cluster.cluster_state import ClusterView
from cluster.deadline import Clock
from cluster.spec import GenerationSpec
from cluster.topology import ReplicaStatus
from deploy.runtime import reconcile
from deploy.runtime.actors import ActorGone, Actors, Handle
from deploy.runtime.reconcile import Kill, Node, Slot, SlotState, Start
from deploy.runtime.wakefulness import TICK_S, Wakefulness

PING_TIMEOUT_S = 1.0
ADOPTION_S = 3.0
"""How long a restarted supervisor waits for its actors' first words before it publishes."""

STOP_S = 2.0
"""How long an actor may take to finish what it is doing."""

CALM = 4
"""While every slot is ready, it looks this many times less often."""

log = logging.getLogger("oskolok.supervisor")


class Supervisor:
    """One cluster's. `begin` starts its loop on the running event loop."""

    def __init__(
        self,
        actors: Actors,
        spec: GenerationSpec,
        *,
        name: str,
        n_rankers: int,
        interval_s: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self._actors = actors
        self._spec = spec
        self._name = name
        self._interval_s = interval_s
        self._clock = clock
        self._awake = Wakefulness(clock())
        self._states: dict[Slot, SlotState] = {
            slot: reconcile.absent(clock()) for slot in reconcile.slots_of(spec.n_shards, n_rankers)
        }
        self._handles: dict[Slot, Handle] = {}
        self._pings: dict[Slot, asyncio.Future[ReplicaStatus]] = {}
        self._kills: dict[Slot, asyncio.Future[None]] = {}
        self._placed: dict[Slot, str] = {}
        self._began = time.time()
        self._view: ClusterView | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None

    def begin(self, give_up: Callable[[str], None]) -> None:
        """Supervise until `stop`. give_up: called, with the reason, if the loop ends in any other way."""

        def finished(loop: asyncio.Task[None]) -> None:
            if not self._stopping:
                give_up("cancelled" if loop.cancelled() else repr(loop.exception()))

        self._loop = asyncio.create_task(self._run())
        self._loop.add_done_callback(finished)

    async def view(self, known_version: int, wait_s: float) -> ClusterView | None:
        """The newest view as soon as there is one that the caller does not know, or after wait_s what there is.

        A caller may know a higher version, from before this supervisor was restarted: versions then go on from there.
        """
        if self._view is not None and self._view.version < known_version:
            self._publish(known_version + 1)
        if self._view is None or self._view.version <= known_version:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
        return self._view

    async def stop(self) -> None:
        """End every actor, each with a chance to finish what it is doing, and start none again."""
        self._stopping = True
        if self._loop is not None:
            self._loop.cancel()
        handles = self._handles.values()
        stops = [asyncio.ensure_future(self._actors.stop(handle)) for handle in handles]
        if stops:
            await asyncio.wait(stops, timeout=STOP_S)
        await asyncio.gather(*(self._actors.kill(handle) for handle in handles), return_exceptions=True)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._stay_awake())
            both.create_task(self._rounds())

    async def _stay_awake(self) -> None:
        while True:
            self._check_awake()
            await asyncio.sleep(TICK_S)

    async def _rounds(self) -> None:
        while not await self._attempt("adoption", self._adopt):
            await asyncio.sleep(self._interval_s * CALM)
        if self._handles:
            await self._attempt("look", lambda: self._look(ADOPTION_S))
        while True:
            began = self._clock()
            await self._attempt("acting", self._act)
            await self._attempt("look", lambda: self._look(PING_TIMEOUT_S))
            self._publish_if_changed()
            calm = all(state.health == "ready" for state in self._states.values())
            rest = self._interval_s * (CALM if calm else 1) - (self._clock() - began)
            await asyncio.sleep(max(rest, 0.02))

    async def _attempt(self, what: str, part: Callable[[], Awaitable[None]]) -> bool:
        """Whether this part of a round succeeded. A failure stops neither the other parts nor the next round."""
        try:
            await part()
        except Exception:
            log.exception("the supervisor's %s failed; it goes on", what)
            return False
        return True

    def _check_awake(self) -> float:
        """The time now. If it has jumped, silence before the jump does not count."""
        now = self._clock()
        if self._awake.slept(now):
            log.warning("the supervisor was not awake for a while: it counts every actor's silence anew")
            self._states = reconcile.overslept(self._states, now)
        return now

    async def _adopt(self) -> None:
        """Take over the actors of an earlier supervisor."""
        for slot, handle in zip(self._states, await asyncio.gather(*map(self._actors.find, self._states)), strict=True):
            if handle is not None:
                self._handles[slot] = handle
                self._states[slot] = reconcile.started(self._states[slot], self._clock())

    async def _act(self) -> None:
        now = self._check_awake()
        actions = reconcile.plan(self._states, now)
        for action in actions:
            if isinstance(action, Kill):
                self._kill(action, now)
        starts = [action.slot for action in actions if isinstance(action, Start)]
        if starts:
            nodes = await self._actors.nodes()
            for slot in starts:
                self._placed[slot] = reconcile.place(slot, nodes, self._placed).id
            by_id = {node.id: node for node in nodes}
            await asyncio.gather(*(self._start(slot, by_id[self._placed[slot]]) for slot in starts))

    def _kill(self, kill: Kill, now: float) -> None:
        """Beside the rounds, which go on; until the death is heard of, every round tries again."""
        slot = kill.slot
        if (before := self._kills.get(slot)) is not None and not before.done():
            return
        if self._states[slot].health != "dead" or before is None:
            log.warning("ending %s: %s", slot.name, kill.reason)
        self._states[slot] = reconcile.ended(self._states[slot], now, kill.reason)
        self._kills[slot] = asyncio.ensure_future(self._killed(slot))

    async def _killed(self, slot: Slot) -> None:
        try:
            await self._actors.kill(self._handles[slot])
        except Exception as error:
            log.warning("cannot end %s: %r", slot.name, error)

    async def _start(self, slot: Slot, node: Node) -> None:
        if (kill := self._kills.pop(slot, None)) is not None:
            kill.cancel()
        if (ping := self._pings.pop(slot, None)) is not None:
            ping.cancel()
        try:
            self._handles[slot] = await self._actors.start(slot, node)
        except Exception as error:
            why = f"cannot be started: {error!r}"
            log.warning("%s %s", slot.name, why)
            now = self._clock()
            self._states[slot] = reconcile.died(reconcile.started(self._states[slot], now), now, why)
            return
        self._states[slot] = reconcile.started(self._states[slot], self._clock())
        log.info("started %s on %s", slot.name, node.ip)

    async def _look(self, timeout_s: float) -> None:
        """Ask every actor how it is. One question at a time: an actor that is silent is not asked again until it speaks."""
        for slot, state in self._states.items():
            if state.exists and slot not in self._pings:
                self._pings[slot] = asyncio.ensure_future(self._actors.ask(self._handles[slot]))
        if not self._pings:
            return
        await asyncio.wait(self._pings.values(), timeout=timeout_s)
        now = self._check_awake()
        for slot, ping in list(self._pings.items()):
            if ping.done():
                del self._pings[slot]
            self._states[slot] = self._after(ping, slot, now, timeout_s)

    def _after(self, ping: asyncio.Future[ReplicaStatus], slot: Slot, now: float, timeout_s: float) -> SlotState:
        state = self._states[slot]
        if not ping.done():
            return reconcile.silent(state, now, f"no answer within {timeout_s:g} s")
        error = ping.exception()
        if isinstance(error, ActorGone):
            return reconcile.died(state, now, str(error))
        if error is not None:
            return reconcile.silent(state, now, str(error))
        self._placed[slot] = ping.result().address.node_id
        return reconcile.heard(state, ping.result(), now, generation=self._spec.id)

    def _publish_if_changed(self) -> None:
        now, last = self._now_view(0), self._view
        if last is None:
            self._publish(1)
        elif _versioned(now) != _versioned(last):
            self._publish(last.version + 1)

    def _publish(self, version: int) -> None:
        self._view = self._now_view(version)
        self._changed.set()
        self._changed = asyncio.Event()

    def _now_view(self, version: int) -> ClusterView:
        topology = reconcile.topology_of(self._states, self._spec, version)
        return ClusterView(self._name, version, self._began, topology, reconcile.views_of(self._states, self._clock()))


def _versioned(view: ClusterView) -> object:
    """The part of a view whose change makes a new version; details and counts of seconds do not."""
    replicas = [(r.health, r.pid, r.starts, r.failures) for r in view.replicas]
    return view.topology.shards, view.topology.rankers, replicas
