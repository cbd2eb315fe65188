"""One live connection to a server, from the caller's side: calls out, replies matched to them by id.

A reply whose call was cancelled or has expired finds no id and is dropped: it can never reach another caller. A call's
future is done soon after its deadline even if nobody waits for it, so nothing waits forever for a peer that hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from cluster.codec.messages import decode_error
from cluster.deadline import Deadline
from cluster.errors import ConnectionLost, DeadlineExceeded, InternalError, MalformedFrame, OskolokError, Overloaded
from cluster.transport.frames import ERROR, HEADER, MICROS_MAX, REPLY, Frame, FrameReader, pack
from cluster.transport.handshake import ClientHandshake
from cluster.transport.sockets import send, tune

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
Decode = Callable[[bytes], T]

_SWEEP_S = 0.02
"""How long a call may stay open after its deadline, when no caller waits for it any more."""


class Reply(asyncio.Future[T], Generic[T]):
    """What a call returns: done with the decoded reply or an error of ours. Cancelling it frees its place at once."""

    __slots__ = ("call_id", "connection", "deadline", "decode")

    def __init__(self, connection: ClientConnection, call_id: int, deadline: Deadline, decode: Decode[T]) -> None:
        super().__init__(loop=connection.loop)
        self.connection = connection
        self.call_id = call_id
        self.deadline = deadline
        self.decode = decode

    def cancel(self, msg: Any = None) -> bool:
        self.connection.give_up(self.call_id)
        return super().cancel(msg)


class ClientConnection(asyncio.Protocol):
    """in_flight_max bounds open calls, frame_bytes_max both directions' frames and, about twice, the unsent bytes.

    ready: done once the server has proved itself; fails with HandshakeRefused or ConnectionLost.
    lost: done, with the reason, once the connection is gone.
    unanswered: calls given up on since the server was last heard, a sign that it hangs.
    """

    def __init__(self, peer: str, *, secret: bytes, in_flight_max: int, frame_bytes_max: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.lost: asyncio.Future[OskolokError] = self.loop.create_future()
        self.open = False
        self.unanswered = 0
        self._peer = peer
        self._in_flight_max = in_flight_max
        self._frame_bytes_max = frame_bytes_max
        self._handshake: ClientHandshake | None = ClientHandshake(secret)
        self._reader = FrameReader(frame_bytes_max)
        self._waiting: dict[int, Reply[Any]] = {}
        self._next_id = 0
        self._writing_paused = False
        self._sweep: asyncio.TimerHandle | None = None
        self._problem: OskolokError | None = None
        self._transport: asyncio.Transport

    @property
    def in_flight(self) -> int:
        """Calls that wait for their reply."""
        return len(self._waiting)

    def call(self, method: int, body: bytes, deadline: Deadline, decode: Decode[T]) -> Reply[T]:
        """Send a request; the future is done with decode(reply), or fails with an error of ours."""
        self._next_id = call_id = self._next_id + 1
        reply = Reply(self, call_id, deadline, decode)
        micros = int((deadline.at - deadline.clock()) * 1e6)
        if not self.open:
            reply.set_exception(ConnectionLost(f"no connection to {self._peer}"))
        elif micros <= 0:
            reply.set_exception(DeadlineExceeded(f"the deadline passed before calling {self._peer}", stage="call"))
        elif self._writing_paused or len(self._waiting) >= self._in_flight_max:
            what = "unsent bytes" if self._writing_paused else f"{len(self._waiting)} calls in flight"
            reply.set_exception(Overloaded(f"{self._peer} already has {what}", retry_after_s=1))
        elif HEADER.size + len(body) > self._frame_bytes_max:
            reply.set_exception(MalformedFrame(f"{len(body)} bytes do not fit a frame of {self._frame_bytes_max}"))
        else:
            self._waiting[call_id] = reply
            send(self._transport, pack(method, min(micros, MICROS_MAX), call_id, body))
            if self._sweep is None:
                self._sweep = self.loop.call_later(_SWEEP_S, self._sweep_expired)
        return reply

    def give_up(self, call_id: int) -> None:
        """Forget a call; its reply, if it still comes, is dropped."""
        if self._waiting.pop(call_id, None) is not None:
            self.unanswered += 1

    def abort(self, problem: OskolokError) -> None:
        """Close now, for this reason; calls in flight fail with ConnectionLost."""
        self.open = False
        self._problem = self._problem or problem
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tune(self._transport)
        self._transport.set_write_buffer_limits(high=self._frame_bytes_max)
        if self._handshake is not None:
            self._transport.write(self._handshake.hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        reason = f": {exc}" if exc else ""
        self._problem = self._problem or ConnectionLost(f"{self._peer} closed the connection{reason}")
        if self._sweep is not None:
            self._sweep.cancel()
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            reply.set_exception(ConnectionLost(f"{self._peer} closed the connection while a call was in flight{reason}"))
        if not self.ready.done():
            self.ready.set_exception(self._problem)
        self.lost.set_result(self._problem)

    def data_received(self, data: bytes) -> None:
        try:
            if self._handshake is not None:
                data = self._prove(self._handshake, data)
            if data:
                self.unanswered = 0
                for frame in self._reader.feed(data):
                    self._settle(frame)
        except OskolokError as error:
            self.abort(error)
        except Exception as error:
            _LOG.exception("cut the connection to %s after an error of ours", self._peer)
            self.abort(InternalError(f"{type(error).__name__}: {error}"))

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False

    def _prove(self, handshake: ClientHandshake, data: bytes) -> bytes:
        answer = handshake.feed(data)
        if not handshake.done:
            return b""
        self._transport.write(answer)
        self._handshake = None
        if not self.ready.done():
            self.open = True
            self.ready.set_result(None)
        return handshake.surplus

    def _settle(self, frame: Frame) -> None:
        kind, _, call_id, body = frame
        if kind not in (REPLY, ERROR):
            raise MalformedFrame(f"{self._peer} sent a frame of kind {kind}, which is no reply")
        reply = self._waiting.pop(call_id, None)
        if reply is None:
            return
        try:
            if kind == REPLY:
                reply.set_result(reply.decode(body))
            else:
                reply.set_exception(decode_error(body))
        except OskolokError as error:
            reply.set_exception(error)
        except Exception as error:
            _LOG.exception("cannot decode a reply of %s", self._peer)
            reply.set_exception(InternalError(f"{type(error).__name__}: {error}"))

    def _sweep_expired(self) -> None:
        expired = [reply for reply in self._waiting.values() if reply.deadline.expired]
        for reply in expired:
            del self._waiting[reply.call_id]
            reply.set_exception(DeadlineExceeded(f"{self._peer} did not answer in time", stage="wait"))
        self.unanswered += len(expired)
        self._sweep = self.loop.call_later(_SWEEP_S, self._sweep_expired) if self._waiting else None
