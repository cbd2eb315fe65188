"""Static top lists, several at once: an item scores the largest of weight × score over the lists that hold it. Exact.

The lists are walked from their heads under the mask (`shard._kernel.ListWalker`): with much eligible that ends soon. With
little, looking up the eligible rows' own entries costs less than walking on. The work is bounded by both.
"""

from __future__ import annotations

import numpy as np

from cluster.errors import InvalidQuery
from cluster.order import top_k
from cluster.types import NO_FLOATS, NO_ROWS, Ask, Floats, Keys, Query, Rows
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible
from shard.tables.lists import RankedLists

_WEIGHT_MAX = float(np.finfo(np.float32).max)
_WALKED_FREELY = 1_000  # entries: a lookup costs as much whatever it finds
_WALKED_PER_LOOKED_UP = 4  # entries of a walk cost as much as one that is looked up


class Tops:
    """The lists a query asks for are those of its `Ask`; without any there are no hits."""

    def __init__(self, lists: RankedLists, keys: Keys) -> None:
        """Raises GenerationCorrupt for lists that are not best first or hold rows that do not exist."""
        self._lists = lists
        self._walker = lists.walker(len(keys))
        self._keys = keys
        by_row = lists.by_row
        self._entries_per_row = len(by_row.lists) / max(len(by_row.indptr) - 1, 1)

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        """Raises InvalidQuery for a list that does not exist or a weight that is negative or not finite."""
        asked, weights = self._asked(ask)
        count = eligible.count
        k = min(k, count)
        if k <= 0 or not asked:
            return BestRows.none("empty")
        entries_max = _WALKED_FREELY + int(_WALKED_PER_LOOKED_UP * count * self._entries_per_row)
        walked = self._walker.best(asked, weights, eligible.mask.bits, eligible.excluded, k, entries_max)
        if walked is not None:
            return BestRows(*walked, "walk")
        return BestRows(*self._looked_up(asked, weights, eligible.rows(), k), "rows")

    def _asked(self, ask: Ask) -> tuple[list[int], list[float]]:
        position = self._lists.position
        try:
            asked = [position[name] for name, _ in ask.lists]
        except KeyError as unknown:
            raise InvalidQuery(f"no top list {unknown.args[0]!r}", field="lists") from None
        weights = [weight for _, weight in ask.lists]
        if len(set(asked)) < len(asked):
            raise InvalidQuery("a top list is requested twice", field="lists")
        if not all(0 <= weight <= _WEIGHT_MAX for weight in weights):
            raise InvalidQuery("the weight of a top list must be finite and not negative", field="lists")
        return asked, weights

    def _looked_up(self, asked: list[int], weights: list[float], rows: Rows, k: int) -> tuple[Rows, Floats]:
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
