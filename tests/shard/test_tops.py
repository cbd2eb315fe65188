"""How far top lists are walked, and that however far, the best are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.types import Ask, Query
from shard.eligible import Eligible, Mask
from shard.lists import RankedLists
from shard.sources.tops import Tops
from tests.shard.worlds import World


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ((("365d", 1.0),), "no top list '365d'"),
        ((("purchases/7d", 1.0), ("purchases/7d", 2.0)), "asked for twice"),
        ((("purchases/7d", -1.0),), "not negative"),
        ((("purchases/7d", float("nan")),), "finite"),
    ],
)
def test_tops_refuses(lists: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask("tops", 5, lists),)))


def test_tops_without_lists_finds_nothing() -> None:
    assert len(World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask("tops", 5),))).rows) == 0


class Counted(RankedLists):
    """Lists that count the rows looked up by row."""

    looked_up = 0

    def entries_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self.looked_up += len(rows)
        return super().entries_of(rows)


class Watched(Eligible):
    __slots__ = ("asked",)

    def __init__(self, mask: Mask) -> None:
        super().__init__(mask)
        self.asked = 0

    def keep(self, rows: np.ndarray) -> np.ndarray:
        self.asked += len(rows)
        return super().keep(rows)


def long_list(n: int, n_lists: int = 1) -> tuple[Counted, np.ndarray]:
    keys, rows = np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int32)
    lists = {f"{i}d": (rows, np.linspace(1, 0.5, n, dtype=np.float32)) for i in range(n_lists)}
    return Counted.of(keys, lists), keys  # type: ignore[return-value]


def test_tops_walks_only_the_heads_of_its_lists() -> None:
    lists, keys = long_list(50_000, n_lists=3)
    eligible = Watched(Mask(np.arange(50_000) % 2 == 0))
    found = Tops(lists, keys).retrieve(Query("g", ()), Ask("tops", 0, (("0d", 1.0), ("1d", 0.9), ("2d", 0.1))), eligible, 100)
    assert found.rows.tolist() == list(range(0, 200, 2)) and found.strategy == "walk"
    assert eligible.asked < 2_000 and lists.looked_up == 0


def test_tops_looks_few_eligible_rows_up() -> None:
    lists, keys = long_list(50_000)
    bits = np.zeros(50_000, np.bool_)
    bits[-40:] = True
    eligible = Watched(Mask(bits))
    found = Tops(lists, keys).retrieve(Query("g", ()), Ask("tops", 0, (("0d", 1.0),)), eligible, 10)
    assert found.rows.tolist() == list(range(49_960, 49_970)) and found.strategy == "rows"
    assert eligible.asked == 0 and lists.looked_up == 40


def test_tops_stops_walking_when_the_mask_hides_the_heads() -> None:
    lists, keys = long_list(50_000)
    eligible = Watched(Mask(np.arange(50_000) >= 45_000))
    found = Tops(lists, keys).retrieve(Query("g", ()), Ask("tops", 0, (("0d", 1.0),)), eligible, 10)
    assert found.rows.tolist() == list(range(45_000, 45_010))
    assert eligible.asked < 20_000 and lists.looked_up == 5_000


def test_weights_that_round_two_scores_together_fall_back_to_keys() -> None:
    """What the list orders by score, weighting makes equal, and equal scores are ordered by key."""
    lower, weight = np.float32(1.5), np.float32(1.5)
    while lower * weight != (higher := np.nextafter(lower, np.float32(2))) * weight:
        lower = higher
    keys, rows = np.arange(400, dtype=np.int64), np.arange(400, dtype=np.int32)
    scores = np.where(rows < 200, lower, higher).astype(np.float32)
    lists = RankedLists.of(keys, {"7d": (rows, scores)})
    everything = Eligible(Mask(np.ones(400, np.bool_)))
    found = Tops(lists, keys).retrieve(Query("g", ()), Ask("tops", 0, (("7d", float(weight)),)), everything, 3)
    assert found.rows.tolist() == [0, 1, 2]


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
