"""Ranking metrics against figures worked out by hand and against scikit-like loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.rank.ranking_world import ndcg_at_k
from train.rank.metrics import interval, mean, per_group

ONE = np.array([0, 5])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)


def recall_at_k(
    scores: np.ndarray, labels: np.ndarray, starts: np.ndarray, k: int, *, n_wanted: np.ndarray | None = None
) -> float:
    return mean(per_group(scores, labels, starts, k, n_wanted=n_wanted).recall)


def mrr(scores: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> float:
    return mean(per_group(scores, labels, starts, 1).reciprocal_rank)


def test_by_hand() -> None:
    labels = np.array([0, 1, 0, 0, 1], np.float32)
    assert mrr(SCORES, labels, ONE) == 1 / 2
    assert recall_at_k(SCORES, labels, ONE, 2) == 1 / 2
    assert recall_at_k(SCORES, labels, ONE, 5, n_wanted=np.array([4])) == 2 / 4
    best = 1 + 1 / math.log2(3)
    assert ndcg_at_k(SCORES, labels, ONE, 5) == pytest.approx((1 / math.log2(3) + 1 / math.log2(6)) / best)
    assert ndcg_at_k(SCORES, labels, ONE, 2) == pytest.approx(1 / math.log2(3) / best)


def test_a_perfect_order_is_1_and_a_constant_score_earns_nothing() -> None:
    labels = np.array([1, 1, 0, 0, 0], np.float32)
    for metric in (lambda s: ndcg_at_k(s, labels, ONE, 3), lambda s: recall_at_k(s, labels, ONE, 3)):
        assert metric(SCORES) == 1
        assert metric(np.zeros(5, np.float32)) == 0
    assert mrr(np.zeros(5), labels, ONE) == 1 / 4


def test_groups_without_a_relevant_row_do_not_count() -> None:
    labels = np.array([1, 0, 0, 0, 0], np.float32)
    starts = np.array([0, 2, 2, 5])
    assert ndcg_at_k(SCORES, labels, starts, 5) == recall_at_k(SCORES, labels, starts, 1) == mrr(SCORES, labels, starts) == 1
    assert ndcg_at_k(SCORES, np.zeros(5), starts, 5) == 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8), min_size=1, max_size=6), st.integers(1, 9))
def test_many_groups_are_the_mean_of_the_single_ones(groups: list[list[tuple[int, bool]]], k: int) -> None:
    scores = np.array([s for g in groups for s, _ in g], np.float32)
    labels = np.array([y for g in groups for _, y in g], np.float32)
    starts = np.concatenate(([0], np.cumsum([len(g) for g in groups])))
    expected = []
    for g in groups:
        if any(y for _, y in g):
            best_first = sorted(g, key=lambda row: (-row[0], row[1]))
            gain = sum(1 / math.log2(at + 2) for at, (_, y) in enumerate(best_first[:k]) if y)
            ideal = sum(1 / math.log2(at + 2) for at in range(min(k, sum(y for _, y in g))))
            hits = sum(y for _, y in best_first[:k]) / sum(y for _, y in g)
            first = next(1 / (at + 1) for at, (_, y) in enumerate(best_first) if y)
            expected.append((gain / ideal, hits, first))
    got = ndcg_at_k(scores, labels, starts, k), recall_at_k(scores, labels, starts, k), mrr(scores, labels, starts)
    assert got == pytest.approx(np.mean(expected, axis=0) if expected else (0, 0, 0))


def test_the_interval_draws_users_with_all_that_is_theirs() -> None:
    rng = np.random.default_rng(3)
    of_user = rng.random(200)
    often = np.repeat(of_user, 5)  # each says the same five times, and is no more certain for it
    once = interval(of_user)
    assert interval(often, owners=np.repeat(np.arange(200), 5)) == pytest.approx(once)
    naive = interval(often)
    assert naive[1] - naive[0] < 0.6 * (once[1] - once[0])
    assert interval(np.array([np.nan, np.nan]), owners=np.array([0, 0])) == (0.0, 0.0)
