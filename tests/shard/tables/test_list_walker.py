"""The list walker's contract: the true best rows, however long the way to them and however many scores tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import NO_ROWS
from shard._kernel import ListWalker
from shard.tables.lists import RankedLists

FAR = 10**9


def lists_of(*scored: tuple[np.ndarray, np.ndarray], n: int) -> RankedLists:
    keys = np.arange(n, dtype=np.int64)
    return RankedLists.of(keys, {f"{i}d": (rows.astype(np.int32), scores) for i, (rows, scores) in enumerate(scored)})


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    k=st.integers(0, 40),
    n_scores=st.sampled_from([1, 3, 50, 10**6]),
    share=st.floats(0.02, 1),
    hidden=st.floats(0, 1),
)
def test_however_far_it_must_walk_it_finds_the_best(seed: int, k: int, n_scores: int, share: float, hidden: float) -> None:
    """Lists long enough for several rounds; a mask that hides most heads; scores with many ties or none."""
    rng = np.random.default_rng(seed)
    n = 700
    rows = np.arange(n, dtype=np.int32)
    scores = ((rng.integers(0, n_scores, (4, n)) - n_scores // 4) / n_scores).astype(np.float32)
    members = [rows, rows, *(np.sort(rng.permutation(rows)[: n // 3]) for _ in range(2))]
    lists = lists_of(*((some, scores[i, some]) for i, some in enumerate(members)), n=n)
    asked = rng.permutation(4)[: rng.integers(0, 5)]
    weights = rng.choice([0, 0.1, 0.7, 1, 1.5], len(asked)).astype(np.float32)
    passes = rng.random(n) < share
    passes[np.flatnonzero(scores[0] > 1 - hidden)] = False
    excluded = np.flatnonzero(passes & (rng.random(n) < rng.choice([0, 0.3]))).astype(np.int32)
    best = np.full(n, -np.inf, np.float32)
    for at, weight in zip(asked, weights, strict=True):
        np.maximum.at(best, members[at], weight * scores[at, members[at]])
    eligible = np.setdiff1d(np.flatnonzero(passes & (best > -np.inf)), excluded)
    true = eligible[np.lexsort((eligible, -best[eligible]))[:k]]
    walked = lists.walker(n).best(asked.tolist(), weights.tolist(), passes, excluded, k, FAR)
    assert walked is not None
    assert (walked[0].dtype, walked[1].dtype) == (np.int32, np.float32)
    assert walked[0].tolist() == true.tolist()
    assert walked[1].tolist() == best[true].tolist()


def test_it_walks_only_the_heads() -> None:
    n = 50_000
    rows = np.arange(n)
    lists = lists_of(*[(rows, np.linspace(1, 0.5, n, dtype=np.float32))] * 3, n=n)
    passes = rows % 2 == 0
    walked = lists.walker(n).best([0, 1, 2], [1.0, 0.9, 0.1], passes, NO_ROWS, 100, 2_000)
    assert walked is not None and walked[0].tolist() == list(range(0, 200, 2))


def test_it_gives_up_when_the_way_is_too_long() -> None:
    n = 50_000
    rows = np.arange(n)
    walker = lists_of((rows, np.linspace(1, 0.5, n, dtype=np.float32)), n=n).walker(n)
    assert walker.best([0], [1.0], rows >= 45_000, NO_ROWS, 10, 20_000) is None
    walked = walker.best([0], [1.0], rows >= 45_000, NO_ROWS, 10, 60_000)
    assert walked is not None and walked[0].tolist() == list(range(45_000, 45_010))


def test_a_long_run_of_ties_is_not_walked_to_its_end() -> None:
    """Most items of a list were never bought: they all score 0."""
    n = 50_000
    walker = lists_of((np.arange(n), np.zeros(n, np.float32)), n=n).walker(n)
    walked = walker.best([0], [1.0], np.ones(n, np.bool_), NO_ROWS, 100, 1_000)
    assert walked is not None and walked[0].tolist() == list(range(100))


def test_weights_that_round_two_scores_together_fall_back_to_rows() -> None:
    """What the list orders by score, weighting makes equal, and equal scores are ordered by key."""
    lower, weight = np.float32(1.5), np.float32(1.5)
    while lower * weight != (higher := np.nextafter(lower, np.float32(2))) * weight:
        lower = higher
    rows = np.arange(400)
    lists = lists_of((rows, np.where(rows < 200, lower, higher).astype(np.float32)), n=400)
    walked = lists.walker(400).best([0], [float(weight)], np.ones(400, np.bool_), NO_ROWS, 3, FAR)
    assert walked is not None and walked[0].tolist() == [0, 1, 2]


def test_the_native_walker_refuses_what_would_lead_it_astray() -> None:
    indptr, rows, scores = np.array([0, 2]), np.array([0, 1], np.int32), np.array([2, 1], np.float32)
    for broken in (
        (np.array([0, 3]), rows, scores, 2),
        (np.array([1, 2]), rows, scores, 2),
        (np.array([0, 3, 2]), rows, scores, 2),
        (indptr, rows, scores, 1),
        (indptr, np.array([0, -1], np.int32), scores, 2),
        (indptr, rows, np.array([1, 2], np.float32), 2),
        (indptr, rows, np.array([np.nan, 2], np.float32), 2),
        (indptr, rows, np.array([2, np.nan], np.float32), 2),
    ):
        with pytest.raises(ValueError, match=r"rows|scores|indptr"):
            ListWalker(*broken)
    walker, everything = ListWalker(indptr, rows, scores, 2), np.ones(2, np.bool_)
    with pytest.raises(ValueError, match="weights"):
        walker.best([0], [float("nan")], everything, NO_ROWS, 1, FAR)
    with pytest.raises(ValueError, match="mask"):
        walker.best([0], [1.0], np.ones(3, np.bool_), NO_ROWS, 1, FAR)
    with pytest.raises(IndexError):
        walker.best([1], [1.0], everything, NO_ROWS, 1, FAR)
