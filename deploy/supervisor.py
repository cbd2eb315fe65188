"""The Ray actor that keeps the cluster as it should be: looks, plans (`deploy/reconcile.py`), acts, publishes what it saw.

It is detached and restarts for ever; after a restart it finds its actors by name and goes on, and publishes nothing before it
has heard of them, so that routers never see an empty cluster. Shards and rankers are detached actors that Ray does not
restart: that is decided here. No query passes through here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.generation import Generation
from cluster.remote import from_ray, verdict
from cluster.topology import ReplicaStatus
from deploy.reconcile import (
    Kill,
    Node,
    Seen,
    Slot,
    Start,
    absent,
    died,
    heard,
    place,
    plan,
    silent,
    slots_of,
    started,
    topology_of,
    views_of,
)
from deploy.view import ClusterView
from deploy.wiring import Wiring
from ranker.actor import RankerActor
from shard.actor import ShardActor

PING_TIMEOUT_S = 1.0
ADOPTION_S = 3.0
"""How long a restarted supervisor waits for its actors' first words before it publishes."""

CALM = 4
"""While every slot is ready, it looks this many times less often."""

log = logging.getLogger("oskolok.supervisor")


class Supervisor:
    """Runs inside a Ray actor; its loop begins with it."""

    async def __init__(self, wiring: Wiring) -> None:  # type: ignore[misc]  # Ray awaits it
        self._wiring = wiring
        self._config = wiring.config
        self._spec = Generation.open(wiring.generation_path).spec
        self._slots = slots_of(self._spec.n_shards, self._config.cluster.n_rankers)
        self._seen: dict[Slot, Seen] = {slot: absent(time.monotonic()) for slot in self._slots}
        self._handles: dict[Slot, Any] = {}
        self._pings: dict[Slot, asyncio.Future[ReplicaStatus]] = {}
        self._placed: dict[Slot, str] = {}
        self._began = time.time()
        self._view: ClusterView | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        self._loop = asyncio.create_task(self._run())

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
        self._loop.cancel()
        stops = [asyncio.ensure_future(_answer(handle.stop.remote())) for handle in self._handles.values()]
        if stops:
            await asyncio.wait(stops, timeout=2.0)
        for handle in self._handles.values():
            ray.kill(handle)

    async def _run(self) -> None:
        interval_s = self._config.ray.heal_interval_ms / 1000
        if self._adopt():
            await self._look(ADOPTION_S)
        while True:
            began = time.monotonic()
            try:
                await self._act()
                await self._look(PING_TIMEOUT_S)
                self._publish_if_changed()
            except Exception:
                log.exception("the supervisor's round failed; it goes on")
            calm = all(one.health == "ready" for one in self._seen.values())
            rest = interval_s * (CALM if calm else 1) - (time.monotonic() - began)
            await asyncio.sleep(max(rest, 0.02))

    def _adopt(self) -> bool:
        """Take over the actors of an earlier supervisor; whether there were any."""
        for slot in self._slots:
            try:
                handle = ray.get_actor(slot.name, namespace=self._config.ray.namespace)
            except ValueError:
                continue
            self._handles[slot] = handle
            self._seen[slot] = started(self._seen[slot], time.monotonic())
        return bool(self._handles)

    async def _act(self) -> None:
        for action in plan(self._seen, time.monotonic()):
            match action:
                case Start(slot):
                    await self._start(slot)
                case Kill(slot, reason):
                    log.warning("ending %s: %s", slot.name, reason)
                    ray.kill(self._handles[slot])

    async def _start(self, slot: Slot) -> None:
        now = time.monotonic()
        try:
            node = place(slot, await self._nodes(), self._placed)
            self._handles[slot] = self._create(slot, node)
        except Exception as error:
            why = from_ray(error, slot.name).message
            log.warning("cannot start %s: %s", slot.name, why)
            self._seen[slot] = died(started(self._seen[slot], now), now, why)
            return
        self._placed[slot] = node.id
        if (ping := self._pings.pop(slot, None)) is not None:
            ping.cancel()
        self._seen[slot] = started(self._seen[slot], now)
        log.info("started %s on %s", slot.name, node.ip)

    def _create(self, slot: Slot, node: Node) -> Any:
        config = self._config
        common: dict[str, Any] = {
            "name": slot.name,
            "generation_path": self._wiring.generation_path,
            "secret": self._wiring.secret,
            "transport": config.transport,
            "unix_path": f"{self._wiring.socket_dir}/{slot.name}.sock",
            "host": "" if self._wiring.listen == "loopback" else node.ip,
            "node_id": node.id,
        }
        options: dict[str, Any] = {
            "name": slot.name,
            "namespace": config.ray.namespace,
            "lifetime": "detached",
            "max_restarts": 0,
            "max_task_retries": 0,
            "num_cpus": config.ray.num_cpus_per_actor,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False),
        }
        if slot.shard >= 0:
            return ray.remote(ShardActor).options(**options).remote(shard=slot.shard, **common)
        batch, heavy = config.ranker.batch_requests_max, config.ranker.heavy.model
        return ray.remote(RankerActor).options(**options).remote(batch_requests_max=batch, heavy_model=heavy, **common)

    async def _nodes(self) -> Sequence[Node]:
        """The nodes that actors may be placed on: all that live, or without `ray.spread` this one."""
        alive = [Node(n["NodeID"], n["NodeManagerAddress"]) for n in await asyncio.to_thread(ray.nodes) if n["Alive"]]
        if self._config.ray.spread:
            return sorted(alive, key=lambda node: node.id)
        here = ray.get_runtime_context().get_node_id()
        return [node for node in alive if node.id == here]

    async def _look(self, timeout_s: float) -> None:
        """Ask every actor how it is. One question at a time: an actor that is silent is not asked again until it speaks."""
        for slot, seen in self._seen.items():
            if seen.exists and slot not in self._pings:
                self._pings[slot] = asyncio.ensure_future(_answer(self._handles[slot].status.remote()))
        if not self._pings:
            return
        await asyncio.wait(self._pings.values(), timeout=timeout_s, return_when=asyncio.ALL_COMPLETED)
        now = time.monotonic()
        for slot, ping in list(self._pings.items()):
            seen = self._seen[slot]
            if not ping.done():
                self._seen[slot] = silent(seen, now, f"no answer within {timeout_s:g} s")
                continue
            del self._pings[slot]
            if (error := ping.exception()) is None:
                self._seen[slot] = heard(seen, ping.result(), now)
                self._placed[slot] = ping.result().address.node_id
            elif verdict(error) == "dead":
                self._seen[slot] = died(seen, now, from_ray(error, slot.name).message)
            else:
                self._seen[slot] = silent(seen, now, from_ray(error, slot.name).message)

    def _publish_if_changed(self) -> None:
        now = self._now_view(0)
        last = self._view
        if last is None or (now.topology.shards, now.topology.rankers) != (last.topology.shards, last.topology.rankers):
            self._publish((last.version if last else 0) + 1)
        elif [(r.health, r.pid, r.starts) for r in now.replicas] != [(r.health, r.pid, r.starts) for r in last.replicas]:
            self._publish(last.version + 1)

    def _publish(self, version: int) -> None:
        self._view = self._now_view(version)
        self._changed.set()
        self._changed = asyncio.Event()

    def _now_view(self, version: int) -> ClusterView:
        topology = topology_of(self._seen, self._spec, version)
        replicas = views_of(self._seen, time.monotonic())
        return ClusterView(self._config.cluster.name, version, self._began, topology, replicas)


async def _answer(ref: Any) -> Any:
    """An ObjectRef as a coroutine, which asyncio can make a task of."""
    return await ref
