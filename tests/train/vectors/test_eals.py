"""Biases and vectors against planted ones; each half-sweep lowers the loss as written."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from train.vectors.eals import BiasedFactors, EalsSettings, fit_ratings


def planted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users, items = rng.standard_normal((60, 2)), rng.standard_normal((50, 2))
    ratings = 3.5 + rng.standard_normal((60, 1)) * 0.5 + rng.standard_normal((1, 50)) * 0.7 + users @ items.T
    return ratings, rng.random(ratings.shape) < 0.5


def loss(ratings: np.ndarray, known: np.ndarray, f: BiasedFactors, s: EalsSettings) -> float:
    predicted = f.mean + f.user_bias[:, None] + f.item_bias[None, :] + f.users.astype(np.float64) @ f.items.T
    return float(
        ((predicted - ratings) ** 2)[known].sum()
        + s.regularization * ((f.users**2).sum() + (f.items**2).sum())
        + s.bias_regularization * ((f.user_bias**2).sum() + (f.item_bias**2).sum())
    )


def matrix(ratings: np.ndarray, known: np.ndarray) -> sparse.csr_array:
    users, items = np.nonzero(known)
    return sparse.csr_array((ratings[known].astype(np.float32), (users, items)), shape=ratings.shape)


def test_it_foretells_ratings_it_has_not_seen() -> None:
    ratings, known = planted(0)
    settings = EalsSettings(dim=2, n_sweeps=20, regularization=0.3, bias_regularization=0.1)
    found = fit_ratings(matrix(ratings, known), settings, seed=0)
    users, items = np.nonzero(~known)
    errors = found.predict(users, items) - ratings[~known]
    assert np.sqrt((errors**2).mean()) < 0.25 * ratings[~known].std()


def test_the_loss_falls_with_every_sweep() -> None:
    ratings, known = planted(1)
    losses = []
    for n_sweeps in (1, 2, 4, 8):
        settings = EalsSettings(dim=3, n_sweeps=n_sweeps, regularization=0.5, bias_regularization=0.5)
        losses.append(loss(ratings, known, fit_ratings(matrix(ratings, known), settings, seed=1), settings))
    assert losses == sorted(losses, reverse=True)


def test_without_vectors_worth_anything_biases_do_the_work() -> None:
    ratings, known = planted(2)
    settings = EalsSettings(dim=2, n_sweeps=10, regularization=1e6, bias_regularization=1e-3)
    found = fit_ratings(matrix(ratings, known), settings, seed=0)
    assert np.abs(found.users @ found.items.T).max() < 1e-3
    assert found.mean == np.float32(ratings[known].astype(np.float32).mean())
    residual = np.where(known, ratings - found.mean - found.user_bias[:, None] - found.item_bias[None, :], 0)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=0.05)


def test_rows_without_ratings_are_zero_and_the_seed_decides() -> None:
    ratings, known = planted(3)
    known[5], known[:, 6] = False, False
    settings = EalsSettings(dim=2, n_sweeps=3)
    first, again = (fit_ratings(matrix(ratings, known), settings, seed=4) for _ in range(2))
    assert not first.users[5].any() and first.user_bias[5] == 0 and not first.items[6].any() and first.item_bias[6] == 0
    assert np.array_equal(first.items, again.items)
