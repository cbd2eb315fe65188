"""Quorums: items whose consumers like the categories the user likes. Exact; promises no number.

    score(i) = Σ over categories c of TF·IDF(i, c) · UF(c),   UF the query's profile of the quorum's attribute

Every item is scored; items with a score above 0 are hits. A walk along the categories' tops until no unseen item can enter the
answer would see half of a shard of Complete Journey or all of it (20 categories, 23,000 items, the 50 best): nearly every item
has a weight in most categories, and the sums are close together. Adding up whole columns costs less.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluster.order import top_k
from cluster.types import Affinity, Ask, Floats, Keys, Query
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable

_FULL_COLUMN_SHARE = 1 / 8  # of the items: from here a column is added sooner than its entries, in at most 4 times the memory


class Quorum:
    """attribute: whose profile is the user's UF."""

    def __init__(self, table: QuorumTable, keys: Keys, attribute: str) -> None:
        self._by_value = table.by_value
        self._n_items = len(keys)
        self._attribute = attribute
        self._columns = _full_columns(table.by_value, len(keys))

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        profile = query.profile.get(self._attribute)
        if profile is None or self._n_items == 0:
            return BestRows.none("no_profile")
        scores, rows = self._scores(self._shares(profile)), eligible.mask.rows
        scores[eligible.excluded] = 0
        if not eligible.mask.everything:
            scores = scores[rows]
        if np.count_nonzero(scores) < k:  # only then can one that scores nothing be among the best
            rows, scores = rows[scores > 0], scores[scores > 0]
        best = top_k(scores, rows, k)  # rows ascend as their keys do, and are at hand
        return BestRows(rows[best], scores[best], "columns")

    def _shares(self, profile: Affinity) -> dict[int, np.float32]:
        """The user's share of each category that the table knows, by its position; above 0."""
        position = self._by_value.position
        shares = zip(profile.values, profile.weights, strict=True)
        return {position[value]: share for value, share in shares if share > 0 and value in position}

    def _scores(self, shares: Mapping[int, np.float32]) -> Floats:
        """(n_items,) float32, added in the order of the categories whatever form each is kept in.

        So an item gets the same bits in any partition, and no score has to be computed twice.
        """
        sums = np.zeros(self._n_items, np.float32)
        parts = np.empty_like(sums)
        for at in sorted(shares):
            column = self._columns.get(at)
            if column is not None:
                np.multiply(column, shares[at], out=parts)
                np.add(sums, parts, out=sums)
            else:
                rows, weights = self._by_value.at(at)
                np.add.at(sums, rows.astype(np.intp), weights * shares[at])  # half the time of sums[rows] += ...
        return sums


def _full_columns(by_value: RankedLists, n_items: int) -> dict[int, Floats]:
    """Position of a common category -> (n_items,) float32, 0 for an item without it."""
    common = np.flatnonzero(np.diff(by_value.indptr) >= max(1, n_items * _FULL_COLUMN_SHARE))
    return {at: by_value.scores_by_row(at, n_items) for at in common.tolist()}
