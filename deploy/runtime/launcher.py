"""Starts a cluster from a configuration and a generation, and stops it cleanly: Ray, users, supervisor, Serve, ready.

A wrong configuration refuses the start. Faults of the surroundings (a user store that is down, a shard that cannot be read) are
reported, and the rest is served.

`Launcher` starts only what is missing and stops only what it started. Ray is imported when it is needed, after the
environment that it reads at import was set; everything else of the CLI runs without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cluster.config.sections import Config
from cluster.errors import ConfigError, Unavailable
from cluster.generation import Generation, Hold, current_id, generation_path
from cluster.private import own_folder, private_folder
from deploy.client import Client, ProblemAnswer
from deploy.machine.claim import Claim
from deploy.machine.environment import Listen, missing, ray_variables, serve_variables, weakened
from deploy.machine.haproxy import end_strays, find_haproxy, side_ports, write_wrapper
from deploy.machine.listeners import Listener, descendants, listeners_of, require_free
from deploy.machine.secret_file import load_or_create
from deploy.runtime.arriving import missing_parts, next_step
from deploy.runtime.ending import end_application, end_supervisor
from deploy.runtime.user_loader import UserLoader
from deploy.runtime.wiring import SUPERVISOR, Wiring, front_dir, require_shared_users, socket_dir, user_store_url
from ranker.ranker import Ranker
from router.slate.rules import Rules
from router.users.opening import open_store

_OBJECT_STORE_BYTES = 128 << 20  # no query and no reply passes through it

Tell = Callable[[str, str], None]
"""Told (step, what happened) as the start goes on, for people."""


class Launcher:
    """One cluster, from `start` to `stop`."""

    def __init__(self, config: Config, tell: Tell) -> None:
        self._config = config
        self._tell = tell
        self._listen: Listen = "loopback" if config.ray.address == "" else "nodes"
        self._claim: Claim | None = None
        self._hold: Hold | None = None
        self._folder: Path | None = None
        self._users: UserLoader | None = None
        self._ray: Any = None
        self._supervisor: Any = None
        self._serving = False
        self._variables: dict[str, str] = {}
        self._began = time.monotonic()

    def start(self) -> None:
        """Bring everything up and return once the cluster is ready, or as much of it as can be had
        (`deploy/runtime/arriving.py`).

        Raises OskolokError; call `stop` in any case.
        """
        storage = Path(self._config.storage.path).absolute()
        for folder in ("generations", "replay", "build"):
            if (storage / folder).is_dir():
                private_folder(storage / folder)
        path = generation_path(storage, current_id(storage))
        self._hold = Hold.shared(path)
        generation = Generation.open(path)
        if generation.spec.n_shards != self._config.cluster.n_shards:
            raise ConfigError(
                f"generation {generation.spec.id} has {generation.spec.n_shards} shards, "
                f"cluster.n_shards is {self._config.cluster.n_shards}: build again, or set cluster.n_shards to the generation's"
            )
        Rules.of(self._config.slate, generation.spec)
        Ranker.load(generation, heavy_model=self._config.ranker.heavy.model)  # refused here in a line, and not by every actor
        if self._listen == "loopback":
            self._claim = Claim.on(storage)
            end_strays(front_dir(self._config, storage))  # of a cluster that was killed: the storage is claimed, so none lives
            require_free(self._config.http.host, self._config.http.port)
        self._set_environment(storage)
        self._start_ray()
        self._users = UserLoader(
            generation,
            user_store_url(self._config),
            lambda: open_store(user_store_url(self._config), self._config.users, access="write"),
            self._tell,
        )
        self._users.start()
        wiring = Wiring(
            config=self._config,
            generation_path=str(generation.path),
            secret=bytes.fromhex(load_or_create(storage / "secrets" / "data-plane")),
            socket_dir=socket_dir(self._config, storage),
            listen=self._listen,
        )
        self._start_supervisor(wiring)
        self._start_serve(wiring)
        self._wait_ready()

    def exposed(self) -> list[Listener]:
        """What of a local cluster can be reached from other machines. Should be nothing, unless http.host says so."""
        if self._listen != "loopback":
            return []
        allowed = (self._config.http.port,) if self._config.http.host not in ("127.0.0.1", "::1", "localhost") else ()
        found = listeners_of(descendants(os.getpid()))
        return [one for one in found if not one.on_loopback and one.port not in allowed]

    def stop(self) -> None:
        """Undo `start`, as far as it came, newest first. Safe to call twice."""
        if self._users is not None:
            self._users.stop()
        with _silence():  # Ray tells of every actor that we are ending
            self._stop_serve()
            self._stop_supervisor()
            if self._ray is not None:
                ray, self._ray = self._ray, None
                ray.shutdown()
        if self._folder is not None:
            end_strays(self._folder)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _stop_serve(self) -> None:
        if self._serving:
            self._serving = False
            end_application()

    def _stop_supervisor(self) -> None:
        if self._supervisor is not None:
            supervisor, self._supervisor = self._supervisor, None
            end_supervisor(self._ray, supervisor)

    def _set_environment(self, storage: Path) -> None:
        self._folder = own_folder(front_dir(self._config, storage))
        token_file = None
        if self._listen == "loopback":
            token_file = storage / "secrets" / "ray-token"
            load_or_create(token_file)
        binary = find_haproxy()
        if not binary:
            self._tell("serve", "HAProxy is not installed; Serve's own proxy handles about a tenth of the requests per second")
        wanted = ray_variables(self._listen, token_file)
        wanted |= serve_variables(self._folder, "haproxy" if binary else "serve")
        if binary and self._listen == "loopback":
            wanted |= side_ports() | {"RAY_SERVE_HAPROXY_BINARY_PATH": str(write_wrapper(binary, self._folder))}
        if warning := weakened(os.environ):
            self._tell("warning", warning)
        self._variables = missing(wanted, os.environ)
        os.environ.update(self._variables)

    def _start_ray(self) -> None:
        began = time.monotonic()
        import ray

        options: dict[str, Any] = {"namespace": self._config.ray.namespace, "log_to_driver": False, "logging_level": "warning"}
        if self._listen == "loopback":
            # "local" because without an address Ray would join whatever cluster runs on this machine.
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        else:
            # The cluster's processes were started by others: our settings reach those of this job only this way.
            options |= {"address": self._config.ray.address, "runtime_env": {"env_vars": self._variables}}
        ray.init(**options)
        self._ray = ray
        require_shared_users(
            user_store_url(self._config), {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        )
        where = "on this machine" if self._listen == "loopback" else f"at {self._config.ray.address}"
        self._tell("ray", f"{ray.__version__} {where}, {time.monotonic() - began:.1f} s")

    def _start_supervisor(self, wiring: Wiring) -> None:
        from deploy.runtime.ray_actors import SupervisorActor

        with contextlib.suppress(ValueError):
            self._ray.get_actor(SUPERVISOR, namespace=self._config.ray.namespace)
            raise ConfigError(
                f"a cluster already runs in the namespace {self._config.ray.namespace!r}: "
                "`oskolok stop` ends it, or set ray.namespace"
            )
        options = {
            "name": SUPERVISOR,
            "namespace": self._config.ray.namespace,
            "lifetime": "detached",
            "max_restarts": -1,
            "max_task_retries": 0,
            "num_cpus": 0,
        }
        self._supervisor = self._ray.remote(SupervisorActor).options(**options).remote(wiring)

    def _start_serve(self, wiring: Wiring) -> None:
        from ray import serve
        from ray.serve.config import HTTPOptions, ProxyLocation

        from deploy.runtime.serving import APPLICATION, application

        self._serving = True
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        http = HTTPOptions(host=self._config.http.host, port=self._config.http.port)
        where = ProxyLocation.HeadOnly if self._listen == "loopback" else ProxyLocation.EveryNode
        serve.start(proxy_location=where, http_options=http, logging_config={"log_level": "WARNING"})
        serve.run(application(wiring), name=APPLICATION, route_prefix="/", blocking=False)

    def _wait_ready(self) -> None:
        began = time.monotonic()
        config = self._config
        host = "127.0.0.1" if config.http.host in ("0.0.0.0", "::") else config.http.host
        client = Client(f"http://{host}:{config.http.port}", timeout_s=2)
        last = ""
        while True:
            try:
                found = client.cluster()
            except (Unavailable, ProblemAnswer):
                found = None
            checks = ", ".join(check[3:] for check in found["checks"] if check.startswith(("[-]", "[~]"))) if found else ""
            match next_step(found, time.monotonic() - began):
                case "refuse":
                    raise Unavailable(f"not ready after {time.monotonic() - began:.0f} s: {last or 'no answer over HTTP'}")
                case "serve" if found and found["state"] != "READY":
                    self._tell("degraded", f"serving the parts that are ready, without waiting longer: {checks}")
                    for part in missing_parts(found):
                        self._tell("missing", part)
                    return
                case "serve":
                    rankers = f", {config.cluster.n_rankers} rankers" if config.cluster.n_rankers else ""
                    routers = f"{config.cluster.n_routers} router{'s' if config.cluster.n_routers > 1 else ''}"
                    took = time.monotonic() - self._began
                    self._tell("ready", f"{config.cluster.n_shards} shards{rankers}, {routers}, {took:.1f} s in all")
                    return
            if checks and checks != last:
                self._tell("starting", checks)
                last = checks
            time.sleep(0.1)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing that this process prints is seen."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
