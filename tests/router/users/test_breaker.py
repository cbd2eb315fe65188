from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from cluster.types import UserRecord
from router.users.breaker import FAILURES_TO_OPEN, PROBE_EVERY_S, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Moody:
    """A store that is up or down, or hangs, as the test says; counts how often it was asked."""

    n_rejected = 0

    def __init__(self) -> None:
        self.mood = "up"
        self.n_asked = 0

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        self.n_asked += 1
        if self.mood == "hangs":
            await asyncio.Event().wait()
        if self.mood == "reads fail":
            raise UserStoreUnavailable("a page cannot be read")
        await self.ping(deadline)
        return None

    async def ping(self, deadline: Deadline) -> None:
        if self.mood == "down":
            raise UserStoreUnavailable("down")

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        return len(list(records))

    async def seal(self, generation: str, mark: str) -> None:
        return None

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        return ""

    async def forget(self, generation: str) -> int:
        return 0

    async def close(self) -> None: ...


async def ask(breaker: Breaker) -> str:
    try:
        await breaker.get("1", "g", Deadline.after_ms(1_000))
    except UserStoreUnavailable:
        return "unavailable"
    return "answered"


def opened() -> tuple[Moody, Clock, Breaker]:
    store, clock = Moody(), Clock()
    return store, clock, Breaker(store, clock=clock)


def test_it_opens_after_failures_in_a_row_and_then_asks_nobody() -> None:
    async def run() -> None:
        store, _, breaker = opened()
        store.mood = "down"
        for _ in range(FAILURES_TO_OPEN - 1):
            await ask(breaker)
        store.mood = "up"
        assert await ask(breaker) == "answered"  # in a row, not in total
        store.mood = "down"
        for _ in range(FAILURES_TO_OPEN):
            assert await ask(breaker) == "unavailable"
        n_asked = store.n_asked
        for _ in range(100):
            assert await ask(breaker) == "unavailable"
        assert store.n_asked == n_asked

    asyncio.run(run())


def test_one_probe_at_a_time_and_a_healed_store_is_back() -> None:
    async def run() -> None:
        store, clock, breaker = opened()
        store.mood = "down"
        for _ in range(FAILURES_TO_OPEN):
            await ask(breaker)
        for _ in range(3):
            clock.now += PROBE_EVERY_S
            n_asked = store.n_asked
            for _ in range(10):
                assert await ask(breaker) == "unavailable"
            assert store.n_asked == n_asked + 1
        store.mood = "up"
        clock.now += PROBE_EVERY_S
        assert await ask(breaker) == "answered"
        assert not breaker.is_open
        assert await ask(breaker) == "answered"

    asyncio.run(run())


def test_a_caller_whose_clock_rings_first_counts_as_a_failure_and_a_hang_up_does_not() -> None:
    async def run() -> None:
        store, _, breaker = opened()
        store.mood = "hangs"

        async def cancelled_after(budget_ms: float, patience_s: float) -> None:
            call = asyncio.ensure_future(breaker.get("1", "g", Deadline.after_ms(budget_ms)))
            await asyncio.sleep(patience_s)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        for _ in range(FAILURES_TO_OPEN):
            await cancelled_after(budget_ms=1_000, patience_s=0.001)
        assert not breaker.is_open
        for _ in range(FAILURES_TO_OPEN):
            await cancelled_after(budget_ms=1, patience_s=0.005)
        assert breaker.is_open

    asyncio.run(run())


def test_a_cancelled_probe_leaves_the_next_one_its_turn() -> None:
    async def run() -> None:
        store, clock, breaker = opened()
        store.mood = "down"
        for _ in range(FAILURES_TO_OPEN):
            await ask(breaker)
        clock.now += PROBE_EVERY_S
        store.mood = "hangs"
        probe = asyncio.ensure_future(ask(breaker))
        await asyncio.sleep(0)
        probe.cancel()
        store.mood = "up"
        clock.now += PROBE_EVERY_S
        assert await ask(breaker) == "answered"

    asyncio.run(run())


def test_a_ping_that_succeeds_leaves_it_open_for_reads_that_fail() -> None:
    async def run() -> None:
        store, _, breaker = opened()
        store.mood = "reads fail"
        for _ in range(FAILURES_TO_OPEN):
            await ask(breaker)
        await breaker.ping(Deadline.after_ms(100))
        n_asked = store.n_asked
        assert breaker.is_open and await ask(breaker) == "unavailable"
        assert store.n_asked == n_asked, "an open breaker spares the store"

    asyncio.run(run())
