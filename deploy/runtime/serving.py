"""The Serve deployment: each replica is one router with its HTTP application, on the replica's own event loop.

Serve provides ports, HAProxy and restarts of replicas. Admission and deadlines belong to the router; Serve's queue limits are
an outer fence that a healthy router never reaches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import BackpressureConfig
from starlette.types import ASGIApp

from cluster.clients.channel_pool import ChannelPool
from cluster.cluster_state import ClusterView
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import InternalError, OskolokError
from cluster.generation import Generation, current_id
from cluster.serving.garbage import settle
from deploy.http.app import create_app
from deploy.http.backend import Backend
from deploy.machine.loopback import keep_replica_on_loopback
from deploy.metrics.router_metrics import Metrics
from deploy.replay.recorder import ReplayLog
from deploy.runtime.follower import Follower
from deploy.runtime.wiring import SUPERVISOR, Wiring, user_store_url
from router.request import Request
from router.router import Router
from router.users.opening import open_store
from router.users.user_tower import UserTower
from router.users.user_tower_file import read_tower
from router.why.inquiry import IN_FLIGHT_MAX, Inquiry

APPLICATION = "oskolok"

_POLL_S = 10.0
_CHECK_S = 1.0
_PROBE = Request(user_id="\0health", k=1)

log = logging.getLogger("oskolok.router")


class RouterReplica:
    """What Serve runs. One for each `cluster.n_routers`."""

    async def __init__(self, wiring: Wiring) -> None:  # type: ignore[misc]  # Serve awaits it
        self._recorder: ReplayLog | None = None
        config = wiring.config
        logging.getLogger("oskolok").setLevel(config.observability.log_level.upper())
        if wiring.listen == "loopback":
            keep_replica_on_loopback()
        self._namespace = config.ray.namespace
        self._supervisor: Any = None
        metrics = Metrics()
        node_id = ray.get_runtime_context().get_node_id()
        channels = ChannelPool(secret=wiring.secret, limits=config.transport, node_id=node_id)
        self._follower = Follower(self._poll, channels, metrics.describe)
        users = open_store(user_store_url(config), config.users)
        tower_of = await asyncio.to_thread(_towers, wiring.generation_path)
        storage = Path(wiring.generation_path).parents[1]
        recorder = self._recorder = ReplayLog(storage / "replay", config)
        metrics.watch(recorder)
        router = Router(self._follower.fleet, users, config, observer=metrics, tower_of=tower_of, recorder=recorder)
        self._probe = Router(self._follower.fleet, users, config)
        few = config.admission.model_copy(update={"max_in_flight": IN_FLIGHT_MAX})
        asked = config.model_copy(update={"admission": few})
        inquiry = Inquiry(Router(self._follower.fleet, users, asked, tower_of=tower_of))
        backend = Backend(
            router,
            inquiry,
            lambda: self._follower.view,
            users,
            metrics,
            node_id,
            unobserved=self._probe,
            published=partial(current_id, storage),
        )
        self._app = create_app(backend, config)
        self._following = asyncio.create_task(self._follower.run())
        settle()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    def __del__(self) -> None:
        """Serve calls this when the replica has answered its last request."""
        if self._recorder is not None:
            self._recorder.close()

    async def check_health(self) -> None:
        """A real request through the router. That parts of the cluster are missing is no illness of this process."""
        if self._following.done():
            raise InternalError("the task that follows the supervisor has ended")
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._probe.recommend(_PROBE, Deadline.after_ms(_CHECK_S * 500))
        except InternalError:
            raise
        except OskolokError:
            return

    async def _poll(self, known_version: int) -> ClusterView | None:
        """Ask the supervisor. Its handle is looked up again after every failure: a restarted supervisor is another actor."""
        async with asyncio.timeout(_POLL_S + 2):
            try:
                if self._supervisor is None:
                    self._supervisor = await asyncio.to_thread(ray.get_actor, SUPERVISOR, self._namespace)
                newest: ClusterView | None = await self._supervisor.view.remote(known_version, _POLL_S)
                return newest
            except BaseException:
                self._supervisor = None
                raise


def _towers(generation_path: str) -> Callable[[str], UserTower | None]:
    """The user tower of a generation on disk, by its id. Without it, known users have the vector that the store holds."""
    towers: dict[str, UserTower | None] = {}
    try:
        generation = Generation.open(generation_path)
        towers[generation.id] = read_tower(generation)
    except OskolokError as error:
        log.warning("no user tower: %s", error)
    return towers.get


def application(wiring: Wiring) -> serve.Application:
    """What `serve.run` takes."""
    config = wiring.config
    deployment = serve.deployment(serve.ingress()(RouterReplica), name="router", **_options(config))
    return deployment.bind(wiring)


def _options(config: Config) -> dict[str, Any]:
    in_flight = config.admission.max_in_flight
    return {
        "num_replicas": config.cluster.n_routers,
        "max_ongoing_requests": 4 * in_flight + 16,
        "max_queued_requests": 4 * in_flight + 16,
        "backpressure_config": BackpressureConfig(status_code=429, retry_after_s=config.admission.retry_after_s),
        "ray_actor_options": {"num_cpus": config.ray.num_cpus_per_actor},
        "health_check_period_s": 2,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": 2,
        "graceful_shutdown_wait_loop_s": 0.2,
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }
