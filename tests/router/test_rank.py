from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from math import inf

import msgspec
import numpy as np
import pytest

from cluster.clients.protocols import Fleet
from cluster.config.sections import RankerSection
from cluster.deadline import Deadline
from cluster.errors import ConnectionLost, RankerUnavailable, SchemaMismatch
from cluster.spec import RankingSpec, RankStage
from cluster.types import Candidates, RankQuery, RankReply, UserRecord
from router.merge import merge
from router.quality import Quality
from router.rank import Ranked, rank, rank_query
from router.request import Request
from tests.router.asking import planned, sections
from tests.router.fakes import Catalogue, ReverseRanker, user

CATALOGUE = Catalogue.random(300)
SPEC = CATALOGUE.spec(2)
REQUEST = Request("u", 10, basket=("i0-1", "i0-2"), context={"hour": 21.0, "weather": 3.0})
SECTION = RankerSection()
FULL = Quality.of(SECTION.heavy)


def candidates() -> Candidates:
    p = planned(REQUEST, user(), SPEC, sections())
    return merge([s.answer(p.query) for s in CATALOGUE.shards(2)], p, SPEC).candidates


CANDIDATES = candidates()


def ranked(
    ranker: object,
    record: UserRecord | None = None,
    section: RankerSection = SECTION,
    quality: Quality = FULL,
    budget_ms: float = 50,
    judged: RankStage = "heavy",
) -> Ranked:
    spec = msgspec.structs.replace(SPEC, rankings=(RankingSpec("catboost", judged, ""),))

    async def run() -> Ranked:
        return await rank(
            CANDIDATES,
            REQUEST,
            record,
            fleet=Fleet(7, spec, tuple(CATALOGUE.shards(2)), ranker),  # type: ignore[arg-type]
            section=section,
            quality=quality,
            deadline=Deadline.after_ms(budget_ms),
        )

    return asyncio.run(run())


def assert_merged_order(outcome: Ranked) -> None:
    assert outcome.order.tolist() == list(range(len(CANDIDATES)))
    np.testing.assert_array_equal(outcome.scores, CANDIDATES.scores)


def test_the_rankers_order_is_taken() -> None:
    outcome = ranked(ReverseRanker())
    assert outcome.order.tolist() == list(reversed(range(len(CANDIDATES))))
    assert outcome.degraded == ()


def test_a_skipped_heavy_model_is_named() -> None:
    assert ranked(ReverseRanker(skipped="deadline")).degraded == ("heavy_skipped",)


@pytest.mark.parametrize(
    ("ranker", "reason"),
    [
        (None, "ranker_failed"),
        (ReverseRanker(error=RankerUnavailable("none left")), "ranker_failed"),
        (ReverseRanker(error=ConnectionLost("gone")), "ranker_failed"),
        (ReverseRanker(error=SchemaMismatch("abc instead of def")), "ranker_schema"),
        (ReverseRanker(delay_s=5), "ranker_timeout"),
    ],
)
def test_without_a_ranker_the_merged_order_stands_and_the_reason_is_named(ranker: object, reason: str) -> None:
    began = time.perf_counter()
    outcome = ranked(ranker)
    assert_merged_order(outcome)
    assert outcome.degraded == (reason,)
    assert time.perf_counter() - began < 1, "the slow ranker would have taken five"


class HeavyRanker(ReverseRanker):
    """Claims to have ordered as many as it was asked to."""

    async def rank(self, query: RankQuery, deadline: Deadline) -> RankReply:
        return replace(await super().rank(query, deadline), n_heavy=query.n_heavy)


def test_what_the_load_withholds_from_the_heavy_model_is_named_and_counted() -> None:
    full = min(SECTION.heavy.n_heavy, len(CANDIDATES))
    whole = ranked(HeavyRanker())
    assert whole.degraded == () and whole.trace is not None
    assert (whole.trace.quality, whole.trace.n_heavy, whole.trace.n_heavy_full) == (1.0, full, full)
    half = replace(FULL, factor=0.5)
    narrowed = ranked(HeavyRanker(), quality=half)
    assert narrowed.degraded == ("heavy_narrowed",) and narrowed.trace is not None
    assert (narrowed.trace.quality, narrowed.trace.n_heavy, narrowed.trace.n_heavy_full) == (0.5, 50, full)
    assert ranked(ReverseRanker(), quality=half).degraded == (), "without a heavy model there is nothing to withhold"


