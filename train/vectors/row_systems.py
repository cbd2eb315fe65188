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
BLAS threads of its own would fight over the cores.
What the systems mean is `train/vectors/als.py` and `train/vectors/eals.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.threads import on_threads
from train.vectors.row_blocks import Matrix

_SHORT_ROW = 8  # pairs; dim 256: 0.18 µs a pair exactly, 0.35 by three steps, and at 16 pairs 0.26 and 0.24
_ROW_FLOATS = 1 << 16  # floats a batch of what there is one vector a row of; more, and malloc maps new pages for each of them
_BATCH_FLOATS = 1 << 20  # gathered floats a batch, 4 MiB: what stays in cache, and bounds the memory of each thread


class _Batch(NamedTuple):
    """Some rows, padded to the longest of them by pairs of weight and pull 0.

    rows: (b,).  v: (b, n, dim) vectors of the pairs, overwritten by the next batch.  w, p: (b, n) weights and pulls.
    d: (b, dim) diagonals.
    """

    rows: NDArray[np.int64]
    v: Matrix
    w: Matrix
    p: Matrix
    d: Matrix


Solve = Callable[[_Batch], Matrix]


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

    def solve(batch: _Batch) -> Matrix:
        return _solve_in_pairs(batch) if batch.v.shape[1] < dim else _solve_in_dimensions(batch)

    return _in_batches(systems, solve, dim)


def improve(systems: RowSystems, start: Matrix, *, n_steps: int) -> Matrix:
    """Every row's x after n_steps of conjugate gradients from `start`, (m, dim) float32; zeros for a row without pairs.

    The shortest rows get the exact x, which takes no longer than three steps.
    """
    short = min(_SHORT_ROW, systems.vectors.shape[1])

    def solve(batch: _Batch) -> Matrix:
        if batch.v.shape[1] <= short:
            return _solve_in_pairs(batch)
        return _conjugate_gradients(batch, start[batch.rows], n_steps)

    return _in_batches(systems, solve, short + 1)


def _solve_in_dimensions(batch: _Batch) -> Matrix:
    """From the dim × dim form."""
    h, t = _scaled(batch)
    gram = np.matmul(h.transpose(0, 2, 1), h)
    at = np.arange(h.shape[2])
    gram[:, at, at] += batch.d
    rhs = np.matmul(t[:, None, :], h)[:, 0, :, None]
    return np.linalg.solve(gram, rhs)[:, :, 0]


def _solve_in_pairs(batch: _Batch) -> Matrix:
    """The same x from the n × n form, with H D^-1/2 in place of H."""
    h, t = _scaled(batch)
    roots = (1 / np.sqrt(batch.d)).astype(np.float32, copy=False)
    h *= roots[:, None, :]
    kernel = np.matmul(h, h.transpose(0, 2, 1))
    at = np.arange(h.shape[1])
    kernel[:, at, at] += 1
    y = np.linalg.solve(kernel, t[:, :, None])[:, :, 0]
    return _sum_of(h, y) * roots


def _scaled(batch: _Batch) -> tuple[Matrix, Matrix]:
    """H, in place of v, and t."""
    roots = np.sqrt(batch.w)
    batch.v[:] *= roots[:, :, None]
    return batch.v, np.divide(batch.p, roots, out=np.zeros_like(roots), where=roots > 0)


def _conjugate_gradients(batch: _Batch, start: Matrix, n_steps: int) -> Matrix:
    """n_steps towards the same x. Passes over v are what costs, 2 n_steps + 1 of them; the rest is done in place."""
    _, v, w, p, d = batch
    tiny = np.finfo(np.float32).tiny
    inverse = (1 / d).astype(np.float32, copy=False)
    x = start.copy()
    residual = _sum_of(v, p - w * _dots(v, x)) - d * x
    direction = residual * inverse
    norm = np.einsum("ij,ij->i", residual, direction)
    scratch, z = np.empty_like(x), np.empty_like(x)
    for step in range(n_steps):
        along = _dots(v, direction)
        weighted, pulled = w * along, np.multiply(d, direction, out=scratch)
        curvature = np.einsum("ij,ij->i", weighted, along) + np.einsum("ij,ij->i", pulled, direction)
        length = norm / np.maximum(curvature, tiny)
        if step + 1 < n_steps:
            pulled += _sum_of(v, weighted)
            pulled *= length[:, None]
            residual -= pulled
        x += np.multiply(direction, length[:, None], out=scratch)
        if step + 1 < n_steps:
            np.multiply(residual, inverse, out=z)
            before, norm = norm, np.einsum("ij,ij->i", residual, z)
            direction *= (norm / np.maximum(before, tiny))[:, None]
            direction += z
    return x


def _dots(v: Matrix, x: Matrix) -> Matrix:
    """v_bj·x_b, (b, n)."""
    dots: Matrix = np.matmul(v, x[:, :, None])[:, :, 0]
    return dots


def _sum_of(v: Matrix, weights: Matrix) -> Matrix:
    """Σ_j weights_bj v_bj, (b, dim)."""
    total: Matrix = np.matmul(weights[:, None, :], v)[:, 0, :]
    return total


def _in_batches(systems: RowSystems, solve: Solve, boundary: int) -> Matrix:
    """What `solve` says of each batch. boundary: row lengths below it are never padded up to it."""
    m, dim = systems.weights.shape[0], systems.vectors.shape[1]
    degrees = np.diff(systems.weights.indptr).astype(np.int64)
    solved = np.zeros((m, dim), np.float32)
    gather = _Gatherer(systems, degrees)

    def one(rows: NDArray[np.int64]) -> None:
        solved[rows] = solve(gather(rows))

    for _ in on_threads(one, _batches(degrees, dim, boundary)):
        pass
    return solved


class _Gatherer:
    """Makes batches. Each thread has one buffer for their vectors: new memory for each took as long as to solve it."""

    def __init__(self, systems: RowSystems, degrees: NDArray[np.int64]) -> None:
        self._systems, self._degrees = systems, degrees
        self._columns = np.append(systems.weights.indices, 0).astype(np.int64)  # the last pair pads
        self._weights = np.append(systems.weights.data, np.float32(0))
        self._pulls = np.append(systems.pulls, np.float32(0))
        self._buffers = threading.local()

    def __call__(self, rows: NDArray[np.int64]) -> _Batch:
        systems, lengths = self._systems, self._degrees[rows]
        steps = np.arange(lengths.max(), dtype=np.int64)
        at = np.where(steps < lengths[:, None], systems.weights.indptr[rows, None] + steps, len(self._columns) - 1)
        v = self._buffer(at.size * systems.vectors.shape[1]).reshape(*at.shape, -1)
        systems.vectors.take(self._columns[at], axis=0, out=v, mode="clip")  # "raise" would fill a copy
        return _Batch(rows, v, self._weights[at], self._pulls[at], systems.base + systems.ridge[rows, None])

    def _buffer(self, size: int) -> NDArray[np.float32]:
        buffer: NDArray[np.float32] | None = getattr(self._buffers, "floats", None)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers.floats = np.empty(max(size, _BATCH_FLOATS), np.float32)
        return buffer[:size]


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
        end = min(end, begin + max(1, min(_BATCH_FLOATS // int(longest * dim), _ROW_FLOATS // dim)))
        yield order[begin:end]
        begin = end
