"""Any column can be shown, in the type that it has in the file."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config.sections import CatalogSection
from cluster.errors import ConfigError
from shard.payload import Payloads
from train.input.catalogue import Catalogue, read_catalogue
from train.input.payload import VALUE_BYTES_MAX

DAY = datetime.date(2024, 2, 29)
TIME = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)
COLUMNS = {
    "title": pa.array(["A lamp", "x" * (VALUE_BYTES_MAX + 1), None]),
    "year": pa.array([2016, None, 2018], pa.int32()),
    "width": pa.array([1.5, np.nan, np.inf]),
    "new": pa.array([True, False, None]),
    "tags": pa.array([["a", "b"], [], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "sizes": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
    "since": pa.array([DAY, None, DAY]),
    "seen": pa.array([TIME, TIME, None], pa.timestamp("ms", "UTC")),
}
SECTION = CatalogSection(id_type="int64", number=("year",), payload=tuple(COLUMNS))


def written(path: Path) -> Path:
    columns = {name: pa.concat_arrays([values[:1], values]) for name, values in COLUMNS.items()}
    pq.write_table(pa.table({"item_id": pa.array([3, None, 1, 2]), **columns}), path)
    return path


def shown(catalogue: Catalogue) -> dict[int, dict[str, object]]:
    rows = np.arange(len(catalogue), dtype=np.int32)
    return dict(zip(catalogue.keys.tolist(), Payloads(catalogue.keys, None, catalogue.payload).shown(rows), strict=True))


def test_columns_that_are_no_attributes_are_shown_in_their_own_types(tmp_path: Path) -> None:
    catalogue, report = read_catalogue(written(tmp_path / "items.parquet"), SECTION, id_length_max=256)
    first = {"title": "A lamp", "year": 2016, "width": 1.5, "new": True, "tags": ["a", "b"], "sizes": [1, 2]}
    by_id = shown(catalogue)
    assert by_id[3] == first | {"since": "2024-02-29", "seen": "2024-02-29T12:30:00Z"}
    assert type(by_id[3]["year"]) is int
    assert by_id[1] == dict.fromkeys(COLUMNS) | {"new": False, "tags": [], "seen": "2024-02-29T12:30:00Z"}
    assert by_id[2]["sizes"] == [3, 4] and by_id[2]["width"] is None
    odd = f"not finite or longer than {VALUE_BYTES_MAX} bytes, so not shown"
    assert report.noted == {"year null": 1, f"title {odd}": 1, f"width {odd}": 2}
    catalogue.save(tmp_path / "catalogue.arrow")
    assert shown(Catalogue.load(tmp_path / "catalogue.arrow", SECTION)) == by_id


def test_attributes_are_shown_in_the_types_of_the_file_unless_columns_are_named(tmp_path: Path) -> None:
    section = CatalogSection(id_type="int64", number=("year",), categories=("tags",))
    catalogue, _ = read_catalogue(written(tmp_path / "items.parquet"), section, id_length_max=256)
    assert shown(catalogue) == {3: {"year": 2016}, 1: {"year": None}, 2: {"year": 2018}}


def test_what_is_missing_or_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["a"], "blob": pa.array([b"x"]), "deep": [[["x"]]]}), path)
    with pytest.raises(ConfigError) as caught:
        read_catalogue(path, CatalogSection(payload=("titel", "blob", "deep")), id_length_max=256)
    assert "no column 'titel' (catalog.payload)" in caught.value.message
    assert "column 'blob' (catalog.payload) is binary, expected strings, numbers" in caught.value.message
    assert "column 'deep'" in caught.value.message
