"""TF · IDF of a shard's items, by category, by which a user's shares of the categories are weighted.

TF holds what an item's consumers like, not what the item is (`train/lists/quorum.py`). `shard/sources/quorum.py` sums it for a
query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.types import Keys, Rows
from shard.tables.lists import RankedLists

if TYPE_CHECKING:
    from scipy import sparse  # half a second that a serving shard need not spend


@dataclass(frozen=True, slots=True, eq=False)
class QuorumTable:
    """by_value: for each category its items with a TF · IDF above 0, best first.

    All shards name the same categories in the same order, also those that no item of a shard has: a score is a sum over
    categories, and its order must not depend on the partition.
    """

    by_value: RankedLists

    @classmethod
    def of(cls, keys: Keys, values: tuple[str, ...], weights: sparse.csr_array) -> QuorumTable:
        """keys: (n,) int64, ascending.  weights: (n, len(values)) TF · IDF, of which what is not above 0 counts as absent.

        Raises InternalError for a weight that is not finite.
        """
        assert weights.shape == (len(keys), len(values)), f"weights are {weights.shape} for {len(keys)} items"
        by_value = weights.tocsc()
        lists = {}
        for at, value in enumerate(values):
            inside = slice(by_value.indptr[at], by_value.indptr[at + 1])
            rows, scores = by_value.indices[inside].astype(np.int32), by_value.data[inside].astype(np.float32)
            held = ~(scores <= 0)  # keeps what is not a number, for the next line to refuse
            lists[value] = (rows[held], scores[held])
        return cls(RankedLists.of(keys, lists))

    @property
    def values(self) -> tuple[str, ...]:
        """The categories, as in users' profiles."""
        return self.by_value.names

    def take(self, rows: Rows, n_rows: int) -> QuorumTable:
        """The table over some of the n_rows rows, ascending, which become rows 0, 1, ..."""
        return QuorumTable(self.by_value.take(rows, n_rows))
