"""The list walk of a process without the native kernel, and what that kernel is compared with. See
`shard/tables/list_walker.py`.

It looks at the heads of all lists together, twice as deep each time, until nothing below them can precede the k-th hit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.order import top_k
from cluster.types import NO_FLOATS, NO_ROWS, Floats, Rows
from shard.filter.eligible import kept

_DEPTH_BEYOND_K = 32


class NumpyListWalker:
    """See `shard.tables.list_walker.ListWalker`."""

    def __init__(self, indptr: NDArray[np.int64], rows: Rows, scores: Floats, n_rows: int) -> None:
        if len(rows) and (rows.min() < 0 or rows.max() >= n_rows):
            raise ValueError("the lists hold rows that do not exist")
        self._indptr = indptr
        self._rows = rows
        self._scores = scores

    def best(
        self,
        lists: Sequence[int],
        weights: Sequence[float],
        passes: NDArray[np.bool_],
        excluded: Rows,
        k: int,
        entries_max: int,
    ) -> tuple[Rows, Floats] | None:
        if k <= 0 or not lists:
            return NO_ROWS, NO_FLOATS
        starts, ends = self._indptr[np.array(lists)], self._indptr[np.array(lists) + 1]
        factors = np.array(weights, np.float32)
        depth = k + _DEPTH_BEYOND_K
        while True:
            stops = np.minimum(starts + depth, ends)
            if (stops - starts).sum() > entries_max:
                return None
            at = np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])
            rows, scores = self._rows[at], self._scores[at] * np.repeat(factors, stops - starts)
            allowed = kept(rows, passes, excluded)
            rows, scores = _best(rows[allowed], scores[allowed], k)
            unseen = [(slice(stop, end), factor) for stop, end, factor in zip(stops, ends, factors, strict=True) if stop < end]
            if not any(len(rows) < k or self._may_precede(*tail, scores[-1], rows[-1]) for tail in unseen):
                return rows, scores
            depth *= 2

    def _may_precede(self, tail: slice, weight: np.float32, score: np.float32, row: np.int32) -> bool:
        """Whether an entry of a list's tail may stand before a hit with this score and row.

        Within a run of equal scores rows ascend, so the next entry bounds its run. Weighting rounds, and may tie later
        runs with this one; there rows bound nothing.
        """
        run = self._scores[tail]
        bound = run[0] * weight
        if bound != score:
            return bool(bound > score)
        run_length = len(run) - int(np.searchsorted(run[::-1], run[0]))
        later_run_ties = run_length < len(run) and run[run_length] * weight == score
        return bool(later_run_ties or self._rows[tail.start] < row)


def _best(rows: Rows, scores: Floats, k: int) -> tuple[Rows, Floats]:
    """The k best rows, each with the largest of its scores."""
    order = np.lexsort((-scores, rows))
    ordered = rows[order]
    is_first = np.ones(len(rows), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    rows, scores = ordered[is_first], scores[order[is_first]]
    best = top_k(scores, rows.astype(np.int64), k)
    return rows[best], scores[best]
