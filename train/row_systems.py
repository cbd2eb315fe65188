"""Many small regularised least-squares problems at once: one vector per row of a sparse matrix, the other side's fixed.

    (diag(base + ridge_r) + Σ_j w_rj v_j v_jᵀ) x_r = Σ_j p_rj v_j        over the pairs (r, j) of row r

with weights w > 0 and pulls p. Two exact forms of it cost the same answer differently. With H the row's vectors scaled by √w,
D the diagonal and t = p / √w:

    dim × dim    (D + HᵀH) x = Hᵀt
    n × n        x = D⁻¹Hᵀ (I + H D⁻¹ Hᵀ)⁻¹ t

A row with fewer pairs than dimensions takes the second, so its cost grows with dim and not with its cube; most rows of a
purchase log are such rows. The third way is a few steps of conjugate gradients from the row's last vector, preconditioned by
D: cheaper still, and exact only in the limit (Takács et al., "Applications of the conjugate gradient method for implicit
feedback collaborative filtering", RecSys 2011; there without a preconditioner).

Rows of similar length are gathered into one padded batch and solved by batched BLAS and LAPACK calls, each batch on one thread:
BLAS threads of its own would fight over the cores (dim 256, two cores: 3.9 s a sweep of Gowalla with them, 2.0 s without).
What the systems mean is `train/als.py` and `train/eals.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

Matrix = NDArray[np.float32]
Solve = Callable[[Matrix, Matrix, Matrix, NDArray[np.int64]], Matrix]  # h, t, d, rows

_BATCH_FLOATS = 1 << 20  # gathered floats a batch, 4 MiB: what stays in cache, and bounds the memory of each thread


@dataclass(frozen=True, slots=True, eq=False)
class RowSystems:
    """weights: (m, n) CSR, float32, > 0.  pulls: (nnz,) float32, aligned with its data.  vectors: (n, dim) float32.

    base: (dim,) and ridge: (m,) float32; base + ridge > 0 everywhere.
    """

    weights: sparse.csr_array
    pulls: NDArray[np.float32]
    vectors: Matrix
    base: NDArray[np.float32]
    ridge: NDArray[np.float32]


def solve_exactly(systems: RowSystems) -> Matrix:
    """Every row's x, (m, dim) float32, zeros for a row without pairs. Relative error about 1e-5 of well-posed systems."""
    dim = systems.vectors.shape[1]

    def solve(h: Matrix, t: Matrix, d: Matrix, rows: NDArray[np.int64]) -> Matrix:
        return _solve_in_pairs(h, t, d) if h.shape[1] < dim else _solve_in_dimensions(h, t, d)

    return _in_batches(systems, solve, dim)


def improve(systems: RowSystems, start: Matrix, *, n_steps: int) -> Matrix:
    """Every row's x after n_steps of conjugate gradients from `start`, (m, dim) float32; zeros for a row without pairs."""

    def solve(h: Matrix, t: Matrix, d: Matrix, rows: NDArray[np.int64]) -> Matrix:
        return _conjugate_gradients(h, t, d, start[rows], n_steps)

    return _in_batches(systems, solve, 0)


def _solve_in_dimensions(h: Matrix, t: Matrix, d: Matrix) -> Matrix:
    """From the dim × dim form, for a batch: h (b, n, dim), t (b, n), d (b, dim)."""
    gram = np.matmul(h.transpose(0, 2, 1), h)
    at = np.arange(h.shape[2])
    gram[:, at, at] += d
    rhs = np.matmul(t[:, None, :], h)[:, 0, :, None]
    return np.linalg.solve(gram, rhs)[:, :, 0]


def _solve_in_pairs(h: Matrix, t: Matrix, d: Matrix) -> Matrix:
    """The same x from the n × n form."""
    scaled = h / d[:, None, :]
    kernel = np.matmul(scaled, h.transpose(0, 2, 1))
    at = np.arange(h.shape[1])
    kernel[:, at, at] += 1
    y = np.linalg.solve(kernel, t[:, :, None])
    return np.matmul(y.transpose(0, 2, 1), scaled)[:, 0, :]


