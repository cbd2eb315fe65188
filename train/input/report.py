"""What was wrong with the input: how many rows were dropped, for which reason, and what was kept although it looks odd.

Nothing disappears silently: for every table, rows read = rows kept + the sum of the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EXAMPLES_MAX = 3


class TableReport(msgspec.Struct, frozen=True):
    """One table. dropped: reason -> rows.  noted: oddity -> rows that were kept.  examples: either -> a few values."""

    table: str
    n_rows: int
    n_kept: int
    dropped: dict[str, int]
    noted: dict[str, int]
    examples: dict[str, list[str]]

    def __post_init__(self) -> None:
        assert self.n_rows == self.n_kept + sum(self.dropped.values()), "rows must add up"

    def lines(self) -> list[str]:
        """For people: how many rows were kept, then a line for each reason and each oddity, the most frequent first."""
        told = [f"{self.table}: {self.n_kept:,} of {self.n_rows:,} rows kept"]
        for verb, counts in (("dropped", self.dropped), ("kept", self.noted)):
            for reason, n in sorted(counts.items(), key=lambda one: -one[1]):
                shown = ", ".join(dict.fromkeys(self.examples.get(reason, [])))
                told.append(f"  {n:,} {verb}, {reason}" + (f": {shown}{' …' if n > _EXAMPLES_MAX else ''}" if shown else ""))
        return told


class InputReport(msgspec.Struct, frozen=True):
    """All tables, and what they hold. Times are Unix seconds of the first and last kept purchase, both the build's if there is
    none.

    n_users: of the log and of the table of users.  n_events: kept events by kind.  users, playlists: None where not given.
    """

    items: TableReport
    events: TableReport
    n_users: int
    n_items_sold: int
    first_time: int
    last_time: int
    n_events: dict[str, int] = {}
    users: TableReport | None = None
    playlists: TableReport | None = None

    @property
    def tables(self) -> list[TableReport]:
        """Of the files that were given."""
        return [table for table in (self.items, self.events, self.users, self.playlists) if table is not None]

    @property
    def n_dropped(self) -> int:
        """Rows of any table that were not kept."""
        return sum(sum(table.dropped.values()) for table in self.tables)


class Tally:
    """Counts the rows of one table while it is read."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.n_rows = 0
        self.dropped: dict[str, int] = {}
        self.noted: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def drop(self, reason: str, bad: NDArray[np.bool_], values: pa.Array | Sequence[object]) -> None:
        """Count the rows marked in `bad` (n,) as dropped; `values` (n,) shows what they looked like."""
        self._count(self.dropped, reason, bad, values)

    def note(self, oddity: str, odd: NDArray[np.bool_], values: pa.Array | Sequence[object]) -> None:
        """The same for rows that are kept; `values` says which ones."""
        self._count(self.noted, oddity, odd, values)

    def report(self) -> TableReport:
        n_kept = self.n_rows - sum(self.dropped.values())
        return TableReport(self.table, self.n_rows, n_kept, self.dropped, self.noted, self.examples)

    def _count(
        self, counts: dict[str, int], reason: str, marked: NDArray[np.bool_], values: pa.Array | Sequence[object]
    ) -> None:
        n = int(np.count_nonzero(marked))
        if n == 0:
            return
        counts[reason] = counts.get(reason, 0) + n
        shown = self.examples.setdefault(reason, [])
        for at in np.flatnonzero(marked)[: _EXAMPLES_MAX - len(shown)]:
            value = values[int(at)]
            shown.append(_shown(value))


def _shown(value: object) -> str:
    if not isinstance(value, pa.Scalar):
        return str(value)
    try:
        return str(value.as_py())
    except OverflowError:  # a time that no calendar has
        return str(value.value)
