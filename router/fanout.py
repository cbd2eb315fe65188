"""Start calls to several parts at once and wait for them no longer than a deadline.

The result says which parts answered, and why the others did not; the answers' meaning is not known here. No call is left
behind: a call without an answer is cancelled, and its late result or error is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cluster.coverage import MissingReason
from cluster.deadline import Deadline
from cluster.errors import DeadlineExceeded, InternalError, InvalidQuery, OskolokError, ShardLoading, TransportError

T = TypeVar("T")

_SILENT = "no answer in time"

_log = logging.getLogger("oskolok.router")


@dataclass(frozen=True, slots=True)
class Missed:
    """A part that did not answer. detail: why, in words that callers may read.

    error: what it said instead, None if it was still silent when time ran out.
    """

    reason: MissingReason
    detail: str
    waited_ms: float
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """Every index that was called is in exactly one of the two."""

    got: dict[int, T]
    missed: dict[int, Missed]


def _nothing(index: int, answer: object) -> str:
    return ""


async def call(
    start: Callable[[], Awaitable[T]], deadline: Deadline, *, fault: Callable[[int, T], str] = _nothing
) -> T | Missed:
    """One call, as `fan_out` makes many."""
    answers = await fan_out((0,), lambda _: start(), deadline, fault=fault)
    return answers.missed[0] if 0 in answers.missed else answers.got[0]


async def fan_out(
    indices: Iterable[int],
    call: Callable[[int], Awaitable[T]],
    deadline: Deadline,
    *,
    fault: Callable[[int, T], str] = _nothing,
) -> Answers[T]:
    """Call each index, then wait until all have answered or failed, or the deadline.

    An InvalidQuery from anyone is the caller's own mistake and is raised; every other error makes that index `missed`.
    fault: what is wrong with an answer, "" for nothing; an answer with a fault does not count as one.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers: Answers[T] = Answers({}, {})
    futures: dict[int, asyncio.Future[T]] = {}
    try:
        for index in indices:
            try:
                futures[index] = asyncio.ensure_future(call(index))
            except Exception as error:
                answers.missed[index] = _missed(error, 0.0)
        ended = await _wait(loop, [f for f in futures.values() if not f.done()], deadline)
    except BaseException:
        for future in futures.values():
            _abandon(future)
        raise
    for index, future in futures.items():
        waited_ms = (ended.get(future, loop.time()) - began) * 1000
        if not future.done():
            _abandon(future)
            answers.missed[index] = Missed("timeout", _SILENT, waited_ms)
        elif future.cancelled():
            answers.missed[index] = Missed("failed", "the call was cancelled", waited_ms)
        elif (failure := future.exception()) is not None:
            answers.missed[index] = _missed(failure, waited_ms)
        elif wrong := fault(index, future.result()):
            answers.missed[index] = Missed("failed", wrong, waited_ms, InternalError(wrong))
        else:
            answers.got[index] = future.result()
    for missed in answers.missed.values():
        if isinstance(missed.error, InvalidQuery):
            raise missed.error
    return answers


async def _wait(
    loop: asyncio.AbstractEventLoop, pending: list[asyncio.Future[T]], deadline: Deadline
) -> dict[asyncio.Future[T], float]:
    """`asyncio.wait`, and at what loop time each future was done."""
    ended: dict[asyncio.Future[T], float] = {}
    if not pending:
        return ended
    over: asyncio.Future[None] = loop.create_future()

    def arrived(future: asyncio.Future[T]) -> None:
        ended[future] = loop.time()
        if len(ended) == len(pending):
            expire()

    def expire() -> None:
        if not over.done():
            over.set_result(None)

    for future in pending:
        future.add_done_callback(arrived)
    timer = loop.call_later(deadline.remaining_s(), expire)
    try:
        await over
    finally:
        timer.cancel()
        for future in pending:
            if not future.done():
                future.remove_done_callback(arrived)
    return ended


def _missed(error: BaseException, waited_ms: float) -> Missed:
    match error:
        case ShardLoading():
            return Missed("loading", error.message, waited_ms, error)
        case DeadlineExceeded():
            return Missed("timeout", _SILENT, waited_ms, error)
        case TransportError() | InternalError():  # their messages name addresses and files, which are nobody's business outside
            return Missed("failed", type(error).__name__, waited_ms, error)
        case OskolokError():
            return Missed("failed", f"{type(error).__name__}: {error.message}", waited_ms, error)
        case _:
            _log.error("a call raised an error that is not ours", exc_info=error)
            return Missed("failed", f"InternalError: {type(error).__name__}", waited_ms, error)


def _abandon(future: asyncio.Future[T]) -> None:
    """Cancel it, and look at its error, now or later, or asyncio reports that as never retrieved."""
    if future.done():
        _look(future)
    else:
        future.cancel()
        future.add_done_callback(_look)


def _look(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()
