"""Which rows of a shard one query may return: the filter's mask, shared and cached, and the query's own exclusions.

A mask is made once per filter and reused; the short exclusion list lies on top of it without copying it. Both counts are
exact, so every decision that depends on selectivity knows it instead of estimating it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cluster.sorted_keys import is_among
from cluster.types import NO_ROWS, Rows, UnknownValue


class Mask:
    """The rows that pass one filter. bits: (n,) bool, read-only. Compared by identity: it is the key of derived caches.

    unknown_values: of a filter that no row passes, what it names and no row has.
    """

    def __init__(self, bits: NDArray[np.bool_], unknown_values: tuple[UnknownValue, ...] = ()) -> None:
        bits.flags.writeable = False
        self.unknown_values = unknown_values
        self.bits = bits
        self.count = int(np.count_nonzero(bits))
        self.everything = self.count == len(bits)

    @cached_property
    def rows(self) -> Rows:
        """The passing rows, ascending, (count,) int32."""
        return np.flatnonzero(self.bits).astype(np.int32)


class Eligible:
    """A mask and the rows excluded on top of it. excluded: int32, ascending, unique, each one passing the mask.

    count: how many rows may be returned.
    """

    __slots__ = ("count", "excluded", "mask")

    def __init__(self, mask: Mask, excluded: Rows = NO_ROWS) -> None:
        self.mask = mask
        self.excluded = excluded
        self.count = mask.count - len(excluded)

    @property
    def n_rows(self) -> int:
        return len(self.mask.bits)

    def keep(self, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """For each of some rows whether it may be returned, aligned with them."""
        allowed: NDArray[np.bool_] = self.mask.bits.take(rows)
        if len(self.excluded):
            allowed &= ~is_among(rows, self.excluded)
        return allowed

    def rows(self) -> Rows:
        """Every row that may be returned, ascending, int32. Costs a copy of the mask's rows if anything is excluded."""
        if len(self.excluded) == 0:
            return self.mask.rows
        at = np.searchsorted(self.mask.rows, self.excluded)
        return np.delete(self.mask.rows, at)
