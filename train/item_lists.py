"""Item-item lists: for each source item the target items it speaks for, with weights. What EASE, NPMI and similarity all make.

Also the one rule of which entries survive when a row is cut to its strongest. Rows and targets are rows of the catalogue; which
shard a target lives on, and how lists are walked for a history, is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]
Part = TypeVar("Part")


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
    """The same entries, columns ascending: several times faster where their order is not asked for."""
    if not rows.has_sorted_indices:
        rows = rows.sorted_indices()
    strengths = np.abs(rows.data.astype(np.float32, copy=False))
    degrees = np.diff(rows.indptr)
    row_of = np.repeat(np.arange(len(degrees), dtype=np.int64), degrees)
    cuts = _kth_largest(row_of, strengths, degrees, k)[row_of]
    inside = (strengths >= cuts) & (strengths > 0)
    places = k - _per_row(strengths > cuts, rows.indptr)  # what the larger ones leave to those that tie with the k-th
    ties = inside & (strengths == cuts)
    before = np.concatenate(([0], np.cumsum(ties, dtype=np.int64)))
    inside &= ~ties | (before[:-1] - before[rows.indptr[:-1]][row_of] < places[row_of])
    indptr = np.concatenate(([0], np.cumsum(inside, dtype=np.int64)))[rows.indptr].astype(np.int32)  # int64 would spread
    data, columns = rows.data[inside].astype(np.float32), rows.indices[inside].astype(np.int32)
    return sparse.csr_array((data, columns, indptr), shape=rows.shape)


def strongest_of_dense(rows: NDArray[np.floating], k: int) -> sparse.csr_array:
    """`strongest` for a dense block (m, n)."""
    n = rows.shape[1]
    strengths = np.abs(rows)
    cuts = np.partition(strengths, n - k, axis=1)[:, n - k] if k < n else np.zeros(len(rows), rows.dtype)
    return strongest(sparse.csr_array(np.where(strengths >= cuts[:, None], rows, 0)), k)


def blocks_of(make: Callable[[Part], sparse.csr_array], parts: Iterable[Part]) -> list[sparse.csr_array]:
    """`make` of each part, in order, on all cores. BLAS keeps to one: its threads would only wait for each other's turn."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(make, parts))


def lists_of(blocks: Iterable[sparse.csr_array]) -> ItemLists:
    """Blocks of consecutive sources, as `strongest` gives them, put together."""
    parts = list(blocks)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    targets = np.concatenate([part.indices for part in parts])
    return ItemLists(_starts(lengths), targets.astype(np.int32), np.concatenate([part.data for part in parts]))


def _kth_largest(row_of: NDArray[np.int64], strengths: Floats, degrees: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """Each row's k-th largest of the strengths >= 0, 0 for a row with no more than k.

    Row and strength are sorted as one 64-bit integer, the bits of a non-negative float being in its order: several times faster
    than sorting rows with an index.
    """
    cuts = np.zeros(len(degrees), np.float32)
    long = degrees > k
    if long.any():
        inside = long[row_of]
        keys = (row_of[inside].astype(np.uint64) << np.uint64(32)) | strengths[inside].view(np.uint32).astype(np.uint64)
        keys.sort()
        at = np.cumsum(degrees[long], dtype=np.int64) - k
        cuts[long] = (keys[at] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    return cuts


def _descending(values: Floats) -> NDArray[np.uint64]:
    """32-bit integers in the reverse order of the values, of which none is NaN."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return (~ascending).astype(np.uint64)


def _per_row(marked: NDArray[np.bool_], indptr: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many entries of each row are marked."""
    before = np.concatenate(([0], np.cumsum(marked, dtype=np.int64)))
    return np.diff(before[indptr])


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
