"""Exact scans with numpy alone: for installations without a compiler, and to check the native kernel against.

BLAS scores all rows fast but rounds differently for different numbers of rows. So its scores only select, with a slack
that covers every rounding, and the few contenders are scored again, one by one, in double precision.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InvalidQuery
from cluster.order import top_k
from cluster.spec import Metric
from cluster.types import Floats, Rows

_SAMPLE = 1024
_UNIT_ROUNDOFF = 2.0**-24
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class NumpyScanner:
    """A `Scanner`; see there."""

    instructions = "numpy"

    def __init__(self, vectors: Floats, metric: Metric) -> None:
        squares = np.einsum("ij,ij->i", vectors, vectors)
        self._vectors = vectors
        self._metric = metric
        self._half_squares = squares / 2 if metric == "l2" else None
        self._longest = float(np.sqrt(squares.max(initial=0)))

    def best_of_all(self, query: Floats, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of all rows."""
        query = self.prepared(query)
        return self._best(query, None, self._selectors(query), excluded, k)

    def best_passing(self, query: Floats, passes: NDArray[np.bool_], excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of the rows that pass, (n,) bool."""
        query, rows = self.prepared(query), np.flatnonzero(passes).astype(np.int32)
        return self._best(query, rows, self._selectors(query)[rows], excluded, k)

    def best_listed(self, query: Floats, rows: Rows, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of some rows, ascending."""
        query = self.prepared(query)
        selectors: Floats = self._vectors.take(rows, axis=0) @ query
        if self._half_squares is not None:
            selectors -= self._half_squares[rows]
        return self._best(query, rows, selectors, excluded, k)

    def rank(
        self, query: Floats, labels: NDArray[np.uint64], passes: NDArray[np.bool_], excluded: Rows, k: int, spare: int
    ) -> tuple[Rows, Floats]:
        """The k best of the first k + spare labels that pass and are not excluded."""
        rows = labels.ravel().astype(np.int32)
        rows = rows[passes[rows]]
        if len(excluded):
            rows = rows[~np.isin(rows, excluded)]
        return self._ranked(self.prepared(query), rows[: k + spare], k)

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """Aligned with any rows."""
        return self._scores(self.prepared(query), rows)

    def prepared(self, query: Floats) -> Floats:
        """The query whose scores these are."""
        dim = self._vectors.shape[1]
        if query.shape != (dim,):
            raise InvalidQuery(f"the vector has shape {query.shape}, the space has {dim} dimensions")
        wide = query.astype(np.float64)
        square, limit = float(wide @ wide), math.sqrt(_FLOAT32_MAX / 16) - self._longest
        if not square <= limit * limit:
            raise InvalidQuery(f"the vector is not finite, or longer than {limit:f}")
        if self._metric != "cosine" or square == 0 or abs(square - 1) < 1e-6:
            return query
        unit: Floats = (wide / math.sqrt(square)).astype(np.float32)
        return unit

    def _scores(self, query: Floats, rows: Rows) -> Floats:
        vectors, wide = self._vectors[rows].astype(np.float64), query.astype(np.float64)
        if self._half_squares is None:
            products: Floats = np.vecdot(vectors, wide).astype(np.float32)
            return products
        vectors -= wide
        squares: Floats = np.vecdot(vectors, vectors).astype(np.float32)
        return -squares

    def _selectors(self, query: Floats) -> Floats:
        selectors: Floats = self._vectors @ query
        if self._half_squares is not None:
            selectors -= self._half_squares
        return selectors

    def _best(self, query: Floats, rows: Rows | None, selectors: Floats, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """rows: which row each selector is of; None if they are all rows."""
        if len(excluded):
            selectors[excluded if rows is None else np.searchsorted(rows, excluded)] = -np.inf
        at = contenders(selectors, min(k, len(selectors) - len(excluded)), 2 * self._rounding(query))
        return self._ranked(query, at.astype(np.int32) if rows is None else rows[at], k)

    def _ranked(self, query: Floats, rows: Rows, k: int) -> tuple[Rows, Floats]:
        scores = self._scores(query, rows)
        best = top_k(scores, rows.astype(np.int64), k)
        return rows[best], scores[best]

    def _rounding(self, query: Floats) -> float:
        """By how much a selector may be off. Higham's bound for either of two ways to sum, and one rounding more."""
        length = math.sqrt(float(query.astype(np.float64) @ query))
        largest = self._longest * length if self._half_squares is None else (self._longest + length) ** 2
        return 2 * (len(query) + 4) * _UNIT_ROUNDOFF * largest


def contenders(scores: Floats, k: int, slack: float) -> NDArray[np.intp]:
    """Positions of all finite scores that reach the k-th best one less `slack`, ascending. 0 <= k <= finite scores.

    scores: (n,) float32. A threshold guessed from a sample spares most of the selection: 10,000 scores take 15 µs
    instead of 60. A guess that turns out too high costs one whole selection.
    """
    n = len(scores)
    if k == 0:
        return np.empty(0, np.intp)
    if n > 4 * _SAMPLE:
        sample = scores[:: n // _SAMPLE]
        share = k * len(sample) / n
        rank = int(share + 4 * share**0.5) + 4
        if rank < len(sample) // 2:
            guess = np.partition(sample, len(sample) - rank)[len(sample) - rank]
            above = np.flatnonzero(scores >= guess - np.float32(slack)) if np.isfinite(guess) else np.empty(0, np.intp)
            reached = scores[above]
            if np.count_nonzero(reached >= guess) >= k:
                return above[reached >= _kth(reached, k) - np.float32(slack)]
    return np.flatnonzero(scores >= _kth(scores, k) - np.float32(slack))


def _kth(scores: Floats, k: int) -> np.float32:
    value: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    return value
