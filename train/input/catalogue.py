"""The catalogue as the build sees it: every item once, by ascending key, with its attributes, and, where the file has them, the
moment it came into the catalogue and a content vector.

It does not know who bought what. Values are taken as they are; values that cannot be used are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.config.sections import CatalogSection
from cluster.errors import ConfigError
from cluster.partition import item_keys
from cluster.sorted_keys import positions_in
from cluster.spec import AttributeSpec
from shard.arrow_file import only_chunk, write_table
from train.input.attribute_columns import attribute_columns, attribute_specs, cleaned
from train.input.content_vectors import content_vectors
from train.input.id_rows import read_id_rows
from train.input.parquet import Column
from train.input.payload import read_payload, shown_names
from train.input.report import TableReport, Tally

NO_TIME = -(2**63)


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """n items. keys: (n,) int64, ascending, unique.  ids: (n,) string or int64.  attributes: name -> (n,) Arrow array of
    string, list<string>, float64 or bool; null where an item lacks the value.  created: (n,) int64 Unix seconds, NO_TIME where
    an item lacks it.  content: (n, dim) float32, finite, a row of zeros for an item without a vector. Either is None where the
    file has no such column.  payload: n rows of what is shown of each item, None if nothing is.
    """

    keys: NDArray[np.int64]
    ids: pa.Array
    specs: tuple[AttributeSpec, ...]
    attributes: dict[str, pa.Array]
    created: NDArray[np.int64] | None = None
    content: NDArray[np.float32] | None = None
    payload: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def rows_of(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """The row of each key, -1 where the catalogue does not have it: (m,) int32."""
        at, is_there = positions_in(self.keys, keys)
        return np.where(is_there, at, -1).astype(np.int32)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A numeric attribute, (n,), NaN where missing."""
        return np.asarray(pc.fill_null(self.attributes[name], np.nan).to_numpy(zero_copy_only=False), np.float64)

    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """A category attribute as (n,) int32 positions in its sorted distinct values, -1 where missing, and those values."""
        return _codes(self.attributes[name])

    def members(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int32], list[str]]:
        """A category or set attribute as pairs: rows and positions in the sorted distinct values, aligned, and the values."""
        values = self.attributes[name]
        if pa.types.is_list(values.type):
            rows = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
            codes, names = _codes(pc.list_flatten(values))
        else:
            rows = np.arange(len(values))
            codes, names = _codes(values)
        present = codes >= 0
        return rows[present], codes[present], names

    def save(self, path: Path) -> None:
        columns = {"item_id": self.ids, **{f"attribute.{name}": array for name, array in self.attributes.items()}}
        if self.created is not None:
            columns["created"] = pa.array(self.created)
        if self.content is not None:
            columns["content"] = pa.FixedSizeListArray.from_arrays(pa.array(self.content.ravel()), self.content.shape[1])
        if self.payload is not None:
            columns |= {f"payload.{name}": self.payload[name] for name in self.payload.column_names}
        write_table(pa.table(columns), path)

    @classmethod
    def load(cls, path: Path, section: CatalogSection) -> Catalogue:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        ids = only_chunk(table.column("item_id"))
        specs = attribute_specs(section)
        attributes = {spec.name: only_chunk(table.column(f"attribute.{spec.name}")) for spec in specs}
        created = only_chunk(table.column("created")).to_numpy() if "created" in table.column_names else None
        content = only_chunk(table.column("content")).flatten().to_numpy() if "content" in table.column_names else None
        shown = {name: table.column(f"payload.{name}") for name in shown_names(section)}
        payload = pa.table(shown) if shown else None
        keys = item_keys(ids.to_pylist())
        return cls(keys, ids, specs, attributes, created, None if content is None else content.reshape(len(ids), -1), payload)


def _codes(values: pa.Array) -> tuple[NDArray[np.int32], list[str]]:
    encoded = values.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = np.argsort(np.array(names, dtype=object)) if names else np.empty(0, np.int64)
    position = np.empty(len(names) + 1, np.int32)
    position[order] = np.arange(len(names), dtype=np.int32)
    position[-1] = -1  # what a null's index, -1, points at
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return position[indices], [names[i] for i in order]


def read_catalogue(path: Path, section: CatalogSection, *, id_length_max: int) -> tuple[Catalogue, TableReport]:
    """The catalogue in a Parquet file or folder, and what was dropped: null, empty, oversized and repeated ids.

    Raises ConfigError for a missing or mistyped column, an empty result, vectors of unequal length, and two ids with the same
    64-bit key.
    """
    specs = attribute_specs(section)
    columns = [Column(section.id_column, "catalog.id_column", section.id_type), *attribute_columns(specs, "catalog")]
    if section.created_column:
        columns.append(Column(section.created_column, "catalog.created_column", "time"))
    if section.vector_column:
        columns.append(Column(section.vector_column, "catalog.vector_column", "vector"))
    tally = Tally(path.name)
    whole, usable = read_id_rows(path, columns, tally, thing="item", id_length_max=id_length_max)
    ids = whole[section.id_column]
    keys = item_keys(ids.to_pylist())
    order = np.argsort(keys, kind="stable")  # of repeated ids, the first in the file comes first
    again = np.zeros(len(order), bool)
    again[1:] = keys[order][1:] == keys[order][:-1]
    _refuse_collisions(path, ids, order, again)
    tally.drop("repeated id", again, ids.take(pa.array(order)))
    kept = pa.array(order[~again])
    kept_ids = ids.take(kept)
    attributes = {spec.name: cleaned(whole[spec.name].take(kept), kept_ids, spec, tally) for spec in specs}
    created, content = None, None
    if section.created_column:
        created = _created(whole[section.created_column].take(kept), kept_ids, section.created_column, tally)
    if section.vector_column:
        content = content_vectors(whole[section.vector_column].take(kept), kept_ids, path, section.vector_column, tally)
    payload = read_payload(path, section, usable, kept=kept, ids=kept_ids, tally=tally)
    return Catalogue(keys[order[~again]], kept_ids, specs, attributes, created, content, payload), tally.report()


def _refuse_collisions(path: Path, ids: pa.Array, order: NDArray[np.int64], again: NDArray[np.bool_]) -> None:
    for at in np.flatnonzero(again):
        first, second = ids[int(order[at - 1])].as_py(), ids[int(order[at])].as_py()
        if first != second:
            raise ConfigError(f"{path}: items {first!r} and {second!r} have the same 64-bit key; give one of them another id")


def _created(values: pa.Array, ids: pa.Array, name: str, tally: Tally) -> NDArray[np.int64]:
    tally.note(f"{name} null", pc.is_null(values).to_numpy(zero_copy_only=False), ids)
    return np.asarray(pc.fill_null(values, NO_TIME).to_numpy(zero_copy_only=False), np.int64)
