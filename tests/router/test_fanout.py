from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable

import pytest

from cluster.deadline import Deadline
from cluster.errors import (
    ConnectionLost,
    DeadlineExceeded,
    InternalError,
    InvalidQuery,
    OskolokError,
    ShardLoading,
    UnknownFilterField,
    all_classes,
)
from router.fanout import Answers, Missed, call, fan_out


async def after(delay_s: float, outcome: str | Exception) -> str:
    await asyncio.sleep(delay_s)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run(*calls: Awaitable[str] | Exception, budget_ms: float = 1_000) -> Answers[str]:
    def call(index: int) -> Awaitable[str]:
        made = calls[index]
        if isinstance(made, Exception):
            raise made
        return made

    async def go() -> Answers[str]:
        return await fan_out(range(len(calls)), call, Deadline.after_ms(budget_ms))

    return asyncio.run(go())


def test_everybody_answers() -> None:
    answers = run(after(0.01, "a"), after(0, "b"))
    assert answers.got == {0: "a", 1: "b"}
    assert answers.missed == {}


def test_who_does_not_answer_is_named_with_the_reason_and_the_time() -> None:
    answers = run(
        after(10, "too late"),
        after(0.01, ConnectionLost("peer gone")),
        after(0, ShardLoading("reading")),
        after(0, DeadlineExceeded("dropped")),
        ConnectionLost("refused at once"),
        after(0, "fine"),
        budget_ms=50,
    )
    assert answers.got == {5: "fine"}
    assert {i: m.reason for i, m in answers.missed.items()} == {
        0: "timeout", 1: "failed", 2: "loading", 3: "timeout", 4: "failed",
    }  # fmt: skip
    assert str(answers.missed[1].error) == "peer gone"
    assert answers.missed[1].detail == "ConnectionLost", "messages of the data plane name sockets, and callers read details"
    waited_ms = [answers.missed[i].waited_ms for i in (0, 1, 2)]
    assert waited_ms[0] >= 50 > waited_ms[1] >= 10 > waited_ms[2]


def test_a_failure_is_not_waited_for() -> None:
    began = time.perf_counter()
    run(after(0, ConnectionLost("gone")), after(0.005, "b"), budget_ms=1_000)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("name", sorted(all_classes()))
def test_every_error_makes_a_missing_part_except_the_callers_own(name: str) -> None:
    error = all_classes()[name]("why")
    if isinstance(error, InvalidQuery):
        with pytest.raises(type(error)):
            run(after(0, error), after(0, "b"))
    else:
        assert run(after(0, error), after(0, "b")).missed.keys() == {0}


def test_the_callers_mistake_is_raised_even_if_others_answered(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnknownFilterField):
        run(after(0, "a"), after(0.005, UnknownFilterField("no such field")), after(0, OskolokError("x")))


def test_a_foreign_error_is_a_failure_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    answers = run(after(0, ZeroDivisionError("oops")), after(0, "b"))
    assert answers.missed[0].reason == "failed"
    assert "ZeroDivisionError" in answers.missed[0].detail
    assert "oops" in caplog.text


def test_nothing_is_left_behind() -> None:
    """Neither tasks that go on, nor late errors that asyncio would report when they are collected."""
    reports: list[object] = []

    async def go() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        late_error: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        calls = [after(0.5, "late"), late_error, after(0, ConnectionLost("x")), after(0.5, ConnectionLost("y"))]
        await fan_out(range(4), lambda i: calls[i], Deadline.after_ms(5))
        assert late_error.cancelled()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

        loop = asyncio.get_running_loop()
        outer = loop.create_task(fan_out(range(2), lambda i: after(0.5 * i, ConnectionLost("z")), Deadline.after_ms(900)))
        await asyncio.sleep(0.005)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())
    gc.collect()
    assert reports == []


def test_a_part_that_ignores_cancellation_is_not_waited_for() -> None:
    async def stubborn() -> str:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue
        return "at last"

    async def go() -> float:
        began = time.perf_counter()
        await fan_out((0,), lambda _: stubborn(), Deadline.after_ms(10))
        return time.perf_counter() - began

    assert asyncio.run(go()) < 0.08


def test_an_expired_deadline_still_takes_what_is_already_there() -> None:
    async def go() -> Answers[str]:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        done.set_result("ready")
        return await fan_out((0, 1), lambda i: done if i == 0 else after(0.1, "late"), Deadline.after_ms(0))

    answers = asyncio.run(go())
    assert answers.got == {0: "ready"}
    assert answers.missed[1].reason == "timeout"


def test_an_answer_with_a_fault_does_not_count() -> None:
    async def go() -> tuple[Answers[str], str | Missed, str | Missed]:
        deadline = Deadline.after_ms(1_000)

        def fault(index: int, answer: str) -> str:
            return f"{index} says {answer}" if answer == "nonsense" else ""

        answers = await fan_out((0, 1), lambda i: after(0, ("nonsense", "fine")[i]), deadline, fault=fault)
        return (
            answers,
            await call(lambda: after(0, "fine"), deadline, fault=fault),
            await call(lambda: after(0, "nonsense"), deadline, fault=fault),
        )

    answers, fine, nonsense = asyncio.run(go())
    assert (answers.got, fine) == ({1: "fine"}, "fine")
    assert isinstance(nonsense, Missed)
    for missed in (answers.missed[0], nonsense):
        assert (missed.reason, missed.detail) == ("failed", "0 says nonsense")
        assert isinstance(missed.error, InternalError)


def test_one_call_that_fails_says_why() -> None:
    async def go() -> str | Missed:
        return await call(lambda: after(0, ConnectionLost("peer gone")), Deadline.after_ms(1_000))

    missed = asyncio.run(go())
    assert isinstance(missed, Missed) and (missed.reason, missed.detail) == ("failed", "ConnectionLost")
