"""Rows add up, and people are told why some are gone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from train.input.report import InputReport, TableReport, Tally


def tallied() -> TableReport:
    tally = Tally("events.parquet")
    tally.n_rows = 1_200
    ids = pa.array([f"i{at % 2}" for at in range(1_200)])
    tally.drop("null user", np.arange(1_200) < 2, ids)
    tally.drop("unknown item", np.arange(1_200) >= 1_100, ids)
    tally.note("no context", np.arange(1_200) == 7, ids)
    return tally.report()


def test_lines_say_how_many_why_and_which() -> None:
    assert tallied().lines() == [
        "events.parquet: 1,098 of 1,200 rows kept",
        "  100 dropped, unknown item: i0, i1 …",
        "  2 dropped, null user: i0, i1",
        "  1 kept, no context: i1",
    ]


def test_all_tables_count() -> None:
    report = InputReport(tallied(), tallied(), 1, 1, 0, 0, playlists=tallied())
    assert len(report.tables) == 3 and report.n_dropped == 306


def test_rows_that_do_not_add_up_are_our_bug() -> None:
    with pytest.raises(AssertionError, match="rows must add up"):
        TableReport("t", 3, 1, {"gone": 1}, {}, {})
