"""Against the formula applied pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from train.lists import npmi
from train.lists.npmi import baskets_of
from train.lists.together import together_lists


@pytest.mark.parametrize("block", [1, 200, 1 << 20])
def test_every_pair_has_the_value_of_the_formula(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(npmi, "_BLOCK_PAIRS", block)
    groups, items = np.nonzero(np.random.default_rng(0).random((60, 12)) < 0.3)
    baskets = baskets_of(groups, items, n_items=12, items_max=100)
    dense = baskets.toarray().astype(float)
    expected = (dense.T / np.sqrt(dense.sum(axis=1))) @ dense / np.sqrt(dense.sum(axis=0))[:, None]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(together_lists(baskets, top=12).matrix().toarray(), expected, rtol=1e-5, atol=1e-6)


def test_the_strongest_are_kept() -> None:
    baskets = baskets_of(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2]), n_items=4, items_max=10)
    assert together_lists(baskets, top=1).matrix().toarray()[0].nonzero()[0].tolist() == [1]
