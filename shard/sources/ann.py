"""Nearest items to the query's vector in one space. `shard/spaces/space.py` chooses how to search."""

from __future__ import annotations

from cluster.types import Ask, Query
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible
from shard.spaces.space import Space


class Ann:
    """No hits for a query that has no vector of the space: other sources serve new users."""

    def __init__(self, space_name: str, space: Space) -> None:
        self._space_name = space_name
        self._space = space

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        vector = query.vectors.get(self._space_name)
        return BestRows.none("no_vector") if vector is None else self._space.search(vector, eligible, k)
