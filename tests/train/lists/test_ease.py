"""The closed form against a dense float64 inverse in both of its shapes, and against the optimality it claims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from train.lists import ease
from train.lists.ease import EaseSettings, ease_lists, ease_weights

SETTINGS = EaseSettings(regularization=3.0, dropout=0.3, user_exponent=0.5, top=10)


def random_pairs(n_users: int, n_items: int, seed: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    dense = rng.random((n_users, n_items)) < 0.3
    dense[rng.integers(0, n_users, n_items), np.arange(n_items)] = True
    return sparse.csr_array(dense.astype(np.float32))


def textbook(pairs: np.ndarray, settings: EaseSettings) -> np.ndarray:
    x = pairs.astype(np.float64)
    degrees = x.sum(axis=1)
    w = (degrees[degrees > 0].mean() / np.maximum(degrees, 1)) ** settings.user_exponent
    gram = (x.T * w) @ x
    p = np.linalg.inv(gram + np.diag(settings.regularization + settings.dropout / (1 - settings.dropout) * np.diag(gram)))
    b = -p / np.diag(p)[None, :]
    np.fill_diagonal(b, 0)
    return b


@pytest.mark.parametrize(("n_users", "n_items"), [(60, 20), (20, 60), (30, 30)])
@pytest.mark.parametrize("settings", [SETTINGS, EaseSettings(regularization=1.0, dropout=0, user_exponent=0)])
def test_both_forms_are_the_textbook_inverse(
    monkeypatch: pytest.MonkeyPatch, n_users: int, n_items: int, settings: EaseSettings
) -> None:
    monkeypatch.setattr(ease, "_BLOCK_FLOATS", 300)  # several blocks
    pairs = random_pairs(n_users, n_items, seed=n_users)
    weights = ease_weights(pairs, settings)
    blocks = [weights.rows(span) for span in weights.spans()]
    assert len(blocks) > 1 and weights.over_users == (n_users < n_items)
    np.testing.assert_allclose(np.concatenate(blocks), textbook(pairs.toarray(), settings), atol=1e-5)


def test_no_change_of_a_weight_lowers_the_loss() -> None:
    pairs = random_pairs(40, 12, seed=1)
    settings = EaseSettings(regularization=2.0, dropout=0, user_exponent=0)
    x, b = pairs.toarray().astype(np.float64), ease_weights(pairs, settings).rows(slice(None)).astype(np.float64)
    gradient = x.T @ (x @ b - x) + settings.regularization * b
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_lists_hold_the_strongest_and_items_nobody_bought_have_none() -> None:
    dense = random_pairs(50, 15, seed=2).toarray()
    dense[:, 4] = 0
    lists = ease_lists(sparse.csr_array(dense), EaseSettings(regularization=2.0, top=5))
    weights = lists.matrix().toarray()
    assert not weights[4].any() and not weights[:, 4].any()
    others = np.delete(np.arange(15), 4)
    expected = textbook(dense[:, others], EaseSettings(regularization=2.0))
    for row, full in zip(weights[np.ix_(others, others)], expected, strict=True):
        kept = np.argsort(-np.abs(full))[:5]
        assert set(np.flatnonzero(row)) == set(kept)
        np.testing.assert_allclose(row[kept], full[kept], atol=1e-5)


def test_only_the_most_bought_take_part() -> None:
    pairs = random_pairs(30, 20, seed=3)
    lists = ease_lists(pairs, EaseSettings(regularization=2.0, n_items_max=8))
    taking_part = np.flatnonzero(np.diff(lists.starts))
    degrees = np.bincount(pairs.indices, minlength=20)
    assert len(taking_part) == 8
    assert degrees[taking_part].min() >= np.delete(degrees, taking_part).max()


def test_an_empty_log_has_empty_lists() -> None:
    assert ease_lists(sparse.csr_array((4, 6), dtype=np.float32), SETTINGS).starts.tolist() == [0] * 7
