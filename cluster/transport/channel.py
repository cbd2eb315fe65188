"""A lasting way to reach one server: it connects, reconnects with growing and jittered pauses, and never blocks a caller.

While there is no connection, calls fail at once; whether to try another replica is the caller's decision
(`cluster/clients/replicas.py`). It knows nothing of what is called.
"""

from __future__ import annotations

import asyncio
import random
from typing import TypeVar

from cluster.config.sections import TransportSection
from cluster.deadline import Deadline
from cluster.errors import ConnectionLost, OskolokError
from cluster.topology import Address
from cluster.transport.client_connection import ClientConnection, Decode
from cluster.transport.handshake import check_secret

T = TypeVar("T")


def pause_s(attempt: int, *, min_ms: float, max_ms: float, jitter: float) -> float:
    """Seconds to wait after the attempt-th failure in a row (from 1): doubling from min_ms to max_ms.

    jitter in [0, 1) scales it down to between a half and all of that, so that callers of one dead server spread out.
    """
    ceiling_ms = min(max_ms, min_ms * 2.0 ** min(attempt - 1, 30))
    return float(ceiling_ms * (1 - jitter / 2) / 1000)


class Channel:
    """To the server at `address`: over its Unix socket if that is on our own node, else over TCP.

    Belongs to the loop it was made on, and starts connecting there at once.
    """

    def __init__(self, address: Address, *, node_id: str, secret: bytes, limits: TransportSection) -> None:
        check_secret(secret)
        self.address = address
        self._unix_path = address.unix_path if address.node_id == node_id else ""
        self._peer = self._unix_path or f"{address.host}:{address.port}"
        self._secret = secret
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._connection: ClientConnection | None = None
        self._is_connected = asyncio.Event()
        self._problem: OskolokError = ConnectionLost(f"not yet connected to {self._peer}")
        self._keeper = self._loop.create_task(self._keep_connected())

    @property
    def connected(self) -> bool:
        connection = self._connection
        return connection is not None and connection.open

    @property
    def in_flight(self) -> int:
        """Calls that wait for their reply."""
        return self._connection.in_flight if self._connection is not None else 0

    @property
    def load(self) -> int:
        """For choosing among servers: calls in flight, and calls given up on since the server was last heard."""
        connection = self._connection
        return connection.in_flight + connection.unanswered if connection is not None else 0

    def call(self, method: int, body: bytes, deadline: Deadline, decode: Decode[T]) -> asyncio.Future[T]:
        """Send a request and return at once. The future is done with decode(reply), or fails with an error of ours:

        the server's own; ConnectionLost or HandshakeRefused without a connection, ConnectionLost if it breaks;
        DeadlineExceeded at the latest some 20 ms after the deadline; Overloaded and MalformedFrame over our limits.
        """
        connection = self._connection
        if connection is not None and connection.open:
            return connection.call(method, body, deadline, decode)
        future: asyncio.Future[T] = self._loop.create_future()
        future.set_exception(_fresh(self._problem))
        return future

    async def wait_connected(self, timeout_s: float) -> bool:
        """Whether there is a connection, now or within timeout_s."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.connected:
                    self._is_connected.clear()  # it may be set still, for a connection that was lost this instant
                    await self._is_connected.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Stop connecting and close; calls in flight fail with ConnectionLost."""
        self._problem = ConnectionLost(f"the channel to {self._peer} is closed")
        if self._connection is not None:
            self._connection.abort(self._problem)
        self._keeper.cancel()

    @property
    def closed(self) -> bool:
        """Whether nothing of a closed channel is left."""
        return self._keeper.done()

    async def wait_closed(self) -> None:
        """Until nothing of a closed channel is left."""
        await asyncio.wait([self._keeper])

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            began = self._loop.time()
            self._problem = await self._connect_and_serve()
            lasted_s = self._loop.time() - began
            attempt = 1 if lasted_s * 1000 > self._limits.reconnect_max_ms + self._limits.connect_timeout_ms else attempt + 1
            await asyncio.sleep(
                pause_s(
                    attempt,
                    min_ms=self._limits.reconnect_min_ms,
                    max_ms=self._limits.reconnect_max_ms,
                    jitter=random.random(),
                )
            )

    async def _connect_and_serve(self) -> OskolokError:
        """One connection from beginning to end. Returns why it ended, or could not be made."""
        connection = ClientConnection(
            self._peer,
            secret=self._secret,
            in_flight_max=self._limits.in_flight_max,
            frame_bytes_max=self._limits.frame_bytes_max,
        )
        connection.ready.add_done_callback(_look)
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout(self._limits.connect_timeout_ms / 1000):
                if self._unix_path:
                    transport, _ = await self._loop.create_unix_connection(lambda: connection, self._unix_path)
                else:
                    transport, _ = await self._loop.create_connection(lambda: connection, self.address.host, self.address.port)
                await connection.ready
            self._connection = connection
            self._problem = ConnectionLost(f"lost the connection to {self._peer}")
            self._is_connected.set()
            return await asyncio.shield(connection.lost)
        except OskolokError as error:
            return error
        except TimeoutError:
            return ConnectionLost(f"{self._peer} did not answer within {self._limits.connect_timeout_ms} ms")
        except OSError as error:
            return ConnectionLost(f"cannot connect to {self._peer}: {error.strerror or error}")
        finally:
            self._connection = None
            self._is_connected.clear()
            if transport is not None and not connection.lost.done():
                connection.abort(self._problem)
                await connection.lost


def _fresh(error: OskolokError) -> OskolokError:
    """A copy: one exception object raised in many places would collect all their tracebacks."""
    return type(error)(error.message, **error.details)


def _look(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
