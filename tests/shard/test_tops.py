"""Which way top lists are read, and that either way the best are found. How they are walked: test_list_walker.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.types import Ask, Query
from shard.filter.eligible import Eligible, Mask
from shard.sources.tops import Tops
from shard.tables.lists import RankedLists
from tests.shard.worlds import World


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ((("365d", 1.0),), "no top list '365d'"),
        ((("purchases/7d", 1.0), ("purchases/7d", 2.0)), "requested twice"),
        ((("purchases/7d", -1.0),), "not negative"),
        ((("purchases/7d", float("nan")),), "finite"),
    ],
)
def test_tops_refuses(lists: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask("tops", 5, lists),)))


def test_tops_without_lists_finds_nothing() -> None:
    assert len(World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask("tops", 5),))).rows) == 0


def test_tops_looks_few_eligible_rows_up() -> None:
    """Their own entries are fewer than those that a walk would skip."""
    n = 50_000
    keys, rows = np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int32)
    lists = RankedLists.of(keys, {"7d": (rows, np.linspace(1, 0.5, n, dtype=np.float32))})
    ask = Ask("tops", 0, (("7d", 1.0),))
    for hidden, strategy in ((0, "walk"), (25_000, "walk"), (45_000, "rows"), (49_960, "rows")):
        found = Tops(lists, keys).retrieve(Query("g", ()), ask, Eligible(Mask(rows >= hidden)), 10)
        assert (found.rows.tolist(), found.strategy) == (list(range(hidden, hidden + 10)), strategy)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from([3, 50, 10**6]), st.floats(0.02, 1), st.floats(0, 1))
def test_however_far_tops_must_walk_it_finds_the_best(seed: int, k: int, n_scores: int, share: float, hidden: float) -> None:
    """Lists long enough for several rounds; a mask that hides most heads; scores with many ties or none."""
    rng = np.random.default_rng(seed)
    n = 700
    keys, rows = np.sort(rng.choice(10**6, n, replace=False)), np.arange(n, dtype=np.int32)
    scores = (rng.integers(0, n_scores, (4, n)) / n_scores).astype(np.float32)
    members = [rows, rows, *(np.sort(rng.permutation(rows)[: n // 3]) for _ in range(2))]
    lists = RankedLists.of(keys, {f"{i}d": (some, scores[i, some]) for i, some in enumerate(members)})
    weights = rng.choice([0.1, 0.7, 1, 1.5], 4).astype(np.float32)
    bits = rng.random(n) < share
    bits[np.flatnonzero(scores[0] > 1 - hidden)] = False
    ask = Ask("tops", 0, tuple((f"{i}d", float(weight)) for i, weight in enumerate(weights)))
    found = Tops(lists, keys).retrieve(Query("g", ()), ask, Eligible(Mask(bits.copy())), k)
    best = np.full(n, -1, np.float32)
    for some, weight, values in zip(members, weights, scores, strict=True):
        np.maximum.at(best, some, weight * values[some])
    eligible = np.flatnonzero(bits)
    true = eligible[np.lexsort((keys[eligible], -best[eligible]))[:k]]
    assert found.rows.tolist() == true.tolist()
    assert found.scores.tolist() == best[true].tolist()
