"""What is read of a catalogue, what is dropped and counted, and how a wrong file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config.sections import CatalogSection
from cluster.errors import ConfigError
from cluster.partition import item_keys
from train.input.catalogue import NO_TIME, Catalogue, read_catalogue

SECTION = CatalogSection(category=("category",), categories=("stores",), number=("price",), boolean=("organic",))


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def dirty(path: Path) -> Path:
    return write(
        path,
        item_id=["b", None, "a", "", "b", "x" * 300, "c"],
        category=pa.array(["red", "red", None, "red", "blue", "red", "green"]).dictionary_encode(),
        stores=pa.array([["1", None], [], None, [], [], [], []], pa.list_(pa.string())),
        price=pa.array([1, 2, 3, 4, 5, 6, float("nan")], pa.float32()),
        organic=[True, None, False, None, None, None, None],
        unused=[0] * 7,
    )


def test_every_row_is_kept_or_counted(tmp_path: Path) -> None:
    catalogue, report = read_catalogue(dirty(tmp_path / "items.parquet"), SECTION, id_length_max=256)
    assert report.n_rows == 7 and report.n_kept == len(catalogue) == 3
    assert report.dropped == {"null id": 1, "empty id": 1, "id longer than 256 (limits.id_length)": 1, "repeated id": 1}
    assert report.noted == {
        "category null": 1,
        "stores with a null element": 1,
        "stores null": 1,
        "price not finite": 1,
        "price null": 1,
        "organic null": 1,
    }
    assert report.examples["repeated id"] == ["b"] and report.examples["category null"] == ["a"]


def test_rows_are_by_ascending_key_and_the_first_of_repeated_ids_counts(tmp_path: Path) -> None:
    catalogue, _ = read_catalogue(dirty(tmp_path / "items.parquet"), SECTION, id_length_max=256)
    assert (np.diff(catalogue.keys) > 0).all()
    assert catalogue.keys.tolist() == item_keys(catalogue.ids.to_pylist()).tolist()
    by_id = dict(zip(catalogue.ids.to_pylist(), catalogue.attributes["category"].to_pylist(), strict=True))
    assert by_id == {"a": None, "b": "red", "c": "green"}
    stores = dict(zip(catalogue.ids.to_pylist(), catalogue.attributes["stores"].to_pylist(), strict=True))
    assert stores == {"a": None, "b": ["1"], "c": []}


def test_saved_is_loaded(tmp_path: Path) -> None:
    catalogue, _ = read_catalogue(dirty(tmp_path / "items.parquet"), SECTION, id_length_max=256)
    catalogue.save(tmp_path / "catalogue.arrow")
    loaded = Catalogue.load(tmp_path / "catalogue.arrow", SECTION)
    assert np.array_equal(loaded.keys, catalogue.keys) and loaded.ids.equals(catalogue.ids)
    assert all(loaded.attributes[name].equals(values) for name, values in catalogue.attributes.items())


CREATED = CatalogSection(created_column="created_at", vector_column="content")


def with_vectors(path: Path, vectors: pa.Array) -> Path:
    n = len(vectors)
    created = pa.array([None, *range(1, n)], pa.timestamp("ms"))
    return write(path, item_id=[f"i{at}" for at in range(n)], created_at=created, content=vectors)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64()), pa.list_(pa.float16())]
)
def test_created_and_content_of_any_list_type_are_read_and_kept(tmp_path: Path, kind: pa.DataType) -> None:
    rows = [[1, 2], None, [float("nan"), 1], [3, 4], [None, 1]]
    vectors = pa.array([None if row is None else [None if x is None else np.float16(x) for x in row] for row in rows], kind)
    path = with_vectors(tmp_path / "items.parquet", vectors)
    catalogue, report = read_catalogue(path, CREATED, id_length_max=256)
    assert catalogue.content is not None and catalogue.created is not None
    assert catalogue.content.dtype == np.float32 and catalogue.content.shape == (5, 2)
    by_id = dict(zip(catalogue.ids.to_pylist(), catalogue.content.tolist(), strict=True))
    assert by_id == {"i0": [1, 2], "i1": [0, 0], "i2": [0, 0], "i3": [3, 4], "i4": [0, 0]}
    since = dict(zip(catalogue.ids.to_pylist(), catalogue.created.tolist(), strict=True))
    assert since == {"i0": NO_TIME, "i1": 0, "i2": 0, "i3": 0, "i4": 0}
    assert report.noted == {"created_at null": 1, "content null": 1, "content not finite": 2}
    catalogue.save(tmp_path / "catalogue.arrow")
    loaded = Catalogue.load(tmp_path / "catalogue.arrow", CREATED)
    assert loaded.content is not None and np.array_equal(loaded.content, catalogue.content)
    assert loaded.created is not None and np.array_equal(loaded.created, catalogue.created)


def test_vectors_of_another_length_type_or_none_at_all_are_one_error(tmp_path: Path) -> None:
    path = with_vectors(tmp_path / "items.parquet", pa.array([[1.0, 2], [1.0], [2.0, 1], [1.0, 2, 3]], pa.list_(pa.float32())))
    with pytest.raises(ConfigError) as caught:
        read_catalogue(path, CREATED, id_length_max=256)
    odd = "2 of 4 vectors do not have the length of the others, 2; item"
    assert f"{path}: column 'content' (catalog.vector_column): {odd}" in caught.value.message
    with_vectors(path, pa.array([[1, 2]], pa.list_(pa.int32())))
    with pytest.raises(
        ConfigError, match=r"\(catalog.vector_column\) is list<.*int32>, expected list<float> or fixed_size_list"
    ):
        read_catalogue(path, CREATED, id_length_max=256)
    with_vectors(path, pa.array([None, None], pa.list_(pa.float32())))
    with pytest.raises(ConfigError, match="has no vector in any of 2 items"):
        read_catalogue(path, CREATED, id_length_max=256)
    with_vectors(path, pa.array([[0.0, 0.0], None], pa.list_(pa.float32())))
    with pytest.raises(ConfigError, match="every vector of 2 items is zero"):
        read_catalogue(path, CREATED, id_length_max=256)
    with pytest.raises(ConfigError, match=r"no column 'since' \(catalog.created_column\), expected a timestamp, a date or"):
        read_catalogue(path, CatalogSection(created_column="since"), id_length_max=256)


def test_rows_of_keys_codes_and_numbers(tmp_path: Path) -> None:
    catalogue, _ = read_catalogue(dirty(tmp_path / "items.parquet"), SECTION, id_length_max=256)
    assert catalogue.rows_of(catalogue.keys[::-1]).tolist() == [2, 1, 0]
    assert catalogue.rows_of(item_keys(["zzz"])).tolist() == [-1]
    codes, values = catalogue.codes("category")
    assert values == ["green", "red"]
    names = [None if code < 0 else values[code] for code in codes]
    assert names == catalogue.attributes["category"].to_pylist()
    assert np.isnan(catalogue.numbers("price")).sum() == 1


def test_members_of_sets_and_of_single_values(tmp_path: Path) -> None:
    stores = pa.array([["2", "10"], None, [], ["10"]], pa.list_(pa.string()))
    path = write(tmp_path / "items.parquet", item_id=pa.array([3, 2, 1, 0]), category=["x", None, "y", "x"], stores=stores)
    section = CatalogSection(id_type="int64", category=("category",), categories=("stores",))
    catalogue, _ = read_catalogue(path, section, id_length_max=256)
    rows, codes, values = catalogue.members("stores")
    assert sorted((int(r), values[c]) for r, c in zip(rows, codes, strict=True)) == [(0, "10"), (3, "10"), (3, "2")]
    rows, codes, values = catalogue.members("category")
    assert [(int(r), values[c]) for r, c in zip(rows, codes, strict=True)] == [(0, "x"), (1, "y"), (3, "x")]


def test_integer_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", item_id=pa.array([3, -1, 2**53, 3], pa.int64()))
    catalogue, report = read_catalogue(path, CatalogSection(id_type="int64"), id_length_max=256)
    assert catalogue.ids.to_pylist() == [-1, 3]
    assert report.dropped == {"id beyond 2^53-1": 1, "repeated id": 1}


def test_all_that_is_wrong_with_the_columns_is_said_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", item_id=[1, 2], category=[1.5, 2.5], price=["x", "y"], organic=[True, False])
    with pytest.raises(ConfigError) as caught:
        read_catalogue(path, SECTION, id_length_max=256)
    lines = caught.value.message.splitlines()
    assert len(lines) == 4 and all(str(path) in line for line in lines)
    assert "column 'item_id' (catalog.id_column) is int64, expected string" in lines[0]
    assert "column 'category' (catalog.category) is double, expected string" in lines[1]
    assert "no column 'stores' (catalog.categories), expected list<string>; the columns are item_id, category" in lines[2]
    assert "column 'price' (catalog.number) is string, expected a number" in lines[3]


def test_a_column_of_two_meanings_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", item_id=["a"], year=[2001])
    section = CatalogSection(number=("year",), created_column="year")
    with pytest.raises(ConfigError, match=r"column 'year' is both catalog.number and catalog.created_column"):
        read_catalogue(path, section, id_length_max=256)


def test_unreadable_missing_and_empty_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not really")
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        read_catalogue(broken, SECTION, id_length_max=256)
    with pytest.raises(ConfigError, match="no such file"):
        read_catalogue(tmp_path / "missing.parquet", SECTION, id_length_max=256)
    empty = write(tmp_path / "empty.parquet", item_id=pa.array([None], pa.string()))
    with pytest.raises(ConfigError, match="no usable item among 1 rows"):
        read_catalogue(empty, CatalogSection(), id_length_max=256)


def test_an_attribute_listed_twice_is_refused(tmp_path: Path) -> None:
    section = CatalogSection(category=("price",), number=("price",))
    with pytest.raises(ConfigError, match="price listed more than once"):
        read_catalogue(dirty(tmp_path / "items.parquet"), section, id_length_max=256)


def test_a_folder_of_files_is_one_catalogue(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", item_id=["a", "b"])
    write(tmp_path / "part-1.parquet", item_id=["c", "a"])
    catalogue, report = read_catalogue(tmp_path, CatalogSection(), id_length_max=256)
    assert sorted(catalogue.ids.to_pylist()) == ["a", "b", "c"] and report.dropped == {"repeated id": 1}
