"""Items that follow from the query's seeds by one table of item-to-item weights. Exact; promises no number.

    score(i) = Σ over seeds s of weight(s) · w(s, i)

summed in float64 in the order of the seeds and rounded once, so that no partition can change it; items with a sum above 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.order import top_k
from cluster.types import Ask, Floats, Keys, Query, Rows
from shard._kernel import located
from shard.best_rows import BestRows
from shard.csr import slices
from shard.filter.eligible import Eligible
from shard.tables.item_table import ItemTable, unpacked

_ROWS_PER_ENTRY = 128  # up to so many, a slot for every row of the shard is quicker than sorting the entries by row


class ItemTableSource:
    """seeds: which of the query's seed sets is looked up in the table."""

    def __init__(self, table: ItemTable, keys: Keys, seeds: str) -> None:
        self._seed_keys = table.seed_keys
        self._starts = table.starts
        self._entries = table.entries
        self._keys = keys
        self._seeds = seeds

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        seeds = query.seeds.get(self._seeds)
        if seeds is None or len(seeds.keys) == 0 or len(self._seed_keys) == 0:
            return BestRows.none("no_seeds")
        at, known = located(self._seed_keys, seeds.keys)
        entries, indptr = slices(self._starts, at)
        targets, weights = unpacked(self._entries[entries])
        seed_weights = np.repeat(seeds.weights[known].astype(np.float64), np.diff(indptr))
        rows, scores = _summed(targets, seed_weights * weights, len(self._keys))
        kept = eligible.keep(rows)
        if not kept.all():
            rows, scores = rows[kept], scores[kept]
        best = top_k(scores, self._keys[rows], k)
        return BestRows(rows[best], scores[best], "lists")


def _summed(rows: Rows, parts: NDArray[np.float64], n_rows: int) -> tuple[Rows, Floats]:
    """The distinct rows whose parts sum to more than 0, and the sums, each added part by part as they come.

    Both ways add alike: `bincount` goes through its input in order, and a stable sort keeps that order.
    """
    if n_rows <= _ROWS_PER_ENTRY * len(rows):
        at = rows.astype(np.intp)
        slot = np.empty(n_rows, np.int32)  # of a row: the position of one of its entries; never read for other rows
        slot[at] = np.arange(len(rows), dtype=np.int32)
        sums = np.bincount(slot[at], parts)
        found = np.flatnonzero(sums > 0)
        return rows[found], sums[found].astype(np.float32)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    is_first = np.ones(len(rows), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    sums = np.bincount(np.cumsum(is_first) - 1, parts[order])
    found = np.flatnonzero(sums > 0)
    return ordered[is_first][found], sums[found].astype(np.float32)
