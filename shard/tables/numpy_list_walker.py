"""The list walk of a process without the native kernel, and what that kernel is compared with. See
`shard/tables/list_walker.py`.

Each list is walked from its head in chunks that double, until nothing unseen can precede the k-th hit. Most of what numpy
costs here is the number of calls, so all lists go through each of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.order import top_k
from cluster.types import NO_FLOATS, NO_ROWS, Floats, Rows
from shard.filter.eligible import kept

_CHUNK_MIN = 32


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
        walks = [
            _Walk(int(self._indptr[at]), int(self._indptr[at + 1]), np.float32(weight))
            for at, weight in zip(lists, weights, strict=True)
        ]
        chunk = k + _CHUNK_MIN
        rows, scores = NO_ROWS, NO_FLOATS
        n_walked = 0
        while walks and k > 0:
            n_walked += sum(min(chunk, walk.end - walk.at) for walk in walks)
            if n_walked > entries_max:
                return None
            more_rows, more_scores = self._walked(walks, chunk, k, passes=passes, excluded=excluded)
            rows, scores = _best(np.concatenate((rows, more_rows)), np.concatenate((scores, more_scores)), k)
            walks = [walk for walk in walks if walk.at < walk.end]
            if len(rows) == k:
                walks = [walk for walk in walks if self._may_precede(walk, scores[-1], rows[-1])]
            chunk *= 2
        return rows, scores

    def _walked(
        self, walks: list[_Walk], chunk: int, k: int, *, passes: NDArray[np.bool_], excluded: Rows
    ) -> tuple[Rows, Floats]:
        """The eligible ones among the next `chunk` entries of every walk, weighted; without some that k others precede."""
        all_rows, all_scores, promising, best = [], [], slice(0), np.float32(-np.inf)
        n_walked = 0
        for walk in walks:
            stop = min(walk.at + chunk, walk.end)
            rows, scores = self._rows[walk.at : stop], self._scores[walk.at : stop] * walk.weight
            if len(rows) >= k and scores[k - 1] > best:
                promising, best = slice(n_walked, n_walked + len(rows)), scores[k - 1]
            all_rows.append(rows)
            all_scores.append(scores)
            n_walked += len(rows)
            walk.at = stop
        rows, scores = np.concatenate(all_rows), np.concatenate(all_scores)
        allowed = kept(rows, passes, excluded)
        hits = np.flatnonzero(allowed[promising])
        if len(hits) >= k:  # one list alone has k hits that score no less than its k-th: what scores less is out
            allowed &= scores >= scores[promising][hits[k - 1]]
        return rows[allowed], scores[allowed]

    def _may_precede(self, walk: _Walk, score: np.float32, row: np.int32) -> bool:
        """Whether an entry that was not yet walked may stand before a hit with this score and row.

        Within a run of equal scores rows ascend, so the next entry bounds its run. Weighting rounds, and may tie later
        runs with this one; there rows bound nothing.
        """
        bound = self._scores[walk.at] * walk.weight
        if bound != score:
            return bool(bound > score)
        run = self._scores[walk.at : walk.end]
        run_length = len(run) - int(np.searchsorted(run[::-1], run[0]))
        later_run_ties = run_length < len(run) and run[run_length] * walk.weight == score
        return bool(later_run_ties or self._rows[walk.at] < row)


@dataclass(slots=True)
class _Walk:
    """How far one list has been walked: its entries from `at` to `end` have not been seen."""

    at: int
    end: int
    weight: np.float32


def _best(rows: Rows, scores: Floats, k: int) -> tuple[Rows, Floats]:
    """The k best rows, each with the largest of its scores."""
    order = np.lexsort((-scores, rows))
    ordered = rows[order]
    is_first = np.ones(len(rows), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    rows, scores = ordered[is_first], scores[order[is_first]]
    best = top_k(scores, rows.astype(np.int64), k)
    return rows[best], scores[best]
