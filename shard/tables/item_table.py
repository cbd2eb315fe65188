"""Item-to-item weights over a shard's rows: for each seed item, the items of this shard that follow from it.

A list lives with its targets: a seed may be any item of the catalogue, and each shard holds the part of its list that
points into the shard. What the weights are (EASE, NPMI, similarity) is the build's matter; how a query sums them is
`shard/sources/item_lists.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cluster.order import require_finite
from cluster.types import Floats, Keys, Rows
from shard.csr import pointing_to


@dataclass(frozen=True, eq=False)
class ItemTable:
    """seed_keys: (s,) int64, ascending and unique.  starts: (s + 1,) int64.

    The list of seed i is rows[starts[i]:starts[i + 1]], (e,) int32 and unique in it, and weights likewise, (e,) float32.
    """

    seed_keys: Keys
    starts: NDArray[np.int64]
    rows: Rows
    weights: Floats

    def __post_init__(self) -> None:
        assert self.seed_keys.dtype == np.int64 and self.starts.dtype == np.int64, "seed keys and starts must be int64"
        assert self.rows.dtype == np.int32 and self.weights.dtype == np.float32, "rows must be int32, weights float32"
        assert len(self.starts) == len(self.seed_keys) + 1, f"{len(self.starts)} starts for {len(self.seed_keys)} seeds"
        assert self.starts[-1] == len(self.rows) == len(self.weights), "starts must cover every entry"

    @classmethod
    def of(cls, keys: Keys, starts: NDArray[np.int64], targets: Rows, weights: Floats) -> ItemTable:
        """From lists between the rows of a whole catalogue, whose item keys ascend.

        keys: (n,) int64.  starts: (n + 1,) int64, where the list of each row begins.  targets: (e,) int32 rows.  weights:
        (e,) float32.  Raises InternalError for a weight that is not finite.
        """
        filled = np.flatnonzero(np.diff(starts))
        return cls(
            seed_keys=keys[filled],
            starts=np.append(starts[filled], starts[-1]).astype(np.int64),
            rows=targets.astype(np.int32, copy=False),
            weights=require_finite(weights, "an item table").astype(np.float32, copy=False),
        )

    def __len__(self) -> int:
        return len(self.seed_keys)

    @cached_property
    def entries(self) -> NDArray[np.int64]:
        """(e,) each entry's row and weight side by side, because scattered lists wait for memory. For `unpacked`."""
        both = np.empty((len(self.rows), 2), np.int32)
        both[:, 0] = self.rows
        both[:, 1] = self.weights.view(np.int32)
        return both.view(np.int64)[:, 0]

    def take(self, rows: Rows, n_rows: int) -> ItemTable:
        """The lists into some of the n_rows rows, ascending, which become rows 0, 1, ... Order in a list is kept.

        Seeds that point to none of them are left out.
        """
        starts, moved, kept = pointing_to(rows, n_rows, indptr=self.starts, entries=self.rows)
        filled = np.flatnonzero(np.diff(starts))
        return ItemTable(self.seed_keys[filled], np.append(starts[filled], starts[-1]), moved, self.weights[kept])


def unpacked(entries: NDArray[np.int64]) -> tuple[Rows, Floats]:
    """The rows and the weights of some of a table's `entries`, aligned with them."""
    both = entries.view(np.int32).reshape(-1, 2)
    return both[:, 0], both[:, 1].view(np.float32)
