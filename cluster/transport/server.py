"""The listening side of the data plane: it accepts peers that hold the secret and feeds their calls to a service.

Frames are parsed, and their calls time-stamped, as soon as they arrive; calls then wait in one queue, and each turn of
the event loop serves from its head for a bounded time. So a queue's delay is seen where it happens, expired work is
dropped before it costs anything, and a service that takes batches finds everything that waited in one batch.
A service's exception becomes an error frame; nothing a service or a peer does ends another peer's connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import cast

from cluster.config.sections import TransportSection
from cluster.deadline import Clock
from cluster.errors import DeadlineExceeded, OskolokError
from cluster.transport.handshake import check_secret
from cluster.transport.server_connection import ServerConnection
from cluster.transport.service import Call, Service
from cluster.transport.sockets import LISTEN_BACKLOG, bind_unix, unlink_unix

_LOG = logging.getLogger(__name__)

_TURN_S = 100e-6
"""How long a turn of the loop may go on to begin services: cheap calls share a turn, expensive ones take one each."""


class Server:
    """Serves any number of connections over a Unix socket, TCP or both, on the loop it is started on.

    batch_max: how many waiting calls the service is given at once, at most.
    """

    def __init__(
        self,
        service: Service,
        *,
        secret: bytes,
        limits: TransportSection,
        batch_max: int = 1,
        clock: Clock = time.monotonic,
    ) -> None:
        check_secret(secret)
        self.limits = limits
        self.secret = secret
        self.clock = clock
        self.closing = False
        self.connections: dict[ServerConnection, None] = {}  # a set in the order of arrival
        self._service = service
        self._batch_max = batch_max
        self._queue: deque[Call] = deque()
        self._turn_is_due = False
        self._listeners: list[asyncio.Server] = []
        self._unix_path = ""

    async def start(self, *, unix_path: str = "", host: str = "", port: int = 0) -> int:
        """Listen on a Unix socket and/or on TCP (port 0: any free one). Returns the TCP port, or 0 without TCP.

        Raises ConfigError if the path cannot be used, OSError if the TCP address cannot.
        """
        self._loop = asyncio.get_running_loop()
        bound_port = 0
        if host:
            listener = await self._loop.create_server(self._accept, host, port, backlog=LISTEN_BACKLOG)
            self._listeners.append(listener)
            bound_port = cast(int, listener.sockets[0].getsockname()[1])
        if unix_path:
            bound = bind_unix(unix_path)
            self._unix_path = unix_path
            self._listeners.append(await self._loop.create_unix_server(self._accept, sock=bound, backlog=LISTEN_BACKLOG))
        return bound_port

    async def close(self, grace_s: float = 1.0) -> None:
        """Accept nothing new, let calls in flight finish for up to grace_s, send what is written, close everything."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        if self._unix_path:
            unlink_unix(self._unix_path)
        until = self._loop.time() + grace_s
        while any(connection.in_flight for connection in self.connections) and self._loop.time() < until:
            await asyncio.sleep(0.002)
        self._queue.clear()
        for connection in list(self.connections):
            connection.close()
        until = max(until, self._loop.time() + 0.1)
        while self.connections and self._loop.time() < until:
            await asyncio.sleep(0.002)
        for connection in list(self.connections):
            connection.abort()
        while self.connections:
            await asyncio.sleep(0)
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    def enqueue(self, calls: list[Call]) -> None:
        """Let the calls wait for their turn, which is now if no other turn is due and there is no batch to wait for."""
        self._queue.extend(calls)
        if self._turn_is_due:
            return
        if self._batch_max == 1:
            self._take_turn()
        else:
            self._turn_is_due = True
            self._loop.call_soon(self._take_turn)

    def _accept(self) -> ServerConnection:
        return ServerConnection(self)

    def _take_turn(self) -> None:
        queue, clock = self._queue, self.clock
        now = clock()
        until = now + _TURN_S
        while queue and now < until:
            batch: list[Call] = []
            while queue and len(batch) < self._batch_max:
                call = queue.popleft()
                if not call.origin.open:
                    continue
                call.queued_us = (now - call.arrived_at) * 1e6
                if now >= call.expires_at:
                    call.fail(DeadlineExceeded(f"expired after waiting {call.queued_us:.0f} us", stage="queue"))
                else:
                    batch.append(call)
            if batch:
                self._serve(batch)
            now = clock()
        self._turn_is_due = bool(queue)
        if queue:
            self._loop.call_soon(self._take_turn)

    def _serve(self, batch: list[Call]) -> None:
        try:
            self._service(batch)
        except Exception as error:  # whatever it is, it is the callers' answer; see errors.to_wire
            if not isinstance(error, OskolokError):
                _LOG.exception("the service failed on %d calls", len(batch))
            for call in batch:
                if not call.answered:
                    call.fail(error)
