"""Shards, rankers and the supervisor as Ray actors, detached and named. Shards and rankers are not restarted by Ray.

Many of Ray's calls block for as long as its control store (GCS) does not answer: they run on other threads, for a limited
time, so that the supervisor's loop goes on. What each of Ray's errors says about an actor is `cluster/ray_errors.py`'s to tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.cluster_state import ClusterView
from cluster.generation import Generation, Hold
from cluster.ray_errors import from_ray, verdict
from cluster.serving.endpoint import Endpoint
from cluster.topology import ReplicaStatus
from deploy.runtime.actors import ActorGone
from deploy.runtime.reconcile import Node, Slot
from deploy.runtime.supervisor import Supervisor
from deploy.runtime.wiring import Wiring
from ranker.actor import RankerActor
from shard.actor import ShardActor

CALL_TIMEOUT_S = 5.0
"""The longest a call to Ray's control store may take. Registering an actor on a busy laptop takes a second."""

log = logging.getLogger("oskolok.supervisor")

T = TypeVar("T")


class RayActors:
    """`deploy.runtime.actors.Actors` on the Ray cluster that this process is part of."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._config = wiring.config
        self._here = ray.get_runtime_context().get_node_id()

    async def find(self, slot: Slot) -> Any | None:
        def look_up() -> Any | None:
            try:
                return ray.get_actor(slot.name, namespace=self._config.ray.namespace)
            except ValueError:
                return None

        return await _off_the_loop(look_up)

    async def nodes(self) -> Sequence[Node]:
        """All that live, or without `ray.spread` this one."""
        alive = [Node(n["NodeID"], n["NodeManagerAddress"]) for n in await _off_the_loop(ray.nodes) if n["Alive"]]
        if self._config.ray.spread:
            return sorted(alive, key=lambda node: node.id)
        return [node for node in alive if node.id == self._here]

    async def start(self, slot: Slot, node: Node) -> Any:
        return await _off_the_loop(lambda: self._create(slot, node))

    async def ask(self, handle: Any) -> ReplicaStatus:
        try:
            status: ReplicaStatus = await handle.status.remote()
        except Exception as error:
            ours = from_ray(error, "the actor")
            if verdict(error) == "dead":
                raise ActorGone(ours.message) from error
            raise ours from error
        return status

    async def kill(self, handle: Any) -> None:
        await _off_the_loop(lambda: ray.kill(handle))

    async def stop(self, handle: Any) -> None:
        await handle.stop.remote()

    def _create(self, slot: Slot, node: Node) -> Any:
        config = self._config
        endpoint = Endpoint(
            name=slot.name,
            shard=slot.shard,
            generation_path=self._wiring.generation_path,
            node_id=node.id,
            unix_path=f"{self._wiring.socket_dir}/{slot.name}.sock",
            host="" if self._wiring.listen == "loopback" else node.ip,
            secret=self._wiring.secret,
            limits=config.transport,
        )
        options: dict[str, Any] = {
            "name": slot.name,
            "namespace": config.ray.namespace,
            "get_if_exists": True,  # a call that took too long may have made it after all
            "lifetime": "detached",
            "max_restarts": 0,
            "max_task_retries": 0,
            "num_cpus": config.ray.num_cpus_per_actor,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False),
        }
        if slot.shard >= 0:
            return ray.remote(ShardActor).options(**options).remote(endpoint)
        batch, heavy = config.ranker.batch_requests_max, config.ranker.heavy.model
        return ray.remote(RankerActor).options(**options).remote(endpoint, batch_requests_max=batch, heavy_model=heavy)


class SupervisorActor:
    """The supervisor as a process, which Ray restarts for ever; its loop begins with it."""

    async def __init__(self, wiring: Wiring) -> None:  # type: ignore[misc]  # Ray awaits it
        self._hold = Hold.shared(Path(wiring.generation_path))
        self._supervisor = Supervisor(
            RayActors(wiring),
            Generation.open(wiring.generation_path).spec,
            name=wiring.config.cluster.name,
            n_rankers=wiring.config.cluster.n_rankers,
            interval_s=wiring.config.ray.heal_interval_ms / 1000,
        )
        self._supervisor.begin(_end_this_process)

    async def view(self, known_version: int, wait_s: float) -> ClusterView | None:
        return await self._supervisor.view(known_version, wait_s)

    async def stop(self) -> None:
        await self._supervisor.stop()


def _end_this_process(why: str) -> None:
    """A supervisor whose loop has ended heals no actor, so Ray starts another. `exit_actor` would count as intended."""
    log.error("the supervisor's loop has ended, its process ends with it: %s", why)
    logging.shutdown()
    os._exit(1)


async def _off_the_loop(call: Callable[[], T]) -> T:
    """What a blocking call returns. Raises TimeoutError; the call then goes on unheard."""
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await asyncio.to_thread(call)
