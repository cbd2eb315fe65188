"""Work in copies of this process, for what Python's lock would keep on one core however many threads it had."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial

from threadpoolctl import threadpool_limits

Step = Callable[[], object]  # to be called after each step of a task


def in_copies(tasks: Sequence[Callable[[Step], None]], on_step: Callable[[int], None]) -> bool:
    """Whether all tasks came to their ends, each run in a forked copy of this process on one BLAS thread.

    What a task makes has to be on disk: nothing else of a copy outlives it, and no word of an exception either, so the caller
    does it all again if some did not. on_step: called with the number of steps that all tasks have behind them.
    """
    steps, step = os.pipe()
    copies = [_copy(task, steps, step) for task in tasks]
    os.close(step)
    n_steps = 0
    try:
        while done := os.read(steps, 4096):
            n_steps += len(done)
            on_step(n_steps)
    finally:
        os.close(steps)  # ends the copies too, at their next step
        ends = [os.waitpid(pid, 0)[1] for pid in copies]
    return not any(ends)


def _copy(task: Callable[[Step], None], steps: int, step: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork knows no threads; a copy starts its own
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(steps)
        with threadpool_limits(1):
            task(partial(os.write, step, b"."))
        code = 0
    finally:
        os._exit(code)
