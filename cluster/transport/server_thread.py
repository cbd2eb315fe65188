"""A data-plane server on a thread of its own, for a process whose main thread belongs to other code, such as Ray's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from cluster.config.sections import TransportSection
from cluster.transport.heartbeat import Heartbeat
from cluster.transport.server import Server
from cluster.transport.service import Service

_LOG = logging.getLogger(__name__)


class ServerThread:
    """Runs `service` on its thread's event loop: from one thread only, one batch at a time."""

    def __init__(
        self, service: Service, *, secret: bytes, limits: TransportSection, batch_max: int = 1, name: str = "data-plane"
    ) -> None:
        self._server = Server(service, secret=secret, limits=limits, batch_max=batch_max)
        self._heartbeat = Heartbeat(self._server)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._listen: Callable[[], Coroutine[Any, Any, int]]
        self._port: Future[int] = Future()
        self._grace_s = 0.0
        self._failed = False
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event

    def start(self, *, unix_path: str = "", host: str = "", port: int = 0) -> int:
        """Return once the server listens, with its TCP port (0 without TCP). Raises what `Server.start` raises."""
        self._listen = partial(self._server.start, unix_path=unix_path, host=host, port=port)
        self._thread.start()
        return self._port.result()

    def stop(self, grace_s: float = 1.0) -> None:
        """Close gracefully (see `Server.close`) and end the thread. Stopping twice, or what never started, does no harm."""
        if self._thread.ident is None:
            return
        if self.alive and self._port.exception() is None:
            self._grace_s = grace_s
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(0 if self._failed else None)

    @property
    def alive(self) -> bool:
        """Whether the thread serves. Once started it does until `stop`, or until an error that no service survives."""
        return self._thread.is_alive() and not self._failed

    def unanswered_s(self) -> float:
        """How long a call that needs no work has been waiting in the queue (see `Heartbeat`). One thread may ask."""
        with contextlib.suppress(RuntimeError):  # the loop has just closed; `alive` says so from now on
            return self._heartbeat.unanswered_s(self._loop.call_soon_threadsafe)
        return 0.0

    def _run(self) -> None:
        # Python 3.14 does this itself: `top -H` and py-spy then tell which of a Ray worker's many threads serves.
        with contextlib.suppress(OSError):
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self._thread.name)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException:
                self._failed = True  # at once: after this uvloop may take for ever to close
                _LOG.exception("the thread %s has ended: nothing serves here any more", self._thread.name)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            port = await self._listen()
        except BaseException as error:
            await self._server.close(0)
            self._port.set_exception(error)
            return
        self._port.set_result(port)
        await self._stopping.wait()
        await self._server.close(self._grace_s)
