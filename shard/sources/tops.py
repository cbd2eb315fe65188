"""Static top lists, several at once: an item scores the largest of weight × score over the lists that hold it. Exact.

Each list is walked from its head under the mask, in chunks that double, until nothing unseen can precede the k-th hit. An
item among the k best stands among the first k eligible of the list it gets its score from, so with much eligible the
heads are enough. With little, looking up the eligible rows' own entries costs less than walking on: whichever is
cheaper is done, so the work is bounded by both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
        asked, weights = self._asked(ask)
        k = min(k, eligible.count)
        if k <= 0 or len(asked) == 0:
            return Found.nothing("empty")
        walks = [
            _Walk(start, end, weight)
            for start, end, weight in zip(
                self._lists.indptr[asked].tolist(), self._lists.indptr[asked + 1].tolist(), weights, strict=True
            )
        ]
        chunk = math.ceil(1.1 * k * eligible.n_rows / eligible.count) + 8
        rows, scores = NO_ROWS, NO_FLOATS
        while True:
            if sum(min(chunk, walk.end - walk.at) for walk in walks) > eligible.count * self._entries_per_row:
                return Found(*self._looked_up(asked, weights, eligible.rows(), k), "rows")
            more_rows, more_scores = self._walked(walks, chunk, eligible, k)
            rows, scores = self._best(np.concatenate((rows, more_rows)), np.concatenate((scores, more_scores)), k)
            walks = [walk for walk in walks if walk.at < walk.end]
            if len(rows) == k:
                walks = [walk for walk in walks if self._may_precede(walk, scores[-1], rows[-1])]
            if not walks:
                return Found(rows, scores, "walk")
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

    def _walked(self, walks: list[_Walk], chunk: int, eligible: Eligible, k: int) -> tuple[Rows, Floats]:
        """The eligible ones among the next `chunk` entries of every walk, weighted; without some that k others precede."""
        all_rows, all_scores, promising, best = [], [], slice(0), np.float32(-np.inf)
        n_walked = 0
        for walk in walks:
            stop = min(walk.at + chunk, walk.end)
            rows, scores = self._lists.rows[walk.at : stop], self._lists.scores[walk.at : stop] * walk.weight
            if len(rows) >= k and scores[k - 1] > best:
                promising, best = slice(n_walked, n_walked + len(rows)), scores[k - 1]
            all_rows.append(rows)
            all_scores.append(scores)
            n_walked += len(rows)
            walk.at = stop
        rows, scores = np.concatenate(all_rows), np.concatenate(all_scores)
        kept = eligible.keep(rows)
        hits = np.flatnonzero(kept[promising])
        if len(hits) >= k:  # one list alone has k hits that score no less than its k-th: what scores less is out
            kept &= scores >= scores[promising][hits[k - 1]]
        return rows[kept], scores[kept]

    def _looked_up(self, asked: NDArray[np.intp], weights: Floats, rows: Rows, k: int) -> tuple[Rows, Floats]:
        """The k best of some rows, from their own entries."""
        rows, firsts, entry_lists, entry_scores = self._lists.entries_of(rows)
        if len(rows) == 0:
            return NO_ROWS, NO_FLOATS
        weight_of = np.full(len(self._lists), np.nan, np.float32)
        weight_of[asked] = weights
        weighted = entry_scores * weight_of[entry_lists]
        weighted[np.isnan(weighted)] = -np.inf  # in a list that was not asked for
        scores = np.maximum.reduceat(weighted, firsts)
        held = scores > -np.inf
        rows, scores = rows[held], scores[held]
        best = top_k(scores, self._keys[rows], k)
        return rows[best], scores[best]

    def _best(self, rows: Rows, scores: Floats, k: int) -> tuple[Rows, Floats]:
        """The k best rows, each with the largest of its scores."""
        if len(rows) == 0:
            return NO_ROWS, NO_FLOATS
        order = np.lexsort((-scores, rows))
        ordered = rows[order]
        is_first = np.ones(len(rows), np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
        rows, scores = ordered[is_first], scores[order[is_first]]
        best = top_k(scores, self._keys[rows], k)
        return rows[best], scores[best]

    def _may_precede(self, walk: _Walk, score: np.float32, row: np.int32) -> bool:
        """Whether an entry that was not yet walked may stand before a hit with this score and row.

        Within a run of equal scores keys ascend, so the next entry bounds its run. Weighting rounds, and may tie later
        runs with this one; there keys bound nothing.
        """
        bound = self._lists.scores[walk.at] * walk.weight
        if bound != score:
            return bool(bound > score)
        run = self._lists.scores[walk.at : walk.end]
        run_length = len(run) - int(np.searchsorted(run[::-1], run[0]))
        later_run_ties = run_length < len(run) and run[run_length] * walk.weight == score
        return bool(later_run_ties or self._lists.rows[walk.at] < row)


@dataclass(slots=True)
class _Walk:
    """How far one list has been walked: its entries from `at` to `end` have not been seen."""

    at: int
    end: int
    weight: np.float32
