"""Static top lists, several at once: an item scores the largest of weight × score over the lists that hold it. Exact.

Each list is walked from its head under the mask, in chunks that double, until nothing unseen can precede the k-th hit. An
item among the k best stands among the first k eligible of the list it gets its score from, so with much eligible the
heads are enough. With little, looking up the eligible rows' own entries costs less than walking on: whichever is
cheaper is done, so the work is bounded by both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InvalidQuery
from cluster.order import top_k
from cluster.types import NO_FLOATS, NO_ROWS, Ask, Floats, Keys, Query, Rows
from shard.eligible import Eligible
from shard.found import Found
from shard.lists import RankedLists


class Tops:
    """The lists a query asks for are those of its `Ask`; without any there are no hits."""

    def __init__(self, lists: RankedLists, keys: Keys) -> None:
        self._lists = lists
        self._keys = keys
        by_row = lists.by_row
        self._entries_per_row = len(by_row.lists) / max(len(by_row.indptr) - 1, 1)

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> Found:
        """Raises InvalidQuery for a list that does not exist or a weight that is negative or not finite."""
        asked, asked_weights = self._asked(ask)
        k = min(k, eligible.count)
        if k <= 0 or len(asked) == 0:
            return Found.nothing("empty")
        starts, ends, weights = self._lists.indptr[asked], self._lists.indptr[asked + 1], asked_weights
        chunk = math.ceil(1.1 * k * eligible.n_rows / eligible.count) + 8
        rows, scores = NO_ROWS, NO_FLOATS
        while True:
            stops = np.minimum(starts + chunk, ends)
            if (stops - starts).sum() > eligible.count * self._entries_per_row:
                return Found(*self._looked_up(asked, asked_weights, eligible.rows(), k), "rows")
            more = self._walked(starts, stops, weights, eligible)
            rows, scores = self._best(np.concatenate((rows, more[0])), np.concatenate((scores, more[1])), k)
            going = stops < ends
            if len(rows) == k:
                going[going] = self._may_precede(stops[going], ends[going], weights[going], scores[-1], rows[-1])
            if not going.any():
                return Found(rows, scores, "walk")
            starts, ends, weights = stops[going], ends[going], weights[going]
            chunk *= 2

    def _asked(self, ask: Ask) -> tuple[NDArray[np.intp], Floats]:
        position = self._lists.position
        names = [name for name, _ in ask.lists]
        weights = np.array([weight for _, weight in ask.lists], np.float32)
        unknown = [name for name in names if name not in position]
        if unknown:
            raise InvalidQuery(f"no top list {unknown[0]!r}", field="lists")
        if len(set(names)) < len(names):
            raise InvalidQuery("a top list is asked for twice", field="lists")
        if not (weights >= 0).all() or not np.isfinite(weights).all():
            raise InvalidQuery("the weight of a top list must be finite and not negative", field="lists")
        return np.array([position[name] for name in names], np.intp), weights

    def _walked(
        self, starts: NDArray[np.int64], stops: NDArray[np.int64], weights: Floats, eligible: Eligible
    ) -> tuple[Rows, Floats]:
        """The eligible entries of some lists from start to stop, weighted."""
        lengths = stops - starts
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        rows = self._lists.rows[at]
        kept = eligible.keep(rows)
        return rows[kept], (self._lists.scores[at] * np.repeat(weights, lengths))[kept]

    def _looked_up(self, asked: NDArray[np.intp], weights: Floats, rows: Rows, k: int) -> tuple[Rows, Floats]:
        """The k best of some rows, from their own entries."""
        weight_of = np.full(len(self._lists), np.nan, np.float32)
        weight_of[asked] = weights
        entry_rows, entry_lists, entry_scores = self._lists.entries_of(rows)
        weighted = entry_scores * weight_of[entry_lists]
        kept = ~np.isnan(weighted)
        return self._best(entry_rows[kept], weighted[kept], k)

    def _best(self, rows: Rows, scores: Floats, k: int) -> tuple[Rows, Floats]:
        """The k best rows, each with the largest of its scores."""
        if len(rows) == 0:
            return NO_ROWS, NO_FLOATS
        order = np.argsort(rows)
        rows, scores = rows[order], scores[order]
        firsts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        rows, scores = rows[firsts], np.maximum.reduceat(scores, firsts)
        best = top_k(scores, self._keys[rows], k)
        return rows[best], scores[best]

    def _may_precede(
        self, nexts: NDArray[np.int64], ends: NDArray[np.int64], weights: Floats, score: np.float32, row: np.int32
    ) -> NDArray[np.bool_]:
        """For some lists whether an entry from `next` on may stand before a hit with this score and row.

        Within a run of equal scores keys ascend, so the next entry bounds its run. Weighting rounds, and may tie later
        runs with this one; there keys bound nothing.
        """
        bounds = self._lists.scores[nexts] * weights
        may = bounds > score
        for i in np.flatnonzero(bounds == score):
            run = self._lists.scores[nexts[i] : ends[i]]
            run_length = len(run) - int(np.searchsorted(run[::-1], run[0]))
            later_run_ties = run_length < len(run) and run[run_length] * weights[i] == score
            may[i] = later_run_ties or self._lists.rows[nexts[i]] < row
        return may
