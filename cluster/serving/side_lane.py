"""A lane for calls whose work would delay all others: one thread of low priority beside the one that serves.

At most `waiting_max` calls are here at once, the one being worked on included; further ones are refused. A call whose
caller has gone, or whose deadline passed while it waited, is dropped before any work.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from cluster.errors import ConnectionLost, OskolokError, Overloaded
from cluster.transport.service import Call

_NICENESS = 10


class SideLane:
    """For one event loop, from which calls are taken and on which they are answered."""

    def __init__(self, name: str, *, waiting_max: int) -> None:
        self._name = name
        self._waiting_max = waiting_max
        self._n_waiting = 0
        self._thread = ThreadPoolExecutor(1, name, initializer=_step_back)  # it starts with the first call

    def take(self, call: Call, work: Callable[[Call], bytes], *, failed: Callable[[Call, Exception], None]) -> None:
        """Answer the call later with the result of `work`; `failed` answers it if the work or the wait fails."""
        if self._n_waiting >= self._waiting_max:
            failed(call, Overloaded(f"{self._n_waiting} calls already wait for the {self._name} lane", retry_after_s=1))
            return

        def answer(done: asyncio.Future[bytes]) -> None:
            self._n_waiting -= 1
            error = done.exception()
            if error is None:
                call.reply(done.result())
            else:
                failed(call, error if isinstance(error, Exception) else OskolokError(repr(error)))

        self._n_waiting += 1
        asyncio.get_running_loop().run_in_executor(self._thread, self._worked, call, work).add_done_callback(answer)

    def _worked(self, call: Call, work: Callable[[Call], bytes]) -> bytes:
        if not call.origin.open:
            raise ConnectionLost("nobody waits for this answer any more")
        call.deadline.check(self._name)
        return work(call)


def _step_back() -> None:
    """On Linux a priority is a thread's own; where it cannot be lowered the lane is a thread like any other."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
