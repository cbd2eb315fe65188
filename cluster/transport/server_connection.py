"""One accepted connection: handshake, frames in, answers out, and the bounds that keep a peer from costing too much."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, cast

from cluster.codec.messages import encode_error
from cluster.config.sections import TransportSection
from cluster.deadline import Clock
from cluster.errors import MalformedFrame, Overloaded, TransportError, Unavailable
from cluster.transport.frames import ERROR, HEADER, METHOD_MAX, Frame, FrameReader, pack
from cluster.transport.handshake import ServerHandshake
from cluster.transport.service import Call
from cluster.transport.sockets import peer_name, send, tune

_LOG = logging.getLogger(__name__)

HANDSHAKES_MAX = 256
"""Connections that may be unproven at once; beyond it a new one takes the place of the oldest. A peer that holds the secret
proves it in one round trip, so strangers that only sit there cannot keep it out."""


class Acceptor(Protocol):
    """What a connection needs of the server that accepted it. connections: those that are open, in the order of arrival."""

    limits: TransportSection
    secret: bytes
    clock: Clock
    closing: bool
    connections: dict[ServerConnection, None]

    def enqueue(self, calls: list[Call]) -> None: ...


class ServerConnection(asyncio.Protocol):
    """Bounds: calls in flight (over it: Overloaded), bytes of calls in flight (over it: reading pauses, and the peer's
    socket fills), bytes of answers not yet taken by the peer (over it: reading pauses; twice over it: the connection
    is cut), time and bytes before the handshake is done.
    """

    def __init__(self, server: Acceptor) -> None:
        self.in_flight = 0
        self._server = server
        self._in_flight_bytes = 0
        self._in_flight_max = server.limits.in_flight_max
        self._bytes_max = server.limits.frame_bytes_max
        self._handshake: ServerHandshake | None = ServerHandshake(server.secret)
        self._reader = FrameReader(self._bytes_max)
        self._writing_paused = False
        self._reading_paused = False
        self._open = True
        self._patience: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._server
        self._transport = cast(asyncio.Transport, transport)
        unproven = [connection for connection in server.connections if connection._handshake is not None]
        server.connections[self] = None
        if server.closing:
            self.abort()
            return
        if len(unproven) >= HANDSHAKES_MAX:
            _LOG.warning("cut %s, the oldest of %d without a handshake", peer_name(unproven[0]._transport), len(unproven))
            unproven[0].abort()
        tune(self._transport)
        self._transport.set_write_buffer_limits(high=self._bytes_max)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(server.limits.connect_timeout_ms / 1000, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._stop_patience()
        self._server.connections.pop(self, None)

    def data_received(self, data: bytes) -> None:
        try:
            if self._handshake is not None:
                data = self._prove(self._handshake, data)
            if data:
                self._take(self._reader.feed(data))
        except TransportError as error:
            _LOG.warning("cut %s: %s", peer_name(self._transport), error)
            self.abort()
        except Exception:
            _LOG.exception("cut %s after an error of ours", peer_name(self._transport))
            self.abort()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._choose_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._choose_reading()

    def close(self) -> None:
        """Send what is written, then close."""
        self._transport.close()

    def abort(self) -> None:
        """Close now; what is not sent is lost."""
        self._open = False
        self._transport.abort()

    def answer(self, call: Call, kind: int, body: bytes) -> None:
        """Send a call's answer, unless the peer has gone."""
        self.in_flight -= 1
        self._in_flight_bytes -= len(call.body)
        if self._reading_paused:
            self._choose_reading()
        if not self._open:
            return
        if HEADER.size + len(body) > self._bytes_max:
            error = MalformedFrame(f"an answer of {len(body)} bytes does not fit a frame of {self._bytes_max}")
            kind, body = ERROR, encode_error(error)
        send(self._transport, pack(kind, 0, call.call_id, body))
        if self._writing_paused and self._transport.get_write_buffer_size() > 2 * self._bytes_max:
            _LOG.warning("cut %s: it does not read its answers", peer_name(self._transport))
            self.abort()

    @property
    def open(self) -> bool:
        return self._open

    def _prove(self, handshake: ServerHandshake, data: bytes) -> bytes:
        answer = handshake.feed(data)
        if answer:
            self._transport.write(answer)
        if not handshake.done:
            return b""
        self._handshake = None
        self._stop_patience()
        return handshake.surplus

    def _take(self, frames: list[Frame]) -> None:
        server = self._server
        now = server.clock()
        calls: list[Call] = []
        for kind, micros, call_id, body in frames:
            if not 0 < kind <= METHOD_MAX:
                raise MalformedFrame(f"a frame of kind {kind} is no request")
            call = Call(
                kind, body, call_id=call_id, arrived_at=now, expires_at=now + micros * 1e-6, origin=self, clock=server.clock
            )
            self.in_flight += 1
            self._in_flight_bytes += len(body)
            if server.closing:
                call.fail(Unavailable("this server is closing"))
            elif self.in_flight > self._in_flight_max:
                call.fail(Overloaded(f"this connection already has {self._in_flight_max} calls in flight", retry_after_s=1))
            else:
                calls.append(call)
        if calls:
            server.enqueue(calls)
        if self._in_flight_bytes > self._bytes_max:
            self._choose_reading()

    def _choose_reading(self) -> None:
        """Read only while answers flow off and the calls that wait are not too large to hold more of them."""
        pause = self._writing_paused or self._in_flight_bytes > self._bytes_max
        if pause == self._reading_paused or not self._open or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _lose_patience(self) -> None:
        _LOG.warning("cut %s: no handshake in time", peer_name(self._transport))
        self.abort()

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
