"""Against the formula applied pair by pair, and the corners where a logarithm is 0."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.train.logs import log_of
from train.input.event_log import NO_CONTEXT
from train.lists import npmi
from train.lists.npmi import NpmiSettings, baskets_of, npmi_lists, visit_baskets


def by_formula(baskets: np.ndarray, support_min: int) -> np.ndarray:
    n, n_items = baskets.shape
    values = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            both = int((baskets[:, i] * baskets[:, j]).sum())
            if i != j and both >= support_min and both < n:
                pmi = math.log(both * n / (baskets[:, i].sum() * baskets[:, j].sum()))
                values[i, j] = max(pmi / -math.log(both / n), 0)
    return values


@pytest.mark.parametrize("block", [1, 200, 1 << 20])
def test_every_pair_has_the_value_of_the_formula(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(npmi, "_BLOCK_PAIRS", block)
    rng = np.random.default_rng(0)
    dense = rng.random((60, 12)) < rng.uniform(0.05, 0.6, 12)
    dense[:, 11] = True
    groups, items = np.nonzero(dense)
    dense = dense[np.unique(groups)].astype(float)
    found = npmi_lists(baskets_of(groups, items, n_items=12, items_max=100), NpmiSettings(support_min=3, top=12))
    np.testing.assert_allclose(found.matrix().toarray(), by_formula(dense, 3), atol=1e-6)


def test_items_that_only_occur_together_have_the_largest_value() -> None:
    baskets = baskets_of(np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 0, 1, 2, 2]), n_items=4, items_max=10)
    found = npmi_lists(baskets, NpmiSettings(support_min=2, top=5)).matrix().toarray()
    assert found[0, 1] == found[1, 0] == pytest.approx(1)
    assert np.count_nonzero(found) == 2


def test_a_pair_in_every_basket_is_no_surprise() -> None:
    baskets = baskets_of(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), n_items=2, items_max=10)
    assert len(npmi_lists(baskets, NpmiSettings(support_min=1)).weights) == 0


def test_a_basket_too_large_is_left_out_and_counted() -> None:
    groups, items = np.array([5, 5, 5, 9, 9, 9]), np.array([0, 1, 2, 0, 0, 1])
    baskets = baskets_of(groups, items, n_items=3, items_max=2)
    assert baskets.toarray().tolist() == [[1, 1, 0]]


def test_a_basket_is_what_one_user_bought_at_one_time() -> None:
    log = log_of([("a", 0, 1), ("a", 1, 1), ("a", 2, 2), ("b", 0, 2), ("b", 2, 2)], n_items=3)
    assert visit_baskets(log, items_max=10).toarray().tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 1]]


def test_no_baskets_no_lists() -> None:
    nothing = np.empty(0, np.int64)
    lists = npmi_lists(baskets_of(nothing, nothing, n_items=3, items_max=10), NpmiSettings())
    assert lists.starts.tolist() == [0, 0, 0, 0]


def test_a_context_is_a_basket_whatever_the_times() -> None:
    """Two sessions of one user interleave; what has no context falls to its time."""
    events = [("a", 0, 1), ("a", 1, 1), ("a", 2, 2), ("a", 1, 3), ("b", 0, 3), ("b", 2, 3)]
    log = log_of(events, n_items=3, contexts=[7, 8, 7, NO_CONTEXT, NO_CONTEXT, NO_CONTEXT])
    baskets = visit_baskets(log, items_max=10).toarray().tolist()
    assert sorted(baskets) == sorted([[1, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 1]])
    same = log_of([("a", 0, 1), ("b", 1, 1)], n_items=2, contexts=[7, 7])  # of two users: two baskets
    assert len(visit_baskets(same, items_max=10).toarray()) == 2
