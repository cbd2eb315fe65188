"""Named lists of items that people made, in their order. A request names the lists that it wants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.config.sections import PlaylistsSection
from cluster.config.sources import PLAYLIST
from cluster.errors import ConfigError
from cluster.partition import item_keys
from shard.arrow_file import only_chunk, write_table
from train.input.catalogue import Catalogue
from train.input.parquet import Column, ParquetTable
from train.input.report import TableReport, Tally
from train.lists.tops import TopList


@dataclass(frozen=True, slots=True, eq=False)
class Playlists:
    """The items of the p-th name are rows[starts[p] : starts[p + 1]], best first, each once.

    names: ascending.  starts: (P + 1,) int64.  rows: (e,) int32 rows of the catalogue.
    """

    names: tuple[str, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    def top_lists(self) -> list[TopList]:
        """Lists `playlist/<name>`; the r-th item, from 1, scores 1 / r, so that no list outranks another by its length."""
        lists = []
        for at, name in enumerate(self.names):
            rows = self.rows[self.starts[at] : self.starts[at + 1]]
            by_row = np.argsort(rows)
            scores = (1 / (1 + np.arange(len(rows)))).astype(np.float32)
            lists.append(TopList(f"{PLAYLIST}/{name}", rows[by_row], scores[by_row]))
        return lists

    def save(self, path: Path) -> None:
        lists = pa.ListArray.from_arrays(pa.array(self.starts.astype(np.int32)), pa.array(self.rows))
        write_table(pa.table({"name": pa.array(self.names, pa.string()), "rows": lists}), path)

    @classmethod
    def load(cls, path: Path) -> Playlists:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        lists = only_chunk(table.column("rows"))
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return cls(tuple(table.column("name").to_pylist()), starts, lists.flatten().to_numpy(zero_copy_only=False))


def read_playlists(path: Path, section: PlaylistsSection, catalogue: Catalogue) -> tuple[Playlists, TableReport]:
    """The playlists of a Parquet file or folder, and what was dropped: nulls, unknown items, and repeats within a list.

    Of a repeated item the best position counts; of equal positions, the smaller row stands first. Raises ConfigError for a
    missing or mistyped column and for a file without one usable row.
    """
    item_kind = Column(
        section.item_column, "playlists.item_column", "int64" if pa.types.is_integer(catalogue.ids.type) else "string"
    )
    name_kind = Column(section.name_column, "playlists.name_column", "string")
    position_kind = Column(section.position_column, "playlists.position_column", "number")
    batches = list(ParquetTable(path, [name_kind, item_kind, position_kind]).batches())
    names, items, positions = (
        pa.concat_arrays([batch[column.name] for batch in batches]) if batches else pa.array([], pa.string())
        for column in (name_kind, item_kind, position_kind)
    )
    tally = Tally(path.name)
    tally.n_rows = len(names)
    usable = np.ones(len(names), bool)

    def drop(reason: str, bad: NDArray[np.bool_], values: pa.Array) -> None:
        tally.drop(reason, bad & usable, values)
        np.logical_and(usable, ~bad, out=usable)

    drop("null name", _is_null(names), names)
    drop("empty name", ~_is_null(names) & pc.fill_null(pc.equal(names, ""), False).to_numpy(zero_copy_only=False), names)
    drop("null item", _is_null(items), items)
    place = pc.fill_null(positions, np.nan).to_numpy(zero_copy_only=False)
    drop("position null or not finite", ~np.isfinite(place), items)
    keys = np.zeros(len(items), np.int64)
    keys[usable] = item_keys(items.filter(pa.array(usable)).to_pylist())
    rows = catalogue.rows_of(keys)
    drop("item not in the catalogue", rows < 0, items)
    if not usable.any():
        raise ConfigError(f"{path}: no usable row among {tally.n_rows}: {tally.dropped}")

    kept = np.flatnonzero(usable)
    encoded = names.take(pa.array(kept)).dictionary_encode()
    values = np.array(encoded.dictionary.to_pylist(), dtype=object)
    ascending = np.argsort(values)
    code = np.argsort(ascending)[encoded.indices.to_numpy()]
    kept, code = _first_of_each(kept, code, rows, place)
    tally.drop("repeated in its playlist", _others(usable, kept), items)
    order = np.lexsort((rows[kept], place[kept], code))
    starts = np.searchsorted(code[order], np.arange(len(values) + 1)).astype(np.int64)
    return Playlists(tuple(values[ascending]), starts, rows[kept][order]), tally.report()


def _first_of_each(
    kept: NDArray[np.intp], code: NDArray[np.intp], rows: NDArray[np.int32], place: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of the rows of a list with the same item, the one with the best position."""
    order = np.lexsort((place[kept], rows[kept], code))
    kept, code = kept[order], code[order]
    first = np.ones(len(kept), bool)
    first[1:] = (code[1:] != code[:-1]) | (rows[kept][1:] != rows[kept][:-1])
    return kept[first], code[first]


def _others(usable: NDArray[np.bool_], kept: NDArray[np.intp]) -> NDArray[np.bool_]:
    others = usable.copy()
    others[kept] = False
    return others


def _is_null(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), bool)
