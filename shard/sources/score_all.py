"""Every eligible item scored exactly: by the query's vector, or without one by the longest window's popularity.

For catalogues, or filters, small enough that an index has nothing to add.
"""

from __future__ import annotations

import re

import numpy as np

from cluster.order import top_k
from cluster.types import Ask, Floats, Keys, Query
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible
from shard.spaces.space import Space
from shard.tables.lists import RankedLists


class ScoreAll:
    """space: None where the source has no space; then popularity is all there is.  kind: the kind of list that tells it."""

    def __init__(self, space_name: str, space: Space | None, lists: RankedLists, keys: Keys, kind: str) -> None:
        self._space_name = space_name
        self._space = space
        self._keys = keys
        self._popularity = popularity(lists, len(keys), kind)

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        vector = query.vectors.get(self._space_name)
        if vector is not None and self._space is not None:
            return self._space.exact(vector, eligible, k)
        rows = eligible.rows()
        best = top_k(self._popularity[rows], self._keys[rows], k)
        return BestRows(rows[best], self._popularity[rows[best]], "popularity")


def popularity(lists: RankedLists, n_rows: int, kind: str) -> Floats:
    """(n_rows,) float32: each row's score in the global list `<kind>/<days>d` with the most days; 0 where it is in none."""
    global_list = re.compile(re.escape(kind) + r"/(\d+)d" if kind else r"(\d+)d")
    days = {at: int(match[1]) for at, name in enumerate(lists.names) if (match := global_list.fullmatch(name))}
    return lists.scores_by_row(max(days, key=days.__getitem__), n_rows) if days else np.zeros(n_rows, np.float32)
