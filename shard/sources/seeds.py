"""The seeds themselves: items of one of the query's seed sets that this shard owns, by weight. Exact; promises no number.

A set may hold items bought before, favourites or items viewed recently; the router decides what is in it.
"""

from __future__ import annotations

import numpy as np

from cluster.order import best_first
from cluster.types import Ask, Keys, Query
from shard._kernel import located
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible


class SeedItems:
    """seeds: which of the query's seed sets is read."""

    def __init__(self, keys: Keys, seeds: str) -> None:
        self._keys = keys
        self._seeds = seeds

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        seeds = query.seeds.get(self._seeds)
        if seeds is None or len(seeds.keys) == 0 or len(self._keys) == 0:
            return BestRows.none("no_seeds")
        at, seed = located(self._keys, seeds.keys)
        rows, weights = at.astype(np.int32), seeds.weights.take(seed)
        if eligible.count < eligible.n_rows:
            allowed = eligible.keep(at)
            rows, weights = rows[allowed], weights[allowed]
        best = best_first(weights, rows)[:k]  # rows ascend with keys
        return BestRows(rows.take(best), weights.take(best), "seeds")
