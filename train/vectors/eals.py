"""Explicit ALS with biases: vectors and biases whose sum predicts a rating. A ranking feature rather than a candidate source.

    L = Σ_known (μ + b_u + b_i + p_u·q_i − r_ui)² + λ (Σ |p_u|² + Σ |q_i|²) + λ_b (Σ b_u² + Σ b_i²)

μ is the mean rating. The loss says nothing about unknown pairs, so its best predictions are often items that only fans have
rated; `train/vectors/als.py` is for retrieval. A half-sweep solves (p_u, b_u) together, with (q_i, 1) as the item's vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.vectors.row_blocks import Matrix
from train.vectors.row_systems import RowSystems, solve_exactly

_INIT_STD = 0.1  # of a vector's length


@dataclass(frozen=True, slots=True)
class EalsSettings:
    """regularization: λ.  bias_regularization: λ_b. Both > 0."""

    dim: int = 16
    n_sweeps: int = 15
    regularization: float = 10.0
    bias_regularization: float = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class BiasedFactors:
    """users: (n_users, dim), items: (n_items, dim), user_bias: (n_users,), item_bias: (n_items,), all float32; zeros for a
    row without ratings.
    """

    mean: float
    users: Matrix
    items: Matrix
    user_bias: NDArray[np.float32]
    item_bias: NDArray[np.float32]

    def predict(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.float32]:
        """Ratings of aligned pairs, (m,) float32."""
        dots = np.einsum("ij,ij->i", self.users[users], self.items[items])
        ratings: NDArray[np.float32] = np.float32(self.mean) + self.user_bias[users] + self.item_bias[items] + dots
        return ratings


def fit_ratings(
    ratings: sparse.csr_array,
    settings: EalsSettings,
    *,
    seed: int,
    on_sweep: Callable[[int], None] = lambda sweep: None,
) -> BiasedFactors:
    """From (n_users, n_items) float32 ratings, which may be zero or negative where they are stored."""
    by_user = sparse.csr_array(ratings, dtype=np.float32)
    mean = float(by_user.data.mean()) if by_user.nnz else 0.0
    by_user = sparse.csr_array((by_user.data - np.float32(mean), by_user.indices, by_user.indptr), shape=by_user.shape)
    by_item = sparse.csr_array(by_user.T)
    rng = np.random.default_rng(seed)
    items = np.zeros((by_user.shape[1], settings.dim + 1), np.float32)  # the last column is the bias
    items[:, :-1] = rng.standard_normal((len(items), settings.dim), np.float32) * (_INIT_STD / np.sqrt(settings.dim))
    users = np.zeros((by_user.shape[0], settings.dim + 1), np.float32)
    for sweep in range(settings.n_sweeps):
        users = _solve(by_user, items, settings)
        items = _solve(by_item, users, settings)
        on_sweep(sweep + 1)
    return BiasedFactors(mean, users[:, :-1], items[:, :-1], users[:, -1], items[:, -1])


def _solve(ratings: sparse.csr_array, fixed: Matrix, settings: EalsSettings) -> Matrix:
    """(vector, bias) of every row of `ratings` (m, n), given those of the other side: (m, dim + 1)."""
    vectors = fixed.copy()
    vectors[:, -1] = 1
    base = np.full(settings.dim + 1, settings.regularization, np.float32)
    base[-1] = settings.bias_regularization
    return solve_exactly(
        RowSystems(
            weights=sparse.csr_array((np.ones_like(ratings.data), ratings.indices, ratings.indptr), shape=ratings.shape),
            pulls=ratings.data - fixed[ratings.indices, -1],
            vectors=vectors,
            base=base,
            ridge=np.zeros(ratings.shape[0], np.float32),
        )
    )
