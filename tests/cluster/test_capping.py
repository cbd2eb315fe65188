"""A cap can be kept part by part: for any partition, and not for two caps, nor under another order."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.capping import within_cap
from cluster.order import best_first

Items = list[tuple[float, int, int]]  # score, group, part


def slow_capped(items: Items, k: int, cap: int) -> list[int]:
    """Positions of the first k that a dictionary lets through, best first."""
    scores, keys = np.array([i[0] for i in items], np.float32), np.arange(len(items))
    kept, counts = [], Counter[int]()
    for at in best_first(scores, keys).tolist():
        group = items[at][1]
        if group == 0 or counts[group] < cap:
            kept.append(at)
        counts[group] += 1
    return kept[:k]


def capped(items: Items, among: list[int], k: int, cap: int) -> list[int]:
    at = np.array(among, int)
    if len(at) == 0:
        return []
    order = at[best_first(np.array([items[i][0] for i in among], np.float32), at)]
    return order[within_cap(np.array([items[i][1] for i in order]), cap)][:k].tolist()


items = st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 4), st.integers(0, 3)), max_size=40)


@settings(deadline=None, max_examples=300)
@given(items, st.integers(1, 15), st.integers(1, 4))
def test_any_partition_gives_the_same(items: Items, k: int, cap: int) -> None:
    assert capped(items, list(range(len(items))), k, cap) == slow_capped(items, k, cap)
    union = [at for part in range(4) for at in capped(items, [i for i, item in enumerate(items) if item[2] == part], k, cap)]
    assert capped(items, union, k, cap) == slow_capped(items, k, cap)


def two_caps(items: list[tuple[int, int]], among: list[int], k: int) -> list[int]:
    """The first k of which no two share a first or a second group, as they come."""
    kept: list[int] = []
    for at in among:
        if all(items[at][0] != items[other][0] and items[at][1] != items[other][1] for other in kept):
            kept.append(at)
    return kept[:k]


def test_two_caps_cannot_be_kept_part_by_part() -> None:
    """In the whole, a keeps b away, and so c may stay; in its part b stays, keeps c away, and then falls to a."""
    a, b, c = (1, 1), (1, 2), (3, 2)
    whole = two_caps([a, b, c], [0, 1, 2], 3)
    parts = [*two_caps([a, b, c], [0], 3), *two_caps([a, b, c], [1, 2], 3)]
    assert whole == [0, 2]
    assert two_caps([a, b, c], sorted(parts), 3) == [0]


def test_another_order_than_the_one_that_was_cut_by_is_not_exact() -> None:
    """What a ranker prefers of a group may be what the cap cut off under the source's order."""
    items: Items = [(3.0, 1, 0), (2.0, 1, 0), (1.0, 2, 0)]
    ranked = [1, 0, 2]
    kept = set(capped(items, [0, 1, 2], 3, 1))
    assert [at for at in ranked if at in kept] == [0, 2]
    within = within_cap(np.array([items[at][1] for at in ranked]), 1)
    assert [at for at, stays in zip(ranked, within, strict=True) if stays] == [1, 2]
