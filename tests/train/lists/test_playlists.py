"""Playlists in any order of rows; what cannot be used is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import PlaylistsSection
from cluster.errors import ConfigError
from tests.train.logs import catalogue_of
from train.input.report import TableReport
from train.lists.playlists import Playlists, read_playlists

SECTION = PlaylistsSection()
ITEMS = catalogue_of(["x"] * 5)

Row = tuple[str | None, int | None, float | None]


def read(path: Path, rows: list[Row], section: PlaylistsSection = SECTION) -> tuple[Playlists, TableReport]:
    names, items, positions = zip(*rows, strict=True)
    columns = {"name": pa.array(names, pa.string()), "item_id": pa.array(items, pa.int64()), "position": list(positions)}
    pq.write_table(pa.table(columns), path)
    return read_playlists(path, section, ITEMS)


def as_dict(playlists: Playlists) -> dict[str, list[int]]:
    bounds = zip(playlists.starts[:-1], playlists.starts[1:], strict=True)
    return {name: playlists.rows[a:b].tolist() for name, (a, b) in zip(playlists.names, bounds, strict=True)}


rows = st.lists(st.tuples(st.sampled_from(["a", "b", "Ω"]), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30)


@settings(deadline=None, max_examples=40)
@given(rows=rows)
def test_any_order_of_rows_gives_the_same_playlists(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("playlists") / "playlists.parquet"
    rows = [*rows, ("a", 0, 0)]
    playlists, report = read(path, rows)
    best: dict[str, dict[int, float]] = {}
    for name, item, position in rows:
        if item is not None and name is not None and position is not None and item < 5:
            of = best.setdefault(name, {})
            of[item] = min(position, of.get(item, position))
    expected = {name: [item for item, _ in sorted(of.items(), key=lambda e: (e[1], e[0]))] for name, of in best.items()}
    assert as_dict(playlists) == dict(sorted(expected.items()))
    assert report.n_rows == len(rows) and report.n_kept == sum(len(of) for of in best.values())
    assert as_dict(read(path, rows[::-1])[0]) == as_dict(playlists)
    for top in playlists.top_lists():
        items = expected[top.name.removeprefix("playlist/")]
        assert (np.diff(top.rows) > 0).all() and top.rows.dtype == np.int32 and top.scores.dtype == np.float32
        assert top.rows[np.argsort(-top.scores)].tolist() == items
    playlists.save(path.with_suffix(".arrow"))
    loaded = Playlists.load(path.with_suffix(".arrow"))
    assert as_dict(loaded) == as_dict(playlists) and loaded.rows.dtype == np.int32 and loaded.starts.dtype == np.int64


def test_every_row_is_kept_or_counted(tmp_path: Path) -> None:
    dirty: list[Row] = [
        (None, 0, 1),
        ("", 0, 1),
        ("a", None, 1),
        ("a", 0, None),
        ("a", 9, 1),
        ("a", 1, 2),
        ("a", 1, 1),
        ("a", 0, 3),
    ]
    playlists, report = read(tmp_path / "playlists.parquet", dirty)
    assert as_dict(playlists) == {"a": [1, 0]}
    assert report.dropped == {
        "null name": 1,
        "empty name": 1,
        "null item": 1,
        "position null or not finite": 1,
        "item not in the catalogue": 1,
        "repeated in its playlist": 1,
    }
    assert [top.name for top in playlists.top_lists()] == ["playlist/a"]


def test_wrong_columns_and_nothing_usable_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "playlists.parquet"
    with pytest.raises(ConfigError, match=r"no usable row among 1: \{'item not in the catalogue': 1\}"):
        read(path, [("a", 9, 1)])
    with pytest.raises(ConfigError, match=r"no column 'rank' \(playlists.position_column\), expected a number"):
        read(path, [("a", 0, 1)], PlaylistsSection(position_column="rank"))
