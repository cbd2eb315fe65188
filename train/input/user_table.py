"""User attributes from an optional users.parquet, as features and as a declared profile.

A number becomes a feature, with the median for a missing value. A boolean becomes 1, 0, or −1 if it is missing. A category, or
a set of categories, becomes a feature of 1 or 0 for each of its most frequent values. An attribute with the name of an item
attribute is also a declared profile: what the user says they like, used until the log shows what the user does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.config.sections import UserTableSection
from cluster.spec import AttributeSpec
from cluster.types import Affinity
from shard.arrow_file import only_chunk, write_table
from train.input.attribute_columns import attribute_columns, attribute_specs, cleaned
from train.input.id_rows import read_id_rows
from train.input.parquet import Column
from train.input.report import TableReport, Tally

_VALUES_MAX = 16
_SETS = ("category", "categories")


@dataclass(frozen=True, slots=True, eq=False)
class UserTable:
    """n users. ids: (n,) string, ascending, unique.  attributes: name -> (n,) Arrow array, null where a user has no value."""

    ids: pa.Array
    specs: tuple[AttributeSpec, ...]
    attributes: dict[str, pa.Array]

    def features(self, user_ids: pa.Array) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Names "user.<attribute>" or "user.<attribute>=<value>", and (m, n_names) float32, finite, for these users in order.

        A user that the table does not have is one with every value missing.
        """
        at = self._rows_of(user_ids)
        taken = pa.array(at, mask=at < 0)
        columns: dict[str, NDArray[np.floating]] = {}
        for spec in self.specs:
            values = self.attributes[spec.name]
            columns |= _features(spec, values, values.take(taken))
        matrix = np.stack(list(columns.values()), axis=1) if columns else np.empty((len(at), 0))
        return tuple(f"user.{name}" for name in columns), matrix.astype(np.float32)

    def holds(self, user_ids: pa.Array) -> NDArray[np.bool_]:
        """Which of these users the table has, (m,) bool."""
        return self._rows_of(user_ids) >= 0

    def declared(self, attribute: str, user_ids: pa.Array) -> list[Affinity | None]:
        """What each of these users says to like, in equal shares that sum to 1; None where the table says nothing."""
        at = self._rows_of(user_ids)
        values = _as_sets(self.attributes[attribute]).take(pa.array(at, mask=at < 0)).to_pylist()
        affinities: list[Affinity | None] = []
        for chosen in values:
            distinct = tuple(sorted(set(chosen or ())))
            shares = np.full(len(distinct), 1 / max(len(distinct), 1), np.float32)
            affinities.append(Affinity(distinct, shares) if distinct else None)
        return affinities

    def profile_attributes(self, items: Sequence[AttributeSpec]) -> tuple[str, ...]:
        """The names that items have too, as categories there and here."""
        of_items = {spec.name for spec in items if spec.kind in _SETS}
        return tuple(spec.name for spec in self.specs if spec.kind in _SETS and spec.name in of_items)

    def save(self, path: Path) -> None:
        columns = {f"attribute.{name}": array for name, array in self.attributes.items()}
        write_table(pa.table({"user_id": self.ids, **columns}), path)

    @classmethod
    def load(cls, path: Path, section: UserTableSection) -> UserTable:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        specs = attribute_specs(section, "user_table")
        attributes = {spec.name: only_chunk(table.column(f"attribute.{spec.name}")) for spec in specs}
        return cls(only_chunk(table.column("user_id")), specs, attributes)

    def _rows_of(self, user_ids: pa.Array) -> NDArray[np.int64]:
        """The row of each user, -1 for one the table does not have."""
        return np.asarray(pc.fill_null(pc.index_in(user_ids, self.ids), -1).to_numpy(zero_copy_only=False), np.int64)


def read_users(path: Path, section: UserTableSection, *, id_length_max: int) -> tuple[UserTable, TableReport]:
    """The users of a Parquet file or folder, and what was dropped: null, empty, oversized and repeated ids, the first counts.

    Raises ConfigError for a missing or mistyped column and for a file without one usable user.
    """
    specs = attribute_specs(section, "user_table")
    columns = [Column(section.id_column, "user_table.id_column", "string or integer"), *attribute_columns(specs, "user_table")]
    tally = Tally(path.name)
    whole, _ = read_id_rows(path, columns, tally, thing="user", id_length_max=id_length_max)
    ids = whole[section.id_column]
    order = np.argsort(np.array(ids.to_pylist(), dtype=object), kind="stable")
    ordered = ids.take(pa.array(order))
    again = np.zeros(len(order), bool)
    again[1:] = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    tally.drop("repeated id", again, ordered)
    kept = pa.array(order[~again])
    kept_ids = ids.take(kept)
    attributes = {spec.name: cleaned(whole[spec.name].take(kept), kept_ids, spec, tally) for spec in specs}
    return UserTable(kept_ids, specs, attributes), tally.report()


def _features(spec: AttributeSpec, known: pa.Array, wanted: pa.Array) -> dict[str, NDArray[np.floating]]:
    """The features of one attribute, by name. known: of the whole table, for its median and its most frequent values."""
    if spec.kind == "number":
        present = known.drop_null()
        typical = pc.quantile(present, 0.5)[0].as_py() if len(present) else 0.0
        return {spec.name: pc.fill_null(wanted, typical).to_numpy(zero_copy_only=False)}
    if spec.kind == "boolean":
        return {spec.name: pc.fill_null(wanted.cast(pa.float32()), -1).to_numpy(zero_copy_only=False)}
    sets = _as_sets(wanted)
    rows = pc.list_parent_indices(sets).to_numpy(zero_copy_only=False)
    members = pc.list_flatten(sets)
    columns: dict[str, NDArray[np.floating]] = {}
    for value in _frequent(pc.list_flatten(_as_sets(known))):
        has = np.zeros(len(wanted))
        has[rows[pc.equal(members, value).to_numpy(zero_copy_only=False)]] = 1
        columns[f"{spec.name}={value}"] = has
    return columns


def _frequent(values: pa.Array) -> list[str]:
    """The most frequent values, of equal frequency the smaller name first."""
    counts = [(one["counts"], one["values"]) for one in pc.value_counts(values).to_pylist()]
    return [value for _, value in sorted(counts, key=lambda c: (-c[0], c[1]))[:_VALUES_MAX]]


def _as_sets(values: pa.Array) -> pa.Array:
    """A category as a set of one value, or of none where it is null."""
    if pa.types.is_list(values.type):
        return values
    lengths = values.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.drop_null())