def test_a_call_tells_of_the_load_if_it_had_time_to() -> None:
    quick = ranked(HeavyRanker()).learnt_ms
    assert quick is not None and 0 < quick < 30
    assert ranked(ReverseRanker(delay_s=5)).learnt_ms == inf
    assert ranked(ReverseRanker(skipped="deadline")).learnt_ms == inf, "the light order comes early because time was short"
    assert ranked(ReverseRanker(error=RankerUnavailable("none left"))).learnt_ms is None
    assert ranked(ReverseRanker(delay_s=5), budget_ms=20).learnt_ms is None, "less than the target: the caller's own haste"
    light_only = RankerSection.model_validate({"heavy": {"enabled": False}})
    assert ranked(ReverseRanker(), section=light_only).learnt_ms is None


def test_no_time_left_does_not_even_ask() -> None:
    ranker = ReverseRanker()
    assert ranked(ranker, budget_ms=0).degraded == ("ranker_timeout",)
    assert ranker.queries == []


def test_ranking_switched_off_is_no_degradation() -> None:
    off = RankerSection.model_validate({"light": {"enabled": False}, "heavy": {"enabled": False}})
    outcome = ranked(None, section=off)
    assert_merged_order(outcome)
    assert outcome.degraded == ()


def test_where_no_model_serves_no_ranker_is_asked_and_nothing_is_degraded() -> None:
    for ranker in (ReverseRanker(), None):
        outcome = ranked(ranker, judged="merged")
        assert_merged_order(outcome)
        assert (outcome.degraded, outcome.trace, outcome.learnt_ms) == ((), None, None)
        assert ranker is None or ranker.queries == []


def test_where_the_heavy_model_does_not_serve_nothing_is_asked_of_it() -> None:
    ranker = ReverseRanker()
    outcome = ranked(ranker, judged="light")
    assert [query.n_heavy for query in ranker.queries] == [0]
    assert outcome.degraded == () and outcome.trace is not None and outcome.trace.n_heavy_full == 0
    insisting = RankerSection.model_validate({"heavy": {"enabled": True}})
    ranked(ranker, judged="light", section=insisting)
    assert ranker.queries[-1].n_heavy == 100


class LyingRanker(ReverseRanker):
    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order

    async def rank(self, query: RankQuery, deadline: Deadline) -> RankReply:
        reply = await super().rank(query, deadline)
        n = len(self.order)
        return replace(reply, order=np.array(self.order, np.int32), scores=np.zeros(n, np.float32))


@pytest.mark.parametrize("wrong", ["short", "long", "twice", "negative", "beyond"])
def test_an_order_that_is_no_permutation_is_refused(wrong: str) -> None:
    order = list(range(len(CANDIDATES)))
    orders = {
        "short": order[:-1],
        "long": [*order, len(order)],
        "twice": [0, *order[:-1]],
        "negative": [-1, *order[1:]],
        "beyond": [*order[:-1], len(order)],
    }
    outcome = ranked(LyingRanker(orders[wrong]))
    assert_merged_order(outcome)
    assert outcome.degraded == ("ranker_failed",)


def test_the_query_is_laid_out_as_the_schema_says() -> None:
    query = rank_query(CANDIDATES, REQUEST, user(), SPEC, SECTION)
    assert query.schema_hash == SPEC.features.hash
    assert query.user.tolist() == [1.0, 2.0]
    assert query.context.tolist() == [21.0, 10.0]  # hour from the caller, k from the request
    assert query.n_heavy == 100
    assert rank_query(CANDIDATES, REQUEST, None, SPEC, SECTION).user.tolist() == [0.0, 0.0]

    schema = msgspec.structs.replace(
        SPEC.features, sources=("history", "tops"), user=("u.a",), context=("minute", "basket_size")
    )
    other = rank_query(CANDIDATES, REQUEST, user(), msgspec.structs.replace(SPEC, features=schema), SECTION)
    np.testing.assert_array_equal(other.source_ranks, CANDIDATES.source_ranks[:, [2, 0]])
    np.testing.assert_array_equal(other.source_scores, CANDIDATES.source_scores[:, [2, 0]])
    assert other.user.tolist() == [0.0]  # two features stored, one expected: none of them can be trusted
    assert other.context.tolist() == [0.0, 2.0]
    thursday = replace(REQUEST, asked_at=7 * 86_400 + 18.5 * 3600, context={})
    schema = msgspec.structs.replace(SPEC.features, context=("hour", "weekday"))
    timed = rank_query(CANDIDATES, thursday, None, msgspec.structs.replace(SPEC, features=schema), SECTION)
    assert timed.context.tolist() == [18.5, 3.0]
    no_heavy = RankerSection.model_validate({"heavy": {"enabled": False}})
    assert rank_query(CANDIDATES, REQUEST, None, SPEC, no_heavy).n_heavy == 0
