"""The row sets of a process without the native kernel, and what that kernel is compared with. See
`shard/tables/row_sets.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.types import NO_ROWS, Keys, Rows


def united(parts: Sequence[Rows]) -> tuple[Rows, Rows]:
    joined = np.concatenate((NO_ROWS, *parts))
    rows, members = np.unique(joined, return_inverse=True)
    return rows, members.astype(np.int32)


def located(keys: Keys, wanted: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(keys) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.searchsorted(keys, wanted)
    places[places == len(keys)] = 0
    which = np.flatnonzero(keys[places] == wanted)
    return places[which], which
