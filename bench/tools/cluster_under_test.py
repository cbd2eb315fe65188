"""The servers that the whole-request benchmarks compare, as processes on loopback: ours, the textbook form, the single process.

Each is started as its users would start it and stopped by its own pid. A cluster's CPU is that of its whole process tree.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.tools.machine import CpuMeter
from bench.tools.world import Size, World, publish
from cluster.generation import FORMAT, generation_path
from deploy.machine.listeners import process_tree

CACHE = Path(os.environ.get("OSKOLOK_CACHE", Path.home() / ".cache" / "oskolok")) / "bench"
PATH = "/v1/recommend"
_STOPPING_S = 8.0  # one that stood still for minutes may find its own parts taken for dead, and wait for them
N_ANN, N_TOPS, N_HISTORY, N_LIGHT, N_HEAVY = 300, 100, 40, 400, 100


@dataclass
class Server:
    """A running system. `port` answers POST /v1/recommend."""

    system: str
    port: int
    child: subprocess.Popen[bytes]

    def recommend(self, user_id: str, k: int) -> dict[str, object]:
        """One answer. Raises RuntimeError if it is not a 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = json.dumps({"user_id": user_id, "k": k})
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{self.system} answered {response.status}: {text[:300]!r}")
        return json.loads(text)

    def cpu(self) -> CpuMeter:
        return CpuMeter([self.child.pid])

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Runs inside, and stands still outside, where its idle loops would take cores from another system's turn."""
        self.resume()
        try:
            yield
        finally:
            self.pause()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in process_tree(self.child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True)
class Deployment:
    """A world on disk, cut into shards, with a configuration that serves it."""

    world: World
    config: Path
    generation: Path
    n_shards: int


def deployment(n_items: int, n_shards: int) -> Deployment:
    """The world of that size, built on first use and kept below the cache."""
    world = World.made(Size(n_items))
    storage = CACHE / f"world-{FORMAT}-{n_items}-{n_shards}"
    if not (storage / "CURRENT").exists():
        publish(world, storage, n_shards)
    config = storage / "oskolok.toml"
    config.write_text(_CONFIG.format(storage=storage, n_shards=n_shards, port=free_port()))
    return Deployment(world, config, generation_path(storage, f"world-{n_items}-{n_shards}"), n_shards)


@contextlib.contextmanager
def ours(deployed: Deployment) -> Iterator[Server]:
    """`oskolok serve`."""
    port = next(int(line.split("=")[1]) for line in deployed.config.read_text().splitlines() if line.startswith("port"))
    command = [sys.executable, "-m", "deploy.cli", "serve", "--config", str(deployed.config)]
    with _running("oskolok", port, command) as server:
        yield server


@contextlib.contextmanager
def textbook(deployed: Deployment) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.textbook", "--port", str(port)]
    command += ["--generation", str(deployed.generation), "--config", str(deployed.config)]
    with _running("ray actors + default serve", port, command) as server:
        yield server


@contextlib.contextmanager
def single_process(deployed: Deployment) -> Iterator[Server]:
    port = free_port()
    widths = {"ann": N_ANN, "tops": N_TOPS, "history": N_HISTORY, "light": N_LIGHT, "heavy": N_HEAVY}
    command = [sys.executable, "-m", "bench.peers.single", "--port", str(port), "--items", str(deployed.world.size.n_items)]
    command += [part for name, width in widths.items() for part in (f"--{name}", str(width))]
    with _running("fastapi + hnswlib + catboost", port, command) as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(system: str, port: int, command: list[str], *, patience_s: float = 120) -> Iterator[Server]:
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / f"{system.split()[0]}.log"
    environ = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the best setting for all of them
    with log.open("wb") as sink:
        child = subprocess.Popen(command, env=environ, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
    server = Server(system, port, child)
    try:
        _wait_for_answer(server, log, patience_s)
        yield server
    finally:
        server.resume()
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            for pid in process_tree(child.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            child.wait()


def _wait_for_answer(server: Server, log: Path, patience_s: float) -> None:
    gives_up_at = time.monotonic() + patience_s
    while True:
        try:
            server.recommend("user-00000", 1)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            refused = "answered 42" in str(error)  # 404 is Serve before its application is there
            if refused or server.child.poll() is not None or time.monotonic() > gives_up_at:
                raise RuntimeError(f"{server.system} did not start ({error}): see {log}\n{log.read_text()[-2000:]}") from None
            time.sleep(0.2)
        else:
            return


_CONFIG = f"""\
# The world of the whole-request benchmarks. Widths as in bench/peers/single.py.
[storage]
path = "{{storage}}"

[cluster]
n_shards = {{n_shards}}
n_rankers = 2

[catalog]
category = ["category"]
number = ["price"]

[http]
port = {{port}}

[sources.tops]
k = {N_TOPS}
windows_days = [28]
group_by = "category"

[sources.ann]
k = {N_ANN}

[sources.history]
k = {N_HISTORY}

[merge]
n_light = {N_LIGHT}

[ranker.heavy]
n_heavy = {N_HEAVY}

[deadline]
default_ms = 2000
"""
