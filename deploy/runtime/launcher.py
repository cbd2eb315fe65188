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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.config.sections import Config
from cluster.errors import ConfigError, Unavailable
from cluster.generation import Generation, Hold, current_id, generation_path
from cluster.private import own_folder, private_folder
from deploy.client import Client, ProblemAnswer, local_url
from deploy.machine.claim import claim
from deploy.machine.environment import Listen, missing, ray_variables, serve_variables, weakened
from deploy.machine.haproxy import RAY_SESSION, end_strays, find_haproxy, side_ports, write_wrapper
from deploy.machine.listeners import Listener, listeners_of, process_tree, require_free
from deploy.machine.secret_file import load_or_create
from deploy.runtime.arriving import missing_parts, next_step
from deploy.runtime.ending import end_application, end_supervisor
from deploy.runtime.user_loader import Tell, UserLoader
from deploy.runtime.wiring import SUPERVISOR, Wiring, front_dir, require_shared_users, socket_dir, user_store_url
from ranker.ranker import Ranker
from router.slate.rules import Rules
from router.users.opening import open_store

_OBJECT_STORE_BYTES = 128 << 20  # no query and no reply passes through it


class Launcher:
    """One cluster, from `start` to `stop`. tell: called with a step's name and what happened, for people."""

    def __init__(self, config: Config, tell: Tell) -> None:
        self._config = config
        self._tell = tell
        self._listen: Listen = "loopback" if config.ray.address == "" else "nodes"
        self._storage = Path(config.storage.path).absolute()
        self._undo = contextlib.ExitStack()
        self._ray: Any = None
        self._began = time.monotonic()

    def start(self) -> None:
        """Bring everything up and return once the cluster is ready, or as much of it as can be had
        (`deploy/runtime/arriving.py`).

        Raises OskolokError; call `stop` in any case.
        """
        config = self._config
        generation = self._hold_generation()
        folder = front_dir(config, self._storage)
        if self._listen == "loopback":
            self._undo.callback(claim(self._storage).release)
            end_strays(folder)  # of a cluster that was killed: the storage is claimed, so none lives
            require_free(config.http.host, config.http.port)
        self._start_ray(self._set_environment(folder))
        self._start_users(generation)
        wiring = Wiring(
            config=config,
            generation_path=str(generation.path),
            secret=bytes.fromhex(load_or_create(self._storage / "secrets" / "data-plane")),
            socket_dir=socket_dir(config, self._storage),
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
        listeners = listeners_of(process_tree(os.getpid()))
        return [listener for listener in listeners if not listener.on_loopback and listener.port not in allowed]

    def stop(self) -> None:
        """Undo `start`, as far as it came, newest first. Safe to call twice."""
        with _silence():  # Ray reports every actor that we end
            self._undo.close()

    def _hold_generation(self) -> Generation:
        """The current generation, held. Raises ConfigError or GenerationError for one that no actor could serve."""
        config = self._config
        for folder in ("generations", "replay", "build"):
            if (self._storage / folder).is_dir():
                private_folder(self._storage / folder)
        path = generation_path(self._storage, current_id(self._storage))
        self._undo.callback(Hold.shared(path).release)
        generation = Generation.open(path)
        if generation.spec.n_shards != config.cluster.n_shards:
            raise ConfigError(
                f"generation {generation.spec.id} has {generation.spec.n_shards} shards, "
                f"cluster.n_shards is {config.cluster.n_shards}: build again, or set cluster.n_shards to the generation's"
            )
        Rules.of(config.slate, generation.spec)
        Ranker.load(generation, heavy_model=config.ranker.heavy.model)  # refused here in a line, and not by every actor
        return generation

    def _set_environment(self, folder: Path) -> dict[str, str]:
        """Set the variables that Ray and Serve read and that nobody has set; those it set. folder: for HAProxy's files."""
        own_folder(folder)
        self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
        self._undo.callback(end_strays, folder)
        token_file = None
        if self._listen == "loopback":
            token_file = self._storage / "secrets" / "ray-token"
            load_or_create(token_file)
        binary = find_haproxy()
        if not binary:
            self._tell("serve", "HAProxy is not installed; Serve's own proxy handles about a tenth of the requests per second")
        wanted = ray_variables(self._listen, token_file) | serve_variables(folder, "haproxy" if binary else "serve")
        if binary and self._listen == "loopback":
            wanted |= side_ports() | {"RAY_SERVE_HAPROXY_BINARY_PATH": str(write_wrapper(binary, folder))}
        if warning := weakened(os.environ):
            self._tell("warning", warning)
        variables = missing(wanted, os.environ)
        os.environ.update(variables)
        return variables

    def _start_ray(self, variables: Mapping[str, str]) -> None:
        began = time.monotonic()
        import ray

        options: dict[str, Any] = {"namespace": self._config.ray.namespace, "log_to_driver": False, "logging_level": "warning"}
        if self._listen == "loopback":
            # "local" because without an address Ray would join whatever cluster runs on this machine.
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        else:
            # The cluster's processes were started by others: our settings reach those of this job only this way.
            options |= {"address": self._config.ray.address, "runtime_env": {"env_vars": dict(variables)}}
        context = ray.init(**options)
        if self._listen == "loopback":
            (front_dir(self._config, self._storage) / RAY_SESSION).write_text(context.address_info["session_dir"])
        self._ray = ray
        self._undo.callback(ray.shutdown)
        machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        require_shared_users(user_store_url(self._config), machines)
        where = "on this machine" if self._listen == "loopback" else f"at {self._config.ray.address}"
        self._tell("ray", f"{ray.__version__} {where}, {time.monotonic() - began:.1f} s")

    def _start_users(self, generation: Generation) -> None:
        url = user_store_url(self._config)
        loader = UserLoader(generation, url, lambda: open_store(url, self._config.users, access="write"), self._tell)
        self._undo.callback(loader.stop)
        loader.start()

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
        supervisor = self._ray.remote(SupervisorActor).options(**options).remote(wiring)
        self._undo.callback(end_supervisor, self._ray, supervisor)

    def _start_serve(self, wiring: Wiring) -> None:
        from ray import serve
        from ray.serve.config import HTTPOptions, ProxyLocation

        from deploy.runtime.serving import APPLICATION, application

        self._undo.callback(end_application)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        http = HTTPOptions(host=self._config.http.host, port=self._config.http.port)
        where = ProxyLocation.HeadOnly if self._listen == "loopback" else ProxyLocation.EveryNode
        serve.start(proxy_location=where, http_options=http, logging_config={"log_level": "WARNING"})
        serve.run(application(wiring), name=APPLICATION, route_prefix="/", blocking=False)

    def _wait_ready(self) -> None:
        began = time.monotonic()
        config = self._config
        client = Client(local_url(config.http), timeout_s=2)
        last = ""
        while True:
            try:
                answer = client.cluster()
            except (Unavailable, ProblemAnswer):
                answer = None
            checks = ", ".join(check[3:] for check in answer["checks"] if check.startswith(("[-]", "[~]"))) if answer else ""
            match next_step(answer, time.monotonic() - began):
                case "refuse":
                    raise Unavailable(f"not ready after {time.monotonic() - began:.0f} s: {last or 'no answer over HTTP'}")
                case "serve" if answer and answer["state"] != "READY":
                    self._tell("degraded", f"serving the parts that are ready, without waiting longer: {checks}")
                    for part in missing_parts(answer):
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
