"""One deadline: whatever users, shards and rankers do, an answer or an error is there when it is over.

Time is the event loop's and passes only while everybody waits, so that what is measured is what the router waits for, on a busy
machine as on an idle one.
"""

from __future__ import annotations

import asyncio
import selectors

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clients.protocols import ShardClient
from cluster.deadline import Deadline
from cluster.errors import (
    ConnectionLost,
    CoverageTooLow,
    DeadlineExceeded,
    OskolokError,
    RankerUnavailable,
    UserStoreUnavailable,
)
from router.request import Recommendation, Request
from router.router import Router
from tests.router.asking import router_over
from tests.router.fakes import (
    Catalogue,
    DictStore,
    ErrorShard,
    ErrorToFetch,
    FixedShard,
    ReverseRanker,
    SlowShard,
    SlowToFetch,
    dead,
    fleet,
    loading,
    user,
)

GRACE_MS = 0.001  # of rounding
CATALOGUE = Catalogue.random(300)
FOREVER_S = 60.0


def made_worse(shard: FixedShard, how: str) -> ShardClient:
    match how:
        case "slow":
            return SlowShard(shard, 0.02)
        case "hung":
            return SlowShard(shard, FOREVER_S)
        case "dead":
            return dead(shard)
        case "loading":
            return loading(shard)
        case "raises at once":
            return ErrorShard(shard, ConnectionLost("x"), at_once=True)
        case "buggy":
            return ErrorShard(shard, KeyError("a bug"))
        case "hangs filling":
            return SlowToFetch(shard, FOREVER_S)
        case "fails filling":
            return ErrorToFetch(shard, ConnectionLost("x"))
    return shard


SHARD_MOODS = ("well", "slow", "hung", "dead", "loading", "raises at once", "buggy", "hangs filling", "fails filling")
RANKERS = {
    "none": None,
    "well": ReverseRanker(),
    "slow": ReverseRanker(delay_s=0.03),
    "hung": ReverseRanker(delay_s=FOREVER_S),
    "failing": ReverseRanker(error=RankerUnavailable("x")),
}
STORES = {
    "well": DictStore(user()),
    "slow": DictStore(user(), delay_s=0.01),
    "hung": DictStore(user(), delay_s=FOREVER_S),
    "failing": DictStore(error=UserStoreUnavailable("x")),
}


class LeapingSelector(selectors.DefaultSelector):
    """Instead of waiting it says that the time is over."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next thing that is due."""

    def __init__(self) -> None:
        self._leaping = LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now_s


def timed(router: Router, budget_ms: float, k: int) -> tuple[Recommendation | OskolokError, float]:
    """The outcome and its milliseconds."""

    async def run() -> tuple[Recommendation | OskolokError, float]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: pytest.fail(str(context)))
        began = loop.time()
        try:
            deadline = Deadline.after_ms(budget_ms, loop.time)
            outcome: Recommendation | OskolokError = await router.recommend(Request("u", k), deadline)
        except OskolokError as error:
            outcome = error
        took_ms = (loop.time() - began) * 1000
        await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcome, took_ms

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(run())


@settings(deadline=None, max_examples=60)
@given(
    moods=st.lists(st.sampled_from(SHARD_MOODS), min_size=1, max_size=6),
    ranker=st.sampled_from(sorted(RANKERS)),
    store=st.sampled_from(sorted(STORES)),
    budget_ms=st.sampled_from([5.0, 30.0, 60.0, 100.0]),
    k=st.integers(1, 60),
)
def test_nothing_takes_longer_than_its_deadline(moods: list[str], ranker: str, store: str, budget_ms: float, k: int) -> None:
    shards = [made_worse(s, mood) for s, mood in zip(CATALOGUE.shards(len(moods)), moods, strict=True)]
    router = router_over(fleet(CATALOGUE, shards, RANKERS[ranker]), STORES[store])
    outcome, took_ms = timed(router, budget_ms, k)
    assert took_ms <= budget_ms + GRACE_MS
    if isinstance(outcome, OskolokError):
        assert isinstance(outcome, CoverageTooLow | DeadlineExceeded)
        return
    c = outcome.coverage.shards
    assert c.total == len(moods) == c.ok + c.late + c.failed + c.loading
    unwell = {i for i, mood in enumerate(moods) if mood != "well"}
    assert {m.shard for m in outcome.coverage.missing} <= unwell or budget_ms < 30
    assert outcome.items or c.ok == 0 or budget_ms < 60, "a ranker and an owner that hang leave of 30 ms about one to fill"


def test_one_hung_shard_leaves_time_for_everything_else() -> None:
    """Retrieval, ranking and filling each have a share: the hung shard uses up its own and nobody else's."""
    shards = CATALOGUE.shards(4)
    mixed = [SlowShard(shards[0], FOREVER_S), *shards[1:]]
    outcome, took_ms = timed(router_over(fleet(CATALOGUE, mixed, ReverseRanker())), 100, 40)
    assert isinstance(outcome, Recommendation)
    assert outcome.degraded == ("shard_timeout",)
    assert len(outcome.items) == 40
    assert outcome.coverage.missing[0].waited_ms == pytest.approx(60)
    assert took_ms == pytest.approx(60), "the others took no time"


def test_everything_hung_at_once_still_ends() -> None:
    shards = [SlowToFetch(s, FOREVER_S) for s in CATALOGUE.shards(3)]
    outcome, took_ms = timed(router_over(fleet(CATALOGUE, shards, RANKERS["hung"]), STORES["hung"]), 80, 20)
    assert isinstance(outcome, DeadlineExceeded), "time is all that was missing"
    assert took_ms <= 80 + GRACE_MS


def test_a_user_store_that_is_down_costs_its_own_timeout_at_most() -> None:
    router = router_over(fleet(CATALOGUE, CATALOGUE.shards(2), ReverseRanker()), STORES["hung"], users={"timeout_ms": 20})
    outcome, took_ms = timed(router, 1_000, 10)
    assert isinstance(outcome, Recommendation)
    assert outcome.degraded == ("user_store",)
    assert len(outcome.items) == 10
    assert took_ms < 20 + GRACE_MS


def test_a_budget_shorter_than_the_user_stores_timeout_still_buys_a_cold_answer() -> None:
    router = router_over(fleet(CATALOGUE, CATALOGUE.shards(2), ReverseRanker()), STORES["hung"], users={"timeout_ms": 500})
    outcome, took_ms = timed(router, 60, 10)
    assert isinstance(outcome, Recommendation)
    assert outcome.degraded == ("user_store",)
    assert took_ms < 60


def test_a_late_ranker_costs_its_share_and_the_merged_order_is_shown() -> None:
    router = router_over(fleet(CATALOGUE, CATALOGUE.shards(2), RANKERS["hung"]), ranker={"timeout_ms": 30})
    outcome, took_ms = timed(router, 1_000, 10)
    assert isinstance(outcome, Recommendation)
    assert outcome.degraded == ("ranker_timeout",)
    assert took_ms < 30 + GRACE_MS
