"""Rows of different lengths as CSR: the entries of row i are at indptr[i]:indptr[i + 1]. Their meaning is the caller's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.types import Rows


def slices(indptr: NDArray[np.int64], at: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of some rows: the positions of all their entries, row by row, and the indptr of these rows alone.

    >>> slices(np.array([0, 2, 2, 5]), np.array([2, 0]))
    (array([2, 3, 4, 0, 1]), array([0, 3, 5]))
    """
    starts, lengths = indptr[at], indptr[at + 1] - indptr[at]
    new = np.zeros(len(at) + 1, np.int64)
    np.cumsum(lengths, out=new[1:])
    return np.arange(new[-1]) + np.repeat(starts - new[:-1], lengths), new


def pointing_to(
    targets: Rows, n_rows: int, *, indptr: NDArray[np.int64], entries: Rows
) -> tuple[NDArray[np.int64], Rows, NDArray[np.bool_]]:
    """Where entries are rows of a table of n_rows: those that point to some `targets`, ascending, which become 0, 1, ...

    Returns the new indptr, the new entries, in their order, and which of the old entries they are, (e,) bool.

    >>> pointing_to(np.array([1, 3]), 4, indptr=np.array([0, 2, 4]), entries=np.array([3, 0, 2, 1]))
    (array([0, 1, 2]), array([1, 0], dtype=int32), array([ True, False, False,  True]))
    """
    new_row = np.full(n_rows, -1, np.int32)
    new_row[targets] = np.arange(len(targets), dtype=np.int32)
    moved = new_row[entries]
    kept = moved >= 0
    n_before = np.zeros(len(entries) + 1, np.int64)
    np.cumsum(kept, out=n_before[1:])
    return n_before[indptr], moved[kept], kept