def _conjugate_gradients(h: Matrix, t: Matrix, d: Matrix, start: Matrix, n_steps: int) -> Matrix:
    """n_steps towards the same x."""
    tiny = np.finfo(np.float32).tiny
    x = start.copy()
    missing = t - np.matmul(h, x[:, :, None])[:, :, 0]
    residual = np.matmul(missing[:, None, :], h)[:, 0, :] - d * x
    z = residual / d
    direction = z
    norm = np.einsum("ij,ij->i", residual, z)
    for step in range(n_steps):
        image = np.matmul(np.matmul(h, direction[:, :, None]).transpose(0, 2, 1), h)[:, 0, :] + d * direction
        length = norm / np.maximum(np.einsum("ij,ij->i", direction, image), tiny)
        x += length[:, None] * direction
        if step + 1 == n_steps:
            break
        residual -= length[:, None] * image
        z = residual / d
        before, norm = norm, np.einsum("ij,ij->i", residual, z)
        direction = z + (norm / np.maximum(before, tiny))[:, None] * direction
    return x


def _in_batches(systems: RowSystems, solve: Solve, boundary: int) -> Matrix:
    """What `solve` says of each batch. boundary: row lengths below it are never padded up to it."""
    m, dim = systems.weights.shape[0], systems.vectors.shape[1]
    degrees = np.diff(systems.weights.indptr).astype(np.int64)
    pairs = _padded(systems)
    solved = np.zeros((m, dim), np.float32)

    def one(rows: NDArray[np.int64]) -> None:
        h, t = _gather(pairs, systems.weights.indptr[rows].astype(np.int64), degrees[rows])
        solved[rows] = solve(h, t, systems.base + systems.ridge[rows, None], rows)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(one, _batches(degrees, dim, boundary)):
            pass
    return solved


class _Pairs(NamedTuple):
    """The pairs of all rows, one after the other, and one more that pads short rows: it points at a vector of zeros."""

    columns: NDArray[np.int32]
    roots: NDArray[np.float32]
    t: NDArray[np.float32]
    vectors: Matrix


def _padded(systems: RowSystems) -> _Pairs:
    roots = np.sqrt(systems.weights.data)
    n, dim = systems.vectors.shape
    return _Pairs(
        np.append(systems.weights.indices, np.int32(n)),
        np.append(roots, np.float32(0)),
        np.append(systems.pulls / roots, np.float32(0)),
        np.vstack((systems.vectors, np.zeros((1, dim), np.float32))),
    )


def _gather(pairs: _Pairs, begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
    """The rows' vectors times √w, (b, n, dim), and p / √w, (b, n), padded with zeros to the longest row."""
    steps = np.arange(lengths.max(), dtype=np.int64)
    at = np.where(steps < lengths[:, None], begins[:, None] + steps, len(pairs.columns) - 1)
    h = pairs.vectors.take(pairs.columns[at], axis=0)
    h *= pairs.roots[at][:, :, None]
    return h, pairs.t[at]


def _batches(degrees: NDArray[np.int64], dim: int, boundary: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of non-empty rows in batches of similar length that stay below the memory bound and on one side of the
    boundary.
    """
    order = np.argsort(degrees, kind="stable")
    order = order[np.searchsorted(degrees[order], 1) :]
    sizes = degrees[order]
    begin = 0
    while begin < len(order):
        longest = sizes[begin] + sizes[begin] // 4  # padding is at most a quarter
        if sizes[begin] < boundary:
            longest = min(longest, boundary - 1)
        end = int(np.searchsorted(sizes, longest, side="right"))
        end = min(end, begin + max(1, _BATCH_FLOATS // int(longest * dim)))
        yield order[begin:end]
        begin = end
