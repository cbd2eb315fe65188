"""Does a data-plane server still serve? A call that needs no work waits in the queue that all calls wait in, and is timed.

It has expired when it arrives, so the queue itself answers it and no service sees it. An answer therefore proves that the
loop turns and that the queue is served; a service that never returns, or a turn that is never taken, leaves it unanswered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.deadline import Clock
from cluster.transport.server import Server
from cluster.transport.service import Call


class Heartbeat:
    """The origin of those calls, one at a time. Asked on any one thread, answered on the server's."""

    open = True

    def __init__(self, server: Server, *, clock: Clock = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._asked_at: float | None = None

    def unanswered_s(self, post: Callable[[Callable[[], None]], object]) -> float:
        """How long the last call has been waiting. If it was answered, the next one is sent: 0.

        post: runs a function on the server's thread.
        """
        now = self._clock()
        if self._asked_at is not None:
            return now - self._asked_at
        self._asked_at = now
        post(self._ask)
        return 0.0

    def answer(self, call: Call, kind: int, body: bytes) -> None:
        self._asked_at = None

    def _ask(self) -> None:
        now = self._server.clock()
        self._server.enqueue([Call(0, b"", call_id=0, arrived_at=now, expires_at=now, origin=self, clock=self._server.clock)])
