from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from router.hydrate import Hydrated, hydrate
from tests.router.fakes import GENERATION, DictStore, user


def hydrated(store: DictStore, user_id: str = "u", budget_ms: float = 20) -> Hydrated:
    async def run() -> Hydrated:
        return await hydrate(user_id, GENERATION, store, Deadline.after_ms(budget_ms))

    return asyncio.run(run())


def test_a_known_user_comes_with_their_record() -> None:
    record = user()
    assert hydrated(DictStore(record)).record is record
    assert hydrated(DictStore(record)).degraded == ()


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (DictStore(), "unknown_user"),
        (DictStore(user(), error=UserStoreUnavailable("down")), "user_store"),
        (DictStore(user(), error=ZeroDivisionError("a bug in the store")), "user_store"),
        (DictStore(user(), delay_s=5), "user_store"),
        (DictStore(answer=user("somebody else")), "user_store"),
        (DictStore(answer=replace(user(), generation="g-0")), "user_generation"),
    ],
)
def test_whatever_happens_it_is_a_stranger_with_a_reason(store: DictStore, reason: str) -> None:
    began = time.perf_counter()
    outcome = hydrated(store)
    assert outcome.record is None
    assert outcome.degraded == (reason,)
    assert time.perf_counter() - began < 0.06
