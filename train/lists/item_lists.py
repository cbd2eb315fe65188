"""Item-item lists: for each source item, its target items with weights. EASE, NPMI and similarity all produce them.

Also the one rule for which entries survive when a row is cut to its strongest. Rows and targets are rows of the catalogue; the
shard of a target, and the use of the lists for a history, are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ItemLists:
    """The list of source item i is starts[i] to starts[i + 1]; weight descending, of equal weights the smaller target first.

    starts: (n + 1,) int64.  targets: (e,) int32, never the source itself.  weights: (e,) float32, finite; what a target
    scores for a history is the sum of its weights over the items of the history.
    """

    starts: NDArray[np.int64]
    targets: NDArray[np.int32]
    weights: Floats

    def __post_init__(self) -> None:
        assert self.starts.dtype == np.int64 and self.targets.dtype == np.int32 and self.weights.dtype == np.float32
        assert self.starts[-1] == len(self.targets) == len(self.weights), "starts must cover every entry"

    @property
    def n_items(self) -> int:
        return len(self.starts) - 1

    @property
    def n_filled(self) -> int:
        """How many source items have an entry."""
        return int(np.count_nonzero(np.diff(self.starts)))

    @property
    def sources(self) -> NDArray[np.int32]:
        """The source item of each entry, (e,) int32."""
        return np.repeat(np.arange(self.n_items, dtype=np.int32), np.diff(self.starts))

    def matrix(self) -> sparse.csr_array:
        """(n, n) float32 with a source in each row: history @ matrix scores all items."""
        return sparse.csr_array((self.weights, self.targets, self.starts), shape=(self.n_items, self.n_items))

    def only_sources(self, kept: NDArray[np.bool_]) -> ItemLists:
        """The same lists, empty for every source i without kept[i]."""
        lengths = np.where(kept, np.diff(self.starts), 0)
        inside = np.repeat(kept, np.diff(self.starts))
        return ItemLists(_starts(lengths), self.targets[inside], self.weights[inside])


def strongest(rows: sparse.csr_array, k: int) -> sparse.csr_array:
    """The k entries of each row that are largest in absolute value, of equal ones the smaller column; explicit zeros go.

    float32, columns int32; within a row in order of the entry, largest first, as `ItemLists` wants it.
    """
    kept = cut_rows(rows, k)
    row_of = np.repeat(np.arange(kept.shape[0], dtype=np.uint64), np.diff(kept.indptr))
    order = np.argsort((row_of << np.uint64(32)) | _descending(kept.data), kind="stable")  # columns ascend already
    return sparse.csr_array((kept.data[order], kept.indices[order], kept.indptr), shape=rows.shape)


def cut_rows(rows: sparse.csr_array, k: int) -> sparse.csr_array:
    """The same entries, columns ascending: faster where their order is not asked for."""
    strengths = np.abs(rows.data.astype(np.float32, copy=False))
    cuts = _kth_largest(strengths, rows.indptr, k)
    inside = strengths >= np.repeat(cuts, np.diff(rows.indptr))
    inside &= strengths > 0
    kept = _compressed(rows, inside)
    if not rows.has_sorted_indices:
        kept.sort_indices()
    return _without_surplus(kept, cuts, k)


def strongest_of_dense(rows: NDArray[np.floating], k: int) -> sparse.csr_array:
    """`strongest` for a dense block (m, n), in C order.

    The k-th largest of every s-th column is no larger than that of all columns. Selecting it costs n / s and leaves some s k
    entries of a row to choose from, so s grows with the square root of n / k.
    """
    m, n = rows.shape
    strengths = np.abs(rows)
    some = strengths[:, :: max(1, isqrt(n // (8 * k)))]
    last = some.shape[1] - k
    cuts = np.partition(some, last, axis=1)[:, last] if last > 0 else np.zeros(m, rows.dtype)
    above_zero = np.nextafter(rows.dtype.type(0), rows.dtype.type(1))
    inside = strengths >= np.maximum(cuts, above_zero)[:, None]
    at, lengths = np.flatnonzero(inside), np.count_nonzero(inside, axis=1)
    columns = (at - np.repeat(np.arange(m) * n, lengths)).astype(np.int32)
    indptr = _starts(lengths).astype(np.int32)
    return strongest(sparse.csr_array((rows.ravel()[at].astype(np.float32), columns, indptr), shape=rows.shape), k)


def lists_of(blocks: Iterable[sparse.csr_array]) -> ItemLists:
    """Blocks of consecutive sources, as `strongest` gives them, put together."""
    parts = list(blocks)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    targets = np.concatenate([part.indices for part in parts])
    return ItemLists(_starts(lengths), targets.astype(np.int32), np.concatenate([part.data for part in parts]))


def _kth_largest(strengths: Floats, indptr: NDArray[np.integer], k: int) -> Floats:
    """Each row's k-th largest of the strengths >= 0, 0 for a row with no more than k.

    A row at a time: its few microseconds of Python are less than what sorting all entries together takes for one of them.
    """
    degrees = np.diff(indptr)
    cuts = np.zeros(len(degrees), np.float32)
    for row in np.flatnonzero(degrees > k):
        mine = strengths[indptr[row] : indptr[row + 1]]
        cuts[row] = np.partition(mine, len(mine) - k)[len(mine) - k]
    return cuts


def _compressed(rows: sparse.csr_array, inside: NDArray[np.bool_]) -> sparse.csr_array:
    """The entries marked, as float32 with int32 columns."""
    before = np.concatenate(([0], np.cumsum(inside, dtype=np.int64)))
    indptr = before[rows.indptr].astype(np.int32)  # int64 here would make the columns int64 too
    data, columns = rows.data[inside].astype(np.float32), rows.indices[inside].astype(np.int32)
    return sparse.csr_array((data, columns, indptr), shape=rows.shape)


def _without_surplus(rows: sparse.csr_array, cuts: Floats, k: int) -> sparse.csr_array:
    """Rows of more than k entries, all at least as strong as the row's cut, without the last of those that tie with it."""
    surplus = np.diff(rows.indptr) - k
    if not (surplus > 0).any():
        return rows
    row_of = np.repeat(np.arange(len(surplus)), np.diff(rows.indptr))
    ties = np.abs(rows.data) == cuts[row_of]
    before = np.concatenate(([0], np.cumsum(ties, dtype=np.int64)))
    to_come = before[rows.indptr[1:]][row_of] - before[:-1]  # ties in the row from this entry on
    return _compressed(rows, ~(ties & (to_come <= surplus[row_of])))


def _descending(values: Floats) -> NDArray[np.uint64]:
    """32-bit integers in the reverse order of the values, of which none is NaN."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return (~ascending).astype(np.uint64)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
