"""Implicit ALS: user and item vectors whose inner product says how likely a purchase is.

The loss is that of Hu, Koren and Volinsky (2008) as Rendle et al. write it ("Revisiting the Performance of iALS on Item
Recommendation Benchmarks", RecSys 2022): every pair counts with the unobserved weight towards 0, an observed pair in
addition with its confidence towards 1, and the regularisation of a row grows with a power of its number of pairs.

    L = Σ_observed c_ui (w_u·h_i − 1)² + a Σ_all (w_u·h_i)² + Σ_u λ_u |w_u|² + Σ_i λ_i |h_i|²
    λ_u = λ (|pairs of u| + a |items|)^ν,  λ_i likewise

One half-sweep solves every row's least-squares problem exactly. It works in the eigenbasis of the fixed side's Gram matrix,
where everything but the row's own pairs is a diagonal D. A row with n pairs then costs the smaller of two equal systems:
dim × dim, (D + HᵀH) w = Hᵀs, or n × n, w = D⁻¹Hᵀ (I + H D⁻¹ Hᵀ)⁻¹ s, with H the pairs' vectors scaled by s = √c. Most
items of a purchase log have fewer buyers than dimensions, so most systems are tiny. Rows of similar size are solved as one
batch.

It knows nothing of time, ids or shards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config import AlsSection

Matrix = NDArray[np.float32]

_INIT_STD = 0.1  # of a vector's length, as in Rendle et al.
_BATCH_FLOATS = 8 << 20  # gathered floats a batch, 32 MiB: bounds the memory of each thread
_GRAM_ROWS = 1 << 16


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
    on_sweep: Callable[[int], None] = lambda sweep: None,
) -> Factors:
    """Factors of a (n_users, n_items) float32 matrix of confidences > 0; the same seed and matrix give the same factors.

    `on_sweep` is told how many of `section.n_sweeps` are done. Memory: the matrix twice, the factors, and 32 MiB a thread.
    """
    by_user = sparse.csr_array(confidence, dtype=np.float32)
    by_item = sparse.csr_array(by_user.T)
    n_users, n_items = by_user.shape
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, section.dim), np.float32) * np.float32(_INIT_STD / np.sqrt(section.dim))
    items[np.diff(by_item.indptr) == 0] = 0
    users = np.zeros((n_users, section.dim), np.float32)
    for sweep in range(section.n_sweeps):
        users = solve_rows(by_user, items, section)
        items = solve_rows(by_item, users, section)
        on_sweep(sweep + 1)
    return Factors(users, items)


def solve_rows(pairs: sparse.csr_array, fixed: Matrix, section: AlsSection) -> Matrix:
    """The best vector of every row of `pairs` (m, n) while the other side's (n, dim) vectors stay: (m, dim) float32.

    Also how vectors are made for rows that appear after training.
    """
    m, dim = pairs.shape[0], fixed.shape[1]
    n_active = int(np.count_nonzero(fixed.any(axis=1)))
    eigenvalues, basis = _gram_eigenbasis(fixed)
    rotated = np.vstack((fixed @ basis, np.zeros((1, dim), np.float32)))  # the last row pads short batches
    degrees = np.diff(pairs.indptr).astype(np.int64)
    ridge = section.regularization * (degrees + section.unobserved_weight * n_active) ** section.frequency_exponent
    diagonal = (section.unobserved_weight * eigenvalues[None, :]).astype(np.float32)
    solved = np.zeros((m, dim), np.float32)

    def solve(rows: NDArray[np.int64]) -> None:
        gathered, s = _gather(pairs, rows, rotated)
        d = diagonal + ridge[rows, None].astype(np.float32)
        solved[rows] = _solve_small(gathered, s, d) if gathered.shape[1] < dim else _solve_large(gathered, s, d)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(solve, _batches(degrees, dim)):
            pass
    return solved @ basis.T


def _solve_large(h: Matrix, s: Matrix, d: Matrix) -> Matrix:
    """(D + HᵀH) w = Hᵀs for a batch: h (b, n, dim), s (b, n), d (b, dim)."""
    gram = np.matmul(h.transpose(0, 2, 1), h)
    at = np.arange(h.shape[2])
    gram[:, at, at] += d
    rhs = np.matmul(s[:, None, :], h)[:, 0, :, None]
    return np.linalg.solve(gram, rhs)[:, :, 0]


def _solve_small(h: Matrix, s: Matrix, d: Matrix) -> Matrix:
    """The same w from the n × n system: D⁻¹Hᵀ (I + H D⁻¹ Hᵀ)⁻¹ s."""
    scaled = h / d[:, None, :]
    kernel = np.matmul(scaled, h.transpose(0, 2, 1))
    at = np.arange(h.shape[1])
    kernel[:, at, at] += 1
    x = np.linalg.solve(kernel, s[:, :, None])
    solved: Matrix = np.matmul(x.transpose(0, 2, 1), scaled)[:, 0, :]
    return solved


def _gather(pairs: sparse.csr_array, rows: NDArray[np.int64], rotated: Matrix) -> tuple[Matrix, Matrix]:
    """The rows' pair vectors times √c, (b, n, dim), and √c, (b, n), padded with zeros to the longest row."""
    begins = pairs.indptr[rows].astype(np.int64)
    lengths = pairs.indptr[rows + 1] - begins
    steps = np.arange(lengths.max(), dtype=np.int64)
    inside = steps[None, :] < lengths[:, None]
    at = np.where(inside, begins[:, None] + steps[None, :], 0)
    s = np.where(inside, np.sqrt(pairs.data[at]), np.float32(0))
    h = rotated[np.where(inside, pairs.indices[at], len(rotated) - 1)]
    h *= s[:, :, None]
    return h, s


def _batches(degrees: NDArray[np.int64], dim: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of non-empty rows in batches of similar degree that stay below the memory bound and on one side of dim."""
    order = np.argsort(degrees, kind="stable")
    order = order[np.searchsorted(degrees[order], 1) :]
    sizes = degrees[order]
    begin = 0
    while begin < len(order):
        # Padding at most a quarter, and never from the small system into the large one.
        longest = max(sizes[begin] + sizes[begin] // 4, sizes[begin])
        if sizes[begin] < dim:
            longest = min(longest, dim - 1)
        end = int(np.searchsorted(sizes, longest, side="right"))
        end = min(end, begin + max(1, _BATCH_FLOATS // int(max(longest, 1) * dim)))
        yield order[begin:end]
        begin = end


def _gram_eigenbasis(vectors: Matrix) -> tuple[NDArray[np.float64], Matrix]:
    """Eigenvalues (dim,), none below zero, and orthonormal eigenvectors (dim, dim) of VᵀV, accumulated in float64."""
    dim = vectors.shape[1]
    gram = np.zeros((dim, dim))
    for begin in range(0, len(vectors), _GRAM_ROWS):
        block = vectors[begin : begin + _GRAM_ROWS].astype(np.float64)
        gram += block.T @ block
    eigenvalues, basis = np.linalg.eigh(gram)
    return np.maximum(eigenvalues, 0), basis.astype(np.float32)
