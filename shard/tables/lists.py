"""Static ranked lists over a shard's rows: by list, best first, and the same entries by row.

A list is walked if most of its head is eligible; if few rows are eligible, their own entries are looked up instead.
`shard/sources/tops.py` decides which lists a query uses, and with what weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cluster.errors import GenerationCorrupt
from cluster.order import best_first, require_finite
from cluster.types import Floats, Keys, Rows
from shard._kernel import ListWalker
from shard.csr import pointing_to, slices


class ByRow(NamedTuple):
    """The entries of row i are at indptr[i]:indptr[i + 1]: in which lists it is, and its score there."""

    indptr: NDArray[np.int64]
    lists: NDArray[np.int32]
    scores: Floats


class RankedLists:
    """names: L of them.  indptr: (L + 1,) int64.  rows: (entries,) int32, scores: (entries,) float32; each list best first."""

    def __init__(self, names: tuple[str, ...], indptr: NDArray[np.int64], rows: Rows, scores: Floats) -> None:
        assert indptr.dtype == np.int64 and rows.dtype == np.int32 and scores.dtype == np.float32, "wrong dtype in lists"
        assert len(indptr) == len(names) + 1 and indptr[-1] == len(rows) == len(scores), "indptr must cover every entry"
        self.names = names
        self.indptr = indptr
        self.rows = rows
        self.scores = scores
        self.position = {name: at for at, name in enumerate(names)}

    @classmethod
    def of(cls, keys: Keys, lists: Mapping[str, tuple[Rows, Floats]]) -> RankedLists:
        """From name -> (rows, scores), aligned, rows unique and in any order. keys: (n,) int64 of all rows, ascending.

        Raises InternalError for a score that is not finite.
        """
        indptr = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(rows) for rows, _ in lists.values()], out=indptr[1:])
        ordered = []
        for name, (rows, scores) in lists.items():
            best = best_first(require_finite(scores, f"list {name}"), keys[rows])
            ordered.append((rows[best], scores[best]))
        all_rows = np.concatenate([rows for rows, _ in ordered]) if ordered else np.empty(0, np.int32)
        all_scores = np.concatenate([scores for _, scores in ordered]) if ordered else np.empty(0, np.float32)
        return cls(tuple(lists), indptr, all_rows.astype(np.int32), all_scores.astype(np.float32))

    def __len__(self) -> int:
        return len(self.names)

    def slice(self, name: str) -> tuple[Rows, Floats]:
        """One list: rows and scores, best first. KeyError for an unknown name."""
        return self.at(self.position[name])

    def at(self, position: int) -> tuple[Rows, Floats]:
        """The list at a position among the names: rows and scores, best first."""
        inside = slice(int(self.indptr[position]), int(self.indptr[position + 1]))
        return self.rows[inside], self.scores[inside]

    def scores_by_row(self, position: int, n_rows: int) -> Floats:
        """(n_rows,) float32: each row's score in the list at a position, 0 where it is not in it."""
        rows, scores = self.at(position)
        by_row = np.zeros(n_rows, np.float32)
        by_row[rows] = scores
        return by_row

    def of_kind(self, kind: str) -> RankedLists:
        """The lists named `<kind>/...`, in their order; all of them for the kind ""."""
        at = np.array([i for i, name in enumerate(self.names) if not kind or name.startswith(f"{kind}/")], np.intp)
        if len(at) == len(self):
            return self
        entries, indptr = slices(self.indptr, at)
        return RankedLists(tuple(self.names[i] for i in at), indptr, self.rows[entries], self.scores[entries])

    def take(self, rows: Rows, n_rows: int) -> RankedLists:
        """The lists over some of the n_rows rows, ascending, which become rows 0, 1, ... Order within a list is kept."""
        indptr, moved, kept = pointing_to(rows, n_rows, indptr=self.indptr, entries=self.rows)
        return RankedLists(self.names, indptr, moved, self.scores[kept])

    def walker(self, n_rows: int) -> ListWalker:
        """Walks these lists, of a shard of n_rows rows.

        A walk would be led astray, and out of its memory, by rows that do not exist and lists that are not best first:
        GenerationCorrupt.
        """
        try:
            return ListWalker(self.indptr, self.rows, self.scores, n_rows)
        except ValueError as error:
            raise GenerationCorrupt(str(error)) from None

    @cached_property
    def by_row(self) -> ByRow:
        """The same entries by row. Made once; its indptr ends after the last row that is in any list."""
        order = np.argsort(self.rows, kind="stable")
        n_rows = int(self.rows.max()) + 1 if len(self.rows) else 0
        indptr = np.searchsorted(self.rows[order], np.arange(n_rows + 1)).astype(np.int64)
        lists = np.repeat(np.arange(len(self.names), dtype=np.int32), np.diff(self.indptr))
        return ByRow(indptr, lists[order], self.scores[order])

    def entries_of(self, rows: Rows) -> tuple[Rows, NDArray[np.int64], NDArray[np.int32], Floats]:
        """The entries of some rows, row by row: the rows that have any, where the entries of each begin; lists and scores."""
        by_row = self.by_row
        rows = rows[rows < len(by_row.indptr) - 1]
        rows = rows[by_row.indptr[rows + 1] > by_row.indptr[rows]]
        at, indptr = slices(by_row.indptr, rows)
        return rows, indptr[:-1], by_row.lists[at], by_row.scores[at]
