"""The row sets of a process without the native kernel, and what that kernel is compared with. See
`shard/tables/row_sets.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.sorted_keys import positions_in
from cluster.types import NO_ROWS, Keys, Rows


def united(parts: Sequence[Rows]) -> tuple[Rows, Rows]:
    joined = np.concatenate((NO_ROWS, *parts))
    rows, members = np.unique(joined, return_inverse=True)
    return rows, members.astype(np.int32)


def located(keys: Keys, wanted: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    at, is_there = positions_in(keys, wanted)
    return at[is_there], np.flatnonzero(is_there)
