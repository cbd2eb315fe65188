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
    m = rows.shape[0]
    strengths = np.abs(rows.data.astype(np.float32, copy=False))
    degrees = np.diff(rows.indptr)
    row_of = np.repeat(np.arange(m, dtype=np.int64), degrees)
    cuts = _kth_largest(row_of, strengths, rows.indptr, k)
    kept = np.flatnonzero((strengths >= cuts[row_of]) & (strengths > 0))
    by_strength = np.lexsort((rows.indices[kept], -strengths[kept], row_of[kept]))
    kept = kept[by_strength]
    begins = np.searchsorted(row_of[kept], np.arange(m + 1))
    kept = kept[np.arange(len(kept)) - begins[row_of[kept]] < k]
    values, columns, row_of = rows.data[kept].astype(np.float32), rows.indices[kept].astype(np.int32), row_of[kept]
    order = np.lexsort((columns, -values, row_of))
    indptr = np.searchsorted(row_of, np.arange(m + 1)).astype(np.int32)  # int64 here would make the columns int64 too
    return sparse.csr_array((values[order], columns[order], indptr), shape=rows.shape)


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


def _kth_largest(rows: NDArray[np.int64], strengths: Floats, indptr: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """Each row's k-th largest of the strengths >= 0, 0 for a row with fewer.

    Row and strength are sorted as one 64-bit integer, the bits of a non-negative float being in its order: several times faster
    than sorting rows with an index.
    """
    keys = (rows.astype(np.uint64) << np.uint64(32)) | strengths.view(np.uint32).astype(np.uint64)
    keys.sort()
    full = np.diff(indptr) >= k
    cuts = np.zeros(len(full), np.float32)
    at = indptr[1:][full].astype(np.int64) - k
    cuts[full] = (keys[at] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    return cuts


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
