"""The whole path over exact fake shards: what is promised about slates, whatever the partition, the filter and k."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.slate import SlateSection
from cluster.coverage import MissingShard
from cluster.deadline import Deadline
from cluster.errors import CoverageTooLow, DeadlineExceeded, OskolokError, Overloaded, UnknownFilterField
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.types import ShardReply
from router.request import STAGES, RankTrace, Recommendation, Request, StageStats
from router.router import Router
from tests.router.asking import ask, fused_truth, router_over, sections
from tests.router.fakes import (
    Catalogue,
    DictStore,
    ErrorShard,
    ErrorToFetch,
    FirstAnswerOnly,
    ReverseRanker,
    SlowShard,
    StaleShard,
    dead,
    fleet,
    loading,
    user,
)

FILTERS = [
    EVERYTHING,
    Filter(must=(Condition("color", "eq", ("red",)),)),
    Filter(must=(Condition("color", "in", ("gold", "blue")),), must_not=(Condition("brand", "eq", ("acme",)),)),
    Filter(must=(Condition("color", "eq", ("gold",)), Condition("brand", "eq", ("core",)))),
    Filter(must=(Condition("color", "eq", ("green",)),)),
]


def eligible_ids(catalogue: Catalogue, filter: Filter, excluded: tuple[str, ...] = ()) -> set[str]:
    passing = np.flatnonzero(catalogue.passes(filter))
    return {catalogue.item_ids[i] for i in passing} - set(excluded)


def ids(answer: Recommendation) -> list[str]:
    return [str(item.item_id) for item in answer.items]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 250),
    n_shards=st.integers(1, 8),
    k=st.integers(1, 120),
    filter=st.sampled_from(FILTERS),
    n_excluded=st.integers(0, 60),
    cap=st.sampled_from([0, 1, 5]),
    known=st.booleans(),
    budget=st.sampled_from([1, 30, 300]),
)
def test_always_min_of_k_and_eligible(
    seed: int, n_items: int, n_shards: int, k: int, filter: Filter, n_excluded: int, cap: int, known: bool, budget: int
) -> None:
    catalogue = Catalogue.random(n_items, seed=seed)
    excluded = tuple(catalogue.item_ids[:n_excluded])
    slate = {"cap_by": "brand", "cap": cap} if cap else {}
    router = router_over(
        fleet(catalogue, catalogue.shards(n_shards)),
        DictStore(user()) if known else DictStore(),
        slate=slate,
        sources={"tops": {"k": budget}, "ann": {"k": budget}},
        merge={"n_light": budget},
    )
    answer = ask(router, k=k, filter=filter, exclude_item_ids=excluded[::2], basket=excluded[1::2])
    allowed = eligible_ids(catalogue, filter, excluded)
    assert len(answer.items) == min(k, len(allowed))
    assert set(ids(answer)) <= allowed
    assert len(set(ids(answer))) == len(answer.items)
    assert [item.rank for item in answer.items] == list(range(1, len(answer.items) + 1))
    assert answer.exact_merge
    assert answer.coverage.ratio == 1.0
    if cap and "cap_relaxed" not in answer.degraded:
        brands = Counter(item.payload["brand"] for item in answer.items if item.payload["brand"])
        assert max(brands.values(), default=0) <= cap


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n_shards=st.integers(2, 16), n_levels=st.sampled_from([1, 5, 10_000]), k=st.integers(1, 50))
def test_any_partition_gives_the_same_slate(seed: int, n_shards: int, n_levels: int, k: int) -> None:
    catalogue = Catalogue.random(600, seed=seed, n_levels=n_levels)

    def slate(n: int) -> Recommendation:
        return ask(router_over(fleet(catalogue, catalogue.shards(n)), slate={"cap_by": "color", "cap": 10}), k=k)

    assert slate(1).items == slate(n_shards).items


def test_the_slate_is_the_truth_with_sources_and_payload() -> None:
    catalogue = Catalogue.random(400)
    answer = ask(
        router_over(fleet(catalogue, catalogue.shards(4)), ranker={"light": {"enabled": False}, "heavy": {"enabled": False}})
    )
    truth = fused_truth(catalogue, {"tops": 100, "ann": 300})[:10]
    by_key = {int(key): at for at, key in enumerate(catalogue.keys)}
    for item, (key, score) in zip(answer.items, truth, strict=True):
        at = by_key[key]
        assert item.item_id == catalogue.item_ids[at]
        assert item.score == score
        assert item.payload == {"color": catalogue.color[at], "brand": catalogue.brand[at]}
        assert "ann" in item.sources
    assert answer.degraded == ()
    assert answer.generation == "g-1"
    assert answer.topology_version == 7


def test_the_ranker_decides_the_order() -> None:
    catalogue = Catalogue.random(400)
    shards = catalogue.shards(2)
    merged = ask(router_over(fleet(catalogue, shards)), k=200)
    ranked = ask(router_over(fleet(catalogue, shards, ReverseRanker())), k=200)
    assert merged.degraded == ("ranker_failed",)
    assert ranked.degraded == ()
    assert ids(merged) != ids(ranked)
    assert [item.score for item in ranked.items] == sorted((item.score for item in ranked.items), reverse=True)


# Certificate


def skewed() -> tuple[Catalogue, int]:
    catalogue = Catalogue.random(2_000)
    mine = np.isin(np.arange(2_000), catalogue.shards(4)[2].items).astype(np.float32)
    return replace(catalogue, tops=catalogue.tops + 10 * mine, ann=catalogue.ann + 10 * mine), 2


def test_a_planted_skew_costs_one_more_call_to_that_shard_and_the_answer_is_exact() -> None:
    catalogue, heavy_shard = skewed()
    shards = catalogue.shards(4)
    answer = ask(router_over(fleet(catalogue, shards)), k=100, explain="funnel")
    alone = ask(router_over(fleet(catalogue, catalogue.shards(1))), k=100)
    assert answer.items == alone.items
    assert answer.exact_merge
    assert [shard.n_retrieved for shard in shards] == [1, 1, 2, 1]
    assert [trace.asked_again for trace in answer.shards] == [False, False, True, False]
    assert shards[heavy_shard].queries[1].asks[0].k == 100


def test_without_the_second_call_the_same_comparison_fails_and_the_answer_says_so() -> None:
    """The negative control of the test above: the shard does not answer twice, so there is no re-fetch."""
    catalogue, heavy_shard = skewed()
    shards = [FirstAnswerOnly(s) if s.shard == heavy_shard else s for s in catalogue.shards(4)]
    answer = ask(router_over(fleet(catalogue, shards)), k=100)
    alone = ask(router_over(fleet(catalogue, catalogue.shards(1))), k=100)
    assert answer.items != alone.items
    assert not answer.exact_merge
    assert len(answer.items) == 100


# Going out of stock, owners that cannot deliver


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 60),
    n_gone=st.integers(0, 250),
    n_shards=st.integers(1, 5),
    cap=st.sampled_from([0, 2]),
)
def test_what_went_out_of_stock_is_replaced_and_counted(seed: int, k: int, n_gone: int, n_shards: int, cap: int) -> None:
    """However many of the best are gone at fill time, as long as the reserve and one deeper look can replace them."""
    catalogue = Catalogue.random(300, seed=seed)
    best = [key for key, _ in fused_truth(catalogue, {"tops": 100, "ann": 300})]
    by_key = {int(key): item for key, item in zip(catalogue.keys, catalogue.item_ids, strict=True)}
    gone = frozenset(by_key[key] for key in best[: min(n_gone, 2 * k)])
    shards = [StaleShard(s, gone) for s in catalogue.shards(n_shards)]
    router = router_over(fleet(catalogue, shards), slate={"cap_by": "brand", "cap": cap} if cap else {})
    answer = ask(router, k=k)
    assert not gone & set(ids(answer))
    assert len(answer.items) == min(k, 300 - len(gone))
    fill = answer.funnel[-1]
    assert fill.n_in - sum(fill.removed.values()) == fill.n_out == len(answer.items)
    if gone and not cap:
        assert fill.removed["stock_leak"] == len(gone)


def test_one_deeper_look_when_everything_known_is_gone() -> None:
    catalogue = Catalogue.random(2_000)
    first = ask(router_over(fleet(catalogue, catalogue.shards(4)), merge={"n_light": 1}), k=20)
    n_known = first.funnel[2].n_out
    best = fused_truth(catalogue, {"tops": 100, "ann": 300})[:n_known]
    by_key = {int(key): item for key, item in zip(catalogue.keys, catalogue.item_ids, strict=True)}
    gone = frozenset(by_key[key] for key, _ in best)
    shards = [StaleShard(s, gone) for s in catalogue.shards(4)]
    answer = ask(router_over(fleet(catalogue, shards), merge={"n_light": 1}), k=20)
    assert len(answer.items) == 20
    assert not gone & set(ids(answer))
    assert answer.funnel[-1].removed["stock_leak"] == n_known
    assert [item.rank for item in answer.items] == list(range(1, 21))


def test_what_an_owner_cannot_deliver_comes_from_the_others_and_coverage_says_so() -> None:
    catalogue = Catalogue.random(500)
    shards = catalogue.shards(4)
    broken = [ErrorToFetch(s, OskolokError("gone")) if s.shard == 1 else s for s in shards]
    answer = ask(router_over(fleet(catalogue, broken)), k=50)
    assert len(answer.items) == 50
    assert "fill_failed" in answer.degraded
    assert [(m.shard, m.reason) for m in answer.coverage.missing] == [(1, "failed")]
    assert answer.coverage.ratio == pytest.approx(1 - len(shards[1].items) / 500)
    mine = {catalogue.item_ids[i] for i in shards[1].items}
    assert not mine & set(ids(answer))
    with pytest.raises(CoverageTooLow):
        ask(router_over(fleet(catalogue, broken)), k=50, min_coverage=1.0)


# Partial answers


def test_missing_shards_are_named_and_the_rest_answers_in_full() -> None:
    catalogue = Catalogue.random(1_000)
    shards = catalogue.shards(6)
    mixed = [shards[0], SlowShard(shards[1], 5), dead(shards[2]), loading(shards[3]), shards[4], shards[5]]
    answer = ask(router_over(fleet(catalogue, mixed, ReverseRanker())), k=100, budget_ms=150)
    c = answer.coverage.shards
    assert (c.total, c.ok, c.late, c.failed, c.loading) == (6, 3, 1, 1, 1)
    assert set(answer.degraded) == {"shard_timeout", "shard_failed", "shard_loading"}
    assert len(answer.items) == 100
    assert answer.exact_merge  # of the shards that answered
    assert shards[0].n_retrieved == 1  # which were not asked more than usual for it
    reached = {catalogue.item_ids[i] for s in (0, 4, 5) for i in shards[s].items}
    assert set(ids(answer)) <= reached


def test_a_fixed_minimum_turns_too_little_into_an_error() -> None:
    catalogue = Catalogue.random(400)
    shards = catalogue.shards(4)
    mixed = [dead(shards[0]), *shards[1:]]
    assert ask(router_over(fleet(catalogue, mixed)), min_coverage=0.5).coverage.required == 0.5
    with pytest.raises(CoverageTooLow) as caught:
        ask(router_over(fleet(catalogue, mixed)), min_coverage=0.9)
    assert caught.value.details["coverage"]["shards"]["failed"] == 1  # type: ignore[index]
    with pytest.raises(CoverageTooLow):
        ask(router_over(fleet(catalogue, mixed), deadline={"min_coverage": 0.9}))
    assert ask(router_over(fleet(catalogue, mixed), deadline={"min_coverage": 0.9}), min_coverage=0.0).items
    with pytest.raises(CoverageTooLow, match="none of 4"):
        ask(router_over(fleet(catalogue, [dead(s) for s in shards])))


@pytest.mark.parametrize("fault", ["generation", "shard", "features", "groups"])
def test_a_reply_that_is_not_what_was_asked_for_does_not_get_in(fault: str) -> None:
    catalogue = Catalogue.random(200)

    class Lying(ErrorShard):
        async def retrieve(self, query: object, deadline: Deadline) -> ShardReply:
            reply = self.inner.answer(query)  # type: ignore[arg-type]
            match fault:
                case "generation":
                    return replace(reply, generation="g-0")
                case "shard":
                    return replace(reply, shard=0)
                case "features":
                    return replace(reply, match=reply.match[:, :1])
                case _:
                    return replace(reply, facts=None)

    shards = catalogue.shards(2)
    mixed = [shards[0], Lying(shards[1], OskolokError())]
    answer = ask(router_over(fleet(catalogue, mixed), slate={"cap_by": "brand"}))
    assert [m.shard for m in answer.coverage.missing] == [1]
    assert "shard_failed" in answer.degraded


# What a request may be refused for


def test_a_strangers_answer_is_cold_and_says_so() -> None:
    catalogue = Catalogue.random(200)
    answer = ask(router_over(fleet(catalogue, catalogue.shards(2), ReverseRanker()), DictStore()), user_id="stranger")
    assert answer.degraded == ("unknown_user",)
    assert len(answer.items) == 10
    assert {source for item in answer.items for source in item.sources} == {"tops"}
    assert answer.coverage.by_source == {"tops": 1.0}


def test_an_expired_request_does_no_work() -> None:
    catalogue = Catalogue.random(50)
    shards = catalogue.shards(2)
    with pytest.raises(DeadlineExceeded):
        ask(router_over(fleet(catalogue, shards)), budget_ms=0)
    assert [shard.n_retrieved for shard in shards] == [0, 0]


def test_the_callers_mistake_found_by_a_shard_is_the_callers() -> None:
    catalogue = Catalogue.random(50)
    shards = catalogue.shards(2)
    mixed = [shards[0], ErrorShard(shards[1], UnknownFilterField("no field 'colour'", field="/filter/must/0/field"))]
    with pytest.raises(UnknownFilterField):
        ask(router_over(fleet(catalogue, mixed)))


def test_beyond_the_ceiling_requests_are_turned_away_at_once_and_the_places_come_back() -> None:
    catalogue = Catalogue.random(50)
    router = router_over(
        fleet(catalogue, [SlowShard(s, 0.03) for s in catalogue.shards(2)]), admission={"max_in_flight": 3, "retry_after_s": 2}
    )

    async def run() -> None:
        async def one() -> Recommendation | OskolokError:
            try:
                return await router.recommend(Request("u", 5), Deadline.after_ms(1_000))
            except OskolokError as error:
                return error

        outcomes = await asyncio.gather(*(one() for _ in range(8)))
        refused = [o for o in outcomes if isinstance(o, Overloaded)]
        assert len(refused) == 5
        assert refused[0].details["retry_after_s"] == 2
        assert router.in_flight == 0
        assert isinstance(await one(), Recommendation)

    asyncio.run(run())


def test_what_came_too_late_is_told_so_even_by_a_full_router() -> None:
    """Requests that waited while no router was there must not be counted as load, nor told to come again."""
    catalogue = Catalogue.random(50)
    router = router_over(fleet(catalogue, [SlowShard(s, 0.03) for s in catalogue.shards(2)]), admission={"max_in_flight": 1})

    async def run() -> None:
        first = asyncio.ensure_future(router.recommend(Request("u", 5), Deadline.after_ms(1_000)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await router.recommend(Request("u", 5), Deadline.after_ms(0))
        with pytest.raises(Overloaded):
            await router.recommend(Request("u", 5), Deadline.after_ms(1_000))
        assert isinstance(await first, Recommendation)

    asyncio.run(run())


def test_a_caller_that_hangs_up_gives_its_place_back() -> None:
    catalogue = Catalogue.random(50)
    router = router_over(fleet(catalogue, [SlowShard(s, 5) for s in catalogue.shards(2)]))

    async def run() -> None:
        call = asyncio.ensure_future(router.recommend(Request("u", 5), Deadline.after_ms(10_000)))
        await asyncio.sleep(0.01)
        assert router.in_flight == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert router.in_flight == 0
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


# What it tells about itself


class Recording:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.ok: list[int] = []
        self.missing: list[tuple[int, str]] = []
        self.traces: list[RankTrace] = []
        self.ends: list[object] = []

    def stage(self, stats: StageStats) -> None:
        self.stages.append(stats.stage)

    def shard_answered(self, reply: ShardReply) -> None:
        self.ok.append(reply.shard)

    def shard_missing(self, missing: MissingShard) -> None:
        self.missing.append((missing.shard, missing.reason))

    def ranked(self, trace: RankTrace) -> None:
        self.traces.append(trace)

    def answered(self, recommendation: Recommendation) -> None:
        self.ends.append(recommendation)

    def refused(self, error: OskolokError) -> None:
        self.ends.append(error)


def test_observers_are_told_everything_once() -> None:
    catalogue = Catalogue.random(200)
    shards = catalogue.shards(3)
    seen = Recording()
    mixed = fleet(catalogue, [shards[0], loading(shards[1]), shards[2]])
    router = Router(lambda: mixed, DictStore(user()), sections(), observer=seen)
    answer = ask(router)
    assert seen.stages == list(STAGES)
    assert seen.ok == [0, 2]
    assert seen.missing == [(1, "loading")]
    assert seen.ends == [answer]
    assert seen.traces == []  # nobody ranks here
    with pytest.raises(CoverageTooLow):
        ask(router, min_coverage=1.0)
    assert isinstance(seen.ends[-1], CoverageTooLow)
    assert seen.missing == [(1, "loading")] * 2


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 80), filter=st.sampled_from(FILTERS), cap=st.sampled_from([0, 2]))
def test_every_stage_accounts_for_everything_it_got(seed: int, k: int, filter: Filter, cap: int) -> None:
    catalogue = Catalogue.random(400, seed=seed)
    shards = catalogue.shards(4)
    slate = SlateSection(cap_by="brand", cap=2) if cap else SlateSection()
    mixed = [dead(shards[0]), *shards[1:]]
    answer = ask(router_over(fleet(catalogue, mixed), slate=slate.model_dump()), k=k, filter=filter)
    assert [stats.stage for stats in answer.funnel] == list(STAGES)
    for stats in answer.funnel[1:]:
        assert stats.n_in - sum(stats.removed.values()) == stats.n_out, stats
        assert min(stats.removed.values(), default=0) >= 0, stats
    assert answer.funnel[-1].n_out == len(answer.items)
    assert set(answer.timings_ms) == {*STAGES, "total"}
    stages_ms = sum(answer.timings_ms[stage] for stage in STAGES)
    assert 0 < stages_ms <= answer.timings_ms["total"] + 0.001 * len(STAGES), "each is rounded, and no time counts twice"


def test_shards_are_traced_only_if_asked_for() -> None:
    catalogue = Catalogue.random(200)
    router = router_over(fleet(catalogue, catalogue.shards(2)))
    assert ask(router).shards == ()
    traces = ask(router, explain="funnel").shards
    assert [(t.shard, t.replica) for t in traces] == [(0, "shard-0"), (1, "shard-1")]
    assert traces[0].strategies == {"tops": "fixed", "ann": "fixed"}
    assert traces[0].n_rows > 0
