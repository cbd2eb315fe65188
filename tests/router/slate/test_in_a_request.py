"""The rules in whole requests over exact fake shards: what shards are asked for, what is promised, what is said."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.filtering import Condition, Filter
from router.request import Pin, Recommendation
from tests.router.asking import ask, router_over
from tests.router.fakes import Catalogue, ErrorToFetch, ShardUnavailable, SlowToFetch, StaleShard, fleet

OFF = {"light": {"enabled": False}, "heavy": {"enabled": False}}
EVERYTHING_ON: dict[str, object] = {
    "caps": ({"attribute": "brand", "max": 4}, {"attribute": "color", "max": 2, "first": 4}),
    "boosts": ({"attribute": "color", "values": ("gold",), "multiply": 1.5}, {"source": "tops", "add": 0.01}),
    "quotas": ({"attribute": "color", "values": ("blue",), "min_share": 0.3}, {"source": "ann", "max": 9}),
    "diversity": {"method": "mmr", "depth": 40},
    "explore": {"method": "uniform", "positions": (3,), "attribute": "brand", "values": ("core",)},
}


def ids(answer: Recommendation) -> list[str]:
    return [str(item.item_id) for item in answer.items]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 250),
    n_shards=st.integers(1, 6),
    k=st.integers(1, 60),
    method=st.sampled_from(["off", "mmr", "dpp"]),
    n_gone=st.integers(0, 40),
    n_pins=st.integers(0, 4),
    budget=st.sampled_from([1, 30, 300]),
)
def test_never_short_and_the_same_for_any_partition(
    seed: int, n_items: int, n_shards: int, k: int, method: str, n_gone: int, n_pins: int, budget: int
) -> None:
    catalogue = Catalogue.random(n_items, seed=seed)
    gone = frozenset(catalogue.item_ids[:n_gone])
    pins = tuple(Pin(catalogue.item_ids[-at], at) for at in range(1, min(n_pins, k, n_items) + 1))
    filter = Filter(must_not=(Condition("color", "eq", ("red",)),))
    slate = EVERYTHING_ON | {"diversity": {"method": method, "depth": 40}}

    def answer(n: int) -> Recommendation:
        shards = [StaleShard(shard, gone) for shard in catalogue.shards(n)]
        sources = {"tops": {"k": budget}, "ann": {"k": budget}}
        router = router_over(fleet(catalogue, shards), slate=slate, sources=sources, merge={"n_light": budget})
        return ask(router, k=k, filter=filter, pins=pins, seed=seed)

    one, many = answer(1), answer(n_shards)
    assert many.items == one.items
    able = {catalogue.item_ids[i] for i in np.flatnonzero(catalogue.passes(filter))} - gone
    assert len(set(ids(many))) == len(many.items) == min(k, len(able))
    assert set(ids(many)) <= able
    for stats in many.funnel[1:]:
        assert stats.n_in - sum(stats.removed.values()) == stats.n_out, stats
        assert min(stats.removed.values(), default=0) >= 0, stats
    if "cap_relaxed" not in many.degraded:
        brands = Counter(item.payload["brand"] for item in many.items if item.payload["brand"])
        assert max(brands.values(), default=0) <= 4 + len(pins)


def test_a_pin_finds_an_item_that_no_source_proposed() -> None:
    catalogue = Catalogue.random(2_000)
    router = router_over(
        fleet(catalogue, catalogue.shards(3)), merge={"n_light": 60}, sources={"tops": {"k": 40}, "ann": {"k": 40}}
    )
    worst = catalogue.item_ids[int(np.argmin(catalogue.tops + catalogue.ann))]
    plain, pinned = ask(router), ask(router, pins=(Pin(worst, 3),), explain="funnel")
    assert worst not in ids(plain)
    assert ids(pinned) == [*ids(plain)[:2], worst, *ids(plain)[2:9]]
    assert pinned.items[2].sources == ()
    assert pinned.slate is not None and pinned.slate.pinned == (3,)


def test_a_pin_that_may_not_be_shown_is_not() -> None:
    catalogue = Catalogue.random(300)
    router = router_over(fleet(catalogue, catalogue.shards(2)))
    red = next(i for i, c in zip(catalogue.item_ids, catalogue.color, strict=True) if c == "red")
    pins = (Pin(red, 1), Pin("nowhere", 2))
    assert red in ids(ask(router, pins=pins))
    assert red not in ids(ask(router, pins=pins, filter=Filter(must_not=(Condition("color", "eq", ("red",)),))))
    assert red not in ids(ask(router, pins=pins, exclude_item_ids=(red,)))
    assert len(ask(router, pins=pins, basket=(red,)).items) == 10


def test_configured_pins_step_back_behind_the_requests() -> None:
    catalogue = Catalogue.random(300)
    a, b, c = catalogue.item_ids[:3]
    slate = {"pins": ({"item_id": a, "position": 1}, {"item_id": b, "position": 2}, {"item_id": c, "position": 30})}
    router = router_over(fleet(catalogue, catalogue.shards(2)), slate=slate)
    assert ids(ask(router))[:2] == [a, b]
    assert ids(ask(router, pins=(Pin(c, 1), Pin(a, 3))))[:3] == [c, b, a]


@pytest.mark.parametrize(
    ("pins", "field"),
    [
        ((Pin("a", 1), Pin("b", 11)), "/pins/1/position"),
        ((Pin("a", 0),), "/pins/0/position"),
        ((Pin("a", 1), Pin("b", 1)), "/pins/1"),
        ((Pin("a", 1), Pin("a", 2)), "/pins/1"),
        ((Pin("5", 1), Pin(5, 2)), "/pins/1"),
    ],
)
def test_pins_that_cannot_be(pins: tuple[Pin, ...], field: str) -> None:
    catalogue = Catalogue.random(20)
    with pytest.raises(InvalidQuery) as caught:
        ask(router_over(fleet(catalogue, catalogue.shards(2))), pins=pins)
    assert caught.value.details["field"] == field


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_diversity_asks_the_owners_for_vectors_and_says_when_they_did_not_come(method: str) -> None:
    catalogue = Catalogue.random(300)
    shards = catalogue.shards(3)
    slate = {"diversity": {"method": method, "relevance": 0.1, "depth": 30}}
    plain = ask(router_over(fleet(catalogue, shards), ranker=OFF))
    n_fetched = sum(shard.n_fetched_rows for shard in shards)
    diverse = ask(router_over(fleet(catalogue, shards), slate=slate, ranker=OFF))
    assert sum(shard.n_fetched_rows for shard in shards) == n_fetched + 30 + 10
    assert diverse.degraded == ()
    assert ids(diverse) != ids(plain)

    slow = [SlowToFetch(shards[0], 0.2), *shards[1:]]
    late = ask(router_over(fleet(catalogue, slow), slate=slate, ranker=OFF), budget_ms=150)
    assert "diversity_skipped" in late.degraded
    deaf = [ErrorToFetch(shard, ShardUnavailable("gone")) for shard in shards[:1]]
    assert "diversity_skipped" in ask(router_over(fleet(catalogue, [*deaf, *shards[1:]]), slate=slate, ranker=OFF)).degraded


def test_what_was_explored_is_explained_and_the_seed_brings_it_back() -> None:
    catalogue = Catalogue.random(300)
    router = router_over(fleet(catalogue, catalogue.shards(3)), slate=EVERYTHING_ON)
    answer = ask(router, explain="funnel")
    assert answer.slate is not None
    (place,) = answer.slate.explored
    assert (place.rank, place.item_id) == (3, answer.items[2].item_id)
    assert 0 < place.propensity <= 1
    assert ask(router, seed=answer.slate.seed).items == answer.items
    assert ask(router).slate is None
    assert len({ids(ask(router, seed=seed))[2] for seed in range(12)}) > 3


def test_rules_that_the_generation_cannot_tell_leave_caps_and_pins() -> None:
    catalogue = Catalogue.random(300)
    slate = {"cap_by": "brand", "cap": 2, "quotas": ({"stat": "age_days", "at_most": 3.0, "min": 2},)}
    answer = ask(router_over(fleet(catalogue, catalogue.shards(2)), slate=slate), pins=(Pin(catalogue.item_ids[7], 1),), k=6)
    assert "slate_rule_skipped" in answer.degraded
    assert ids(answer)[0] == catalogue.item_ids[7]
    assert max(Counter(item.payload["brand"] for item in answer.items if item.payload["brand"]).values()) <= 2


def test_removed_is_said_by_rule() -> None:
    catalogue = Catalogue.random(300)
    router = router_over(fleet(catalogue, catalogue.shards(2)), slate=EVERYTHING_ON | {"diversity": {"method": "dpp"}})
    stage = next(stats for stats in ask(router, k=20).funnel if stats.stage == "slate")
    assert set(stage.removed) == {"excluded", "cap.brand", "cap.color.first_4", "quota.ann", "displaced", "below_cutoff"}
