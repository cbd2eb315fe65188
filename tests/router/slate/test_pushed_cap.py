"""A cap that shards keep by themselves: the slate is that of the whole catalogue, for any partition, where it is exact."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.filtering import EVERYTHING, Condition, Filter
from router.request import Pin, Recommendation
from router.router import Router
from tests.router.asking import ask, router_over
from tests.router.fakes import Catalogue, DictStore, FixedShard, StaleShard, fleet

OFF = {"light": {"enabled": False}, "heavy": {"enabled": False}}
TOPS_ONLY = {"ann": {"enabled": False}, "tops": {"k": 5}}
CAP = {"cap_by": "brand", "cap": 2}


def router(catalogue: Catalogue, shards: list[FixedShard], **changes: dict[str, object]) -> Router:
    sections = {"slate": CAP, "ranker": OFF, "sources": TOPS_ONLY, "merge": {"n_light": 5, "exact_probability": 0.5}}
    return router_over(fleet(catalogue, shards), DictStore(), **sections | changes)


def truth(catalogue: Catalogue, filter: Filter, gone: frozenset[str], k: int, cap: int) -> list[str]:
    """Every eligible item in order, those over the cap behind all others."""
    able = [i for i in np.flatnonzero(catalogue.passes(filter)).tolist() if catalogue.item_ids[i] not in gone]
    within, over, counts = [], [], Counter[str]()
    for i in sorted(able, key=lambda i: (-catalogue.tops[i], catalogue.keys[i])):
        brand = str(catalogue.brand[i])
        (over if brand and counts[brand] >= cap else within).append(catalogue.item_ids[i])
        counts[brand] += 1
    return (within + over)[:k]


def ids(answer: Recommendation) -> list[str]:
    return [str(item.item_id) for item in answer.items]


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 300),
    n_shards=st.integers(1, 7),
    n_levels=st.sampled_from([3, 10_000]),
    k=st.integers(1, 60),
    cap=st.integers(1, 5),
    filter=st.sampled_from([EVERYTHING, Filter(must_not=(Condition("brand", "eq", ("",)),))]),
)
def test_the_slate_is_that_of_the_whole_catalogue(
    seed: int, n_items: int, n_shards: int, n_levels: int, k: int, cap: int, filter: Filter
) -> None:
    catalogue = Catalogue.random(n_items, seed=seed, n_levels=n_levels)
    shards = catalogue.shards(n_shards)
    answer = ask(router(catalogue, shards, slate={"cap_by": "brand", "cap": cap}), k=k, filter=filter)
    assert {query.cap for shard in shards for query in shard.queries} <= {cap, 0}
    assert ids(answer) == truth(catalogue, filter, frozenset(), k, cap)
    assert answer.exact_merge


def test_a_budget_that_one_brand_would_fill_is_no_reason_to_break_the_cap() -> None:
    """Without the cap in the shards, the best fifty are of one brand, and forty-eight of them would be shown over the cap."""
    catalogue = Catalogue.random(400, seed=3)
    acme = catalogue.brand == "acme"
    catalogue.tops[acme] += 1.0
    answer = ask(router(catalogue, catalogue.shards(3)), k=5)
    assert "cap_relaxed" not in answer.degraded
    assert Counter(item.payload["brand"] for item in answer.items)["acme"] == 2


def test_what_is_gone_is_replaced_and_the_cap_still_holds() -> None:
    catalogue = Catalogue.random(300, seed=1)
    best = frozenset(truth(catalogue, EVERYTHING, frozenset(), 6, 2)[:4])
    shards = [StaleShard(shard, best) for shard in catalogue.shards(3)]
    answer = ask(router(catalogue, shards), k=8)  # type: ignore[arg-type]
    assert len(answer.items) == 8 and not set(ids(answer)) & best


@pytest.mark.parametrize(
    "changes",
    [
        {"ranker": {"light": {"enabled": True}}},
        {"sources": {"tops": {"k": 5}, "ann": {"k": 5}}},
        {"slate": CAP | {"caps": ({"attribute": "color", "max": 3},)}},
        {"slate": {"caps": ({"attribute": "brand", "max": 1, "first": 3},)}},
        {"slate": CAP | {"boosts": ({"source": "tops", "multiply": 2.0},)}},
        {"slate": CAP | {"diversity": {"method": "mmr"}}},
        {"slate": CAP | {"pins": ({"item_id": "x", "position": 1},)}},
    ],
)
def test_it_is_pushed_down_only_where_that_is_exact(changes: dict[str, dict[str, object]]) -> None:
    catalogue = Catalogue.random(200)
    shards = catalogue.shards(2)
    sections = {"slate": CAP, "ranker": OFF, "sources": TOPS_ONLY} | changes
    ask(router_over(fleet(catalogue, shards), **sections))
    assert {query.cap for shard in shards for query in shard.queries} == {0}


def test_a_pin_of_the_request_keeps_it_with_the_router() -> None:
    catalogue = Catalogue.random(200)
    shards = catalogue.shards(2)
    assert len(ask(router(catalogue, shards), pins=(Pin(catalogue.item_ids[3], 2),)).items) == 10
    assert {query.cap for shard in shards for query in shard.queries} == {0}
