"""Eligible rows from any rows to exclude, in any order, repeated or not passing the mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shard.filter.eligible import Eligible, Mask


def eligible_without(mask: Mask, excluded: NDArray[np.integer]) -> Eligible:
    rows = excluded.astype(np.int32)
    return Eligible(mask, np.unique(rows[mask.bits[rows]]))
