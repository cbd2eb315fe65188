"""Implicit ALS: user and item vectors whose inner product says how likely a purchase is.

The loss is that of Hu, Koren and Volinsky (2008) as Rendle et al. write it ("Revisiting the Performance of iALS on Item
Recommendation Benchmarks", RecSys 2022): every pair counts with the unobserved weight towards 0, an observed pair in
addition with its confidence towards 1, and the regularisation of a row grows with a power of its number of pairs.

    L = Σ_observed c_ui (w_u·h_i − 1)² + a Σ_all (w_u·h_i)² + Σ_u λ_u |w_u|² + Σ_i λ_i |h_i|²
    λ_u = λ (|pairs of u| + a |items|)^ν,  λ_i likewise

Hu et al. let the confidence 1 + c replace an observed pair's pull towards 0; `observed = "replaces"` in the section has that
loss exactly, which is also the one of the library `implicit`:

    L = Σ_observed (c_ui + a) (w_u·h_i − 1)² + a Σ_unobserved (w_u·h_i)² + ...

A half-sweep solves one side's rows against the other, fixed (`train/vectors/fixed_side.py`), exactly or by conjugate gradients.
Vectors are float32, Gram matrices are summed in float64: exact half-sweeps and the scores of whole fits stay within the
tolerances below of the same in float64, tested for unobserved weights and regularisations of .01 and more.

The module knows nothing of time, ids or shards. Where confidences come from is `train/vectors/confidence.py`; what is done for
rows that appear later, `train/vectors/als_steps.py`; how a fit goes on from another, `train/vectors/als_resume.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors.fixed_side import FixedSide, ridge
from train.vectors.row_blocks import Matrix, gram, times

ROWS_TOLERANCE = 1e-5  # of an exact half-sweep: norm of the error, relative
SCORES_TOLERANCE = 1e-3  # of a fit by exact sweeps: any w_u·h_i, which lie about 0 to 1
_BLOCK_PAIRS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """users: (n_users, dim) float32.  items: (n_items, dim) float32.  A row without pairs is zero."""

    users: Matrix
    items: Matrix


def fit(
    confidence: sparse.csr_array,
    section: AlsSection,
    *,
    seed: int,
    start: Factors | None = None,
    on_sweep: Callable[[int], None] = lambda sweep: None,
) -> Factors:
    """Factors of a (n_users, n_items) float32 matrix of confidences > 0; the same seed and matrix give the same factors.

    `start` and the memory: as for `sweeps`. `on_sweep` is told how many of `section.n_sweeps` are done.
    """
    for sweep, factors in enumerate(sweeps(confidence, section, seed=seed, start=start), start=1):
        on_sweep(sweep)
        if sweep == section.n_sweeps:
            return factors
    raise AssertionError("sweeps end only with their caller")


def sweeps(confidence: sparse.csr_array, section: AlsSection, *, seed: int, start: Factors | None = None) -> Iterator[Factors]:
    """The factors after one sweep, two sweeps, ... without end. A sweep solves all users, then all items.

    start: factors of an earlier generation, rows aligned with the matrix, zeros for a new user or item; without them items
    begin at random. A fit that continues from factors it yielded goes on as if it had not stopped. Memory: the matrix
    twice, the factors twice, and 8 MiB a thread.
    """
    by_user = sparse.csr_array(confidence, dtype=np.float32)
    by_item = sparse.csr_array(by_user.T)
    n_users, n_items = by_user.shape
    bought = np.diff(by_item.indptr) > 0
    items = np.random.default_rng(seed).standard_normal((n_items, section.dim), np.float32)
    items *= np.float32(section.init_length / np.sqrt(section.dim))
    users = np.zeros((n_users, section.dim), np.float32)
    if start is not None:
        assert start.users.shape == users.shape and start.items.shape == items.shape, "start is of another shape"
        users, items = start.users, np.where(start.items.any(axis=1, keepdims=True), start.items, items)
    items = np.where(bought[:, None], items, np.float32(0))
    while True:  # both sides move on to the fixed one's eigenbasis: inner products stay, and nothing is turned back
        fixed = FixedSide.of(items, section)
        users, items = fixed.solve_rotated(by_user, start=users), fixed.rotated
        fixed = FixedSide.of(users, section)
        items, users = fixed.solve_rotated(by_item, start=items), fixed.rotated
        yield Factors(users, items)


def in_eigenbasis(factors: Factors, section: AlsSection) -> Factors:
    """The same inner products in coordinates in which the Gram matrix of the items is diagonal: what `FoldIn` relies on."""
    side = FixedSide.of(factors.items, section)
    return Factors(times(factors.users, side.basis), side.rotated)


def solve_rows(pairs: sparse.csr_array, fixed: Matrix, section: AlsSection, *, start: Matrix | None = None) -> Matrix:
    """The best vector of every row of `pairs` (m, n) while the other side's (n, dim) vectors stay, as `FixedSide.solve`."""
    return FixedSide.of(fixed, section).solve(pairs, start=start)


def loss(confidence: sparse.csr_array, factors: Factors, section: AlsSection) -> float:
    """L of the factors, in time linear in the number of pairs. Sums in float64."""
    by_user = sparse.csr_array(confidence, dtype=np.float32)
    users, items = factors.users, factors.items
    a, replaces = section.unobserved_weight, section.observed == "replaces"
    total = a * float(np.sum(gram(users) * gram(items)))
    rows = np.repeat(np.arange(by_user.shape[0]), np.diff(by_user.indptr))
    for begin in range(0, by_user.nnz, _BLOCK_PAIRS):
        block = slice(begin, begin + _BLOCK_PAIRS)
        c = by_user.data[block].astype(np.float64)
        scores = np.einsum("ij,ij->i", users[rows[block]], items[by_user.indices[block]]).astype(np.float64)
        total += float((c * (scores - 1) ** 2).sum())
        if replaces:
            total += float((a * (1 - 2 * scores)).sum())  # a (s − 1)² in place of a s²
    for vectors, pairs in ((users, by_user), (items, sparse.csr_array(by_user.T))):
        n_other = len(np.unique(pairs.indices))
        norms = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        total += float(ridge(pairs, n_other=n_other, section=section) @ norms)
    return total
