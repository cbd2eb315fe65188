"""What a data-plane server passes to its service: calls, in batches.

A service is a plain function. It answers each call with bytes or an error, now or later, from the server's own thread.
What it leaves unanswered when it raises is answered with that error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cluster.codec.messages import encode_error
from cluster.deadline import Clock, Deadline
from cluster.transport.frames import ERROR, REPLY


class Origin(Protocol):
    """Where a call came from, and its answer goes."""

    @property
    def open(self) -> bool:
        """Whether the caller's connection is still open for an answer."""
        ...

    def answer(self, call: Call, kind: int, body: bytes) -> None:
        """Send the answer; kind is REPLY or ERROR."""
        ...


class Call:
    """One request, waiting for its answer. queued_us: from its arrival here to the start of the service."""

    __slots__ = ("answered", "arrived_at", "body", "call_id", "clock", "expires_at", "method", "origin", "queued_us")

    def __init__(
        self, method: int, body: bytes, *, call_id: int, arrived_at: float, expires_at: float, origin: Origin, clock: Clock
    ) -> None:
        self.method = method
        self.body = body
        self.call_id = call_id
        self.arrived_at = arrived_at
        self.expires_at = expires_at
        self.origin = origin
        self.clock = clock
        self.queued_us = 0.0
        self.answered = False

    @property
    def deadline(self) -> Deadline:
        """The caller's deadline, on this process's clock."""
        return Deadline(self.expires_at, self.clock)

    def reply(self, body: bytes) -> None:
        """Answer with these bytes."""
        assert not self.answered, "a call is answered once"
        self.answered = True
        self.origin.answer(self, REPLY, body)

    def fail(self, error: BaseException) -> None:
        """Answer with an error; one that is not of our tree crosses as an InternalError."""
        assert not self.answered, "a call is answered once"
        self.answered = True
        self.origin.answer(self, ERROR, encode_error(error))


Service = Callable[[Sequence[Call]], None]
