"""A cluster as its users start it, `oskolok serve`, and the things a test does to one: ask, load, look at, kill.

Only processes of this cluster are ever touched: pids come from the cluster itself or from the tree below the process that
was started here.
"""

from __future__ import annotations

import asyncio
import ctypes
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.config.sections import Config
from cluster.config.text import render
from cluster.generation import Generation, current_id, generation_path
from cluster.user_records import read_users
from deploy.machine.listeners import Listener, listeners_of, process_tree
from deploy.runtime.wiring import user_store_url
from router.users.opening import open_store

START_TIMEOUT_S = 90
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. took_s: from before the connection was made, which was at sent_at, to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float
    sent_at: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def degraded(self) -> list[str]:
        return list(self.json["degraded"])

    @property
    def ratio(self) -> float:
        return float(self.json["coverage"]["ratio"])


class Cluster:
    """Starts with the constructor, ends with `stop`."""

    def __init__(self, config: Config, folder: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.port = config.http.port
        self.log = folder / "serve.log"
        file = folder / "oskolok.toml"
        file.write_text(render(config))
        with self.log.open("wb") as sink:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "serve", "--config", str(file)],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        self.pid = self._child.pid
        wait_until(lambda: "Stop       Ctrl-C" in self.said() or self._child.poll() is not None, START_TIMEOUT_S, "no start")
        assert self._child.poll() is None, f"it ended with {self._child.returncode}:\n{self.said()}"

    def said(self) -> str:
        return self.log.read_text()

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(
                method, path, body, dict(headers or {}), encode_chunked=body is not None and not isinstance(body, bytes)
            )
            answer = connection.getresponse()
            content = answer.read()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, content, time.monotonic() - began, began)
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def recommend(self, user_id: str, **fields: object) -> Reply:
        return self.request("POST", "/v1/recommend", json.dumps({"user_id": user_id, **fields}).encode(), JSON)

    def view(self) -> Any:
        """What GET /v1/cluster shows."""
        return self.get("/v1/cluster").json["cluster"]

    def part(self, name: str) -> Any:
        """One shard or ranker of the view."""
        return next(part for part in self.view()["replicas"] if part["name"] == name)

    def pids(self) -> dict[str, int]:
        return {part["name"]: part["pid"] for part in self.view()["replicas"]}

    def tree(self) -> list[int]:
        return process_tree(self.pid)

    def pid_titled(self, title: str) -> int:
        """The one process below this cluster whose command line begins like this."""
        found = [pid for pid in self.tree() if command_of(pid).startswith(title)]
        assert len(found) == 1, f"{title}: {[command_of(pid) for pid in self.tree()]}"
        return found[0]

    def listeners(self) -> list[Listener]:
        return listeners_of(self.tree())

    def wait_whole(self, timeout_s: float) -> float:
        """Seconds until every part was ready and an answer had full coverage and no degradation."""
        began = time.monotonic()
        wait_until(self._whole, timeout_s, lambda: f"not whole: {self.get('/v1/cluster').body[-3000:]!r}")
        return time.monotonic() - began

    def _whole(self) -> bool:
        if self.get("/v1/cluster").json["state"] != "READY":
            return False
        reply = self.recommend("user-0001")
        return reply.status == 200 and reply.ratio == 1 and not reply.degraded

    def load_users(self) -> None:
        """Write the generation's users into the store, as the start did."""
        generation = Generation.open(generation_path(self.config.storage.path, current_id(self.config.storage.path)))

        async def put() -> None:
            store = open_store(user_store_url(self.config), self.config.users, access="write")
            await store.put_many(read_users(generation))
            await store.close()

        asyncio.run(put())

    def wait_gone(self) -> None:
        """Once the process that was started here has been killed."""
        self._child.wait(10)

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(60)


def kill(*pids: int) -> None:
    for pid in pids:
        assert pid > 1
        os.kill(pid, signal.SIGKILL)


@contextmanager
def hung(*pids: int) -> Iterator[None]:
    """These processes do nothing while the block runs; their sockets stay open, so nothing tells that they are gone."""
    try:
        _signal(signal.SIGSTOP, pids)
        yield
    finally:
        _signal(signal.SIGCONT, pids)


@contextmanager
def slowed(*pids: int, stopped_ms: float, running_ms: float) -> Iterator[None]:
    """These processes stand still in turns while the block runs, as on a machine that others keep busy."""
    stop = threading.Event()

    def halt_and_go() -> None:
        while not stop.wait(running_ms / 1000):
            with hung(*pids):
                time.sleep(stopped_ms / 1000)

    halting = threading.Thread(target=halt_and_go)
    halting.start()
    try:
        yield
    finally:
        stop.set()
        halting.join()


@contextmanager
def wedged(pid: int, thread: str) -> Iterator[None]:
    """One thread of a process stands still while the block runs, and the others go on: as in a native call that never returns.

    A debugger's means (ptrace, which may be used on processes below one's own). The thread is caught while it waits for the
    network, so that it does not hold the interpreter's lock, without which no other thread could go on.
    """
    (tid,) = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == thread]
    _ptrace(_SEIZE, tid)
    try:
        for _ in range(200):
            _ptrace(_INTERRUPT, tid)
            os.waitpid(tid, _ANY_THREAD)
            if Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()[0] in _EPOLL_WAITS:
                break
            _ptrace(_CONTINUE, tid)
            time.sleep(0.005)
        else:
            raise AssertionError(f"thread {thread} of {pid} never waits")
        yield
    finally:
        with suppress(OSError):
            _ptrace(_DETACH, tid)
        with suppress(ChildProcessError):  # of a thread that has ended meanwhile its debugger is told last
            os.waitpid(tid, _ANY_THREAD | os.WNOHANG)


_SEIZE, _INTERRUPT, _CONTINUE, _DETACH = 0x4206, 0x4207, 7, 17
_ANY_THREAD = 0x40000000
_EPOLL_WAITS = {"22", "232", "281", "441"}
"""The numbers of epoll_wait, epoll_pwait and epoll_pwait2, on x86-64 and on ARM."""


def _ptrace(request: int, tid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of thread {tid}")


def _signal(number: signal.Signals, pids: tuple[int, ...]) -> None:
    for pid in pids:
        assert pid > 1
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def wait_until(condition: Callable[[], bool], timeout_s: float, why: str | Callable[[], str]) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(why if isinstance(why, str) else why())
        time.sleep(0.02)


@dataclass
class Load:
    """Requests sent at a steady rate, whatever becomes of those before. replies: in the order of sending."""

    replies: list[Reply] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> set[int]:
        return {reply.status for reply in self.replies}

    def quantile_s(self, share: float) -> float:
        times = sorted(reply.took_s for reply in self.replies if reply.status == 200)
        return times[min(int(len(times) * share), len(times) - 1)]


@contextmanager
def load(cluster: Cluster, *, per_s: float, threads: int = 8, **fields: object) -> Iterator[Load]:
    """Real users' requests while the block runs."""
    found = Load()
    lock, stop = threading.Lock(), threading.Event()
    began = time.monotonic()
    counter = iter(range(10**9))

    def send() -> None:
        while not stop.is_set():
            with lock:
                number = next(counter)
            if stop.wait(max(0.0, began + number / per_s - time.monotonic())):
                return
            try:
                reply = cluster.recommend(f"user-{number % 80:04d}", **fields)
            except OSError as error:
                with lock:
                    found.failures.append(f"{type(error).__name__}: {error}")
            else:
                with lock:
                    found.replies.append(reply)

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield found
    finally:
        stop.set()
        for sender in senders:
            sender.join()
