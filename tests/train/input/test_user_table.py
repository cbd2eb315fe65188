"""What users.parquet says: features for any users in any order, declared profiles, and every row accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config.sections import UserTableSection
from cluster.errors import ConfigError
from cluster.spec import AttributeSpec
from train.input import user_table
from train.input.report import TableReport
from train.input.user_table import UserTable, read_users

SECTION = UserTableSection(category=("city",), categories=("likes",), number=("age",), boolean=("member",))


def read(folder: Path, section: UserTableSection = SECTION) -> tuple[UserTable, TableReport]:
    table = pa.table(
        {
            "user_id": ["b", None, "a", "", "b", "x" * 300, "c"],
            "city": ["Ulm", "Ulm", None, "Ulm", "Bonn", "Ulm", "Bonn"],
            "likes": pa.array([["tea", None, "jam"], [], None, [], [], [], ["tea", "tea"]], pa.list_(pa.string())),
            "age": pa.array([30, 1, None, 1, 1, 1, 50], pa.int16()),
            "member": [True, None, None, None, None, None, False],
        }
    )
    pq.write_table(table, folder / "users.parquet")
    return read_users(folder / "users.parquet", section, id_length_max=256)


def test_every_row_is_kept_or_counted(tmp_path: Path) -> None:
    table, report = read(tmp_path)
    assert table.ids.to_pylist() == ["a", "b", "c"] and report.n_rows == 7 and report.n_kept == 3
    assert report.dropped == {"null id": 1, "empty id": 1, "id longer than 256 (limits.id_length)": 1, "repeated id": 1}
    assert report.noted == {"city null": 1, "likes with a null element": 1, "likes null": 1, "age null": 1, "member null": 1}


def test_features_of_any_users_in_their_order(tmp_path: Path) -> None:
    table, _ = read(tmp_path)
    names, values = table.features(pa.array(["c", "stranger", "b", "a"]))
    assert names == ("user.city=Bonn", "user.city=Ulm", "user.likes=tea", "user.likes=jam", "user.age", "user.member")
    assert values.dtype == np.float32
    assert values.tolist() == [[1, 0, 1, 0, 50, 0], [0, 0, 0, 0, 40, -1], [0, 1, 1, 1, 30, 1], [0, 0, 0, 0, 40, -1]]
    assert table.features(pa.array([], pa.string()))[1].shape == (0, 6)


def test_only_the_most_frequent_values_become_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_table, "_VALUES_MAX", 1)
    names, _ = read(tmp_path)[0].features(pa.array(["a"]))
    assert names == ("user.city=Bonn", "user.likes=tea", "user.age", "user.member")


def test_what_users_say_to_like(tmp_path: Path) -> None:
    table, _ = read(tmp_path)
    of_items = (AttributeSpec("likes", "category"), AttributeSpec("age", "number"), AttributeSpec("brand", "category"))
    assert table.profile_attributes(of_items) == ("likes",)
    strangers, b, c, none = table.declared("likes", pa.array(["stranger", "b", "c", "a"]))
    assert strangers is None and none is None and b is not None and c is not None
    assert b.values == ("jam", "tea") and b.weights.tolist() == [0.5, 0.5]
    assert c.values == ("tea",) and c.weights.tolist() == [1.0]
    city = table.declared("city", pa.array(["b"]))[0]
    assert city is not None and city.values == ("Ulm",)


def test_saved_is_loaded(tmp_path: Path) -> None:
    table, _ = read(tmp_path)
    table.save(tmp_path / "users.arrow")
    loaded = UserTable.load(tmp_path / "users.arrow", SECTION)
    assert loaded.ids.equals(table.ids) and loaded.specs == table.specs
    assert all(loaded.attributes[name].equals(values) for name, values in table.attributes.items())
    bare = UserTable(table.ids, (), {})
    assert bare.features(table.ids) == ((), pytest.approx(np.empty((3, 0))))


def test_wrong_columns_and_nothing_usable_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"column 'city' \(user_table.number\) is string, expected a number"):
        read(tmp_path, UserTableSection(number=("city",)))
    with pytest.raises(ConfigError, match="user_table: age listed more than once"):
        read(tmp_path, UserTableSection(number=("age",), boolean=("age",)))
    pq.write_table(pa.table({"user_id": pa.array([None], pa.string())}), tmp_path / "empty.parquet")
    with pytest.raises(ConfigError, match="no usable user among 1 rows"):
        read_users(tmp_path / "empty.parquet", UserTableSection(), id_length_max=256)
