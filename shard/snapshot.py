"""A shard's columns as files of a generation, and back. Format 2, which `cluster.generation.FORMAT` names.

    items.arrow            key, id (string ids only), attribute.<name>, stat.<name>, payload.<name>: one row an item
    vectors-<space>.arrow  vector, a fixed-size list of float32: one row an item
    graph-<space>.hnsw     the space's graph, where one was built
    lists.arrow            name, rows, scores: one row a list, best first
    table-<name>.arrow     seed, rows, weights: one row a seed item
    quorum.arrow           name, rows, scores: one row a category, best first; where there is a quorum

All of a shard's files are verified before a library sees the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.errors import GenerationCorrupt, InternalError, SchemaMismatch
from cluster.generation import Generation, VerifiedFile
from cluster.order import require_finite
from cluster.spec import GenerationSpec, SpaceSpec
from cluster.types import Floats
from shard.arrow_file import only_chunk, read_table, write_table
from shard.columns import ShardColumns
from shard.filter.attributes import column_from_arrow, column_to_arrow
from shard.spaces.hnsw import Geometry, Graph, longest
from shard.spaces.planner import Calibration
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable

ITEMS, LISTS, QUORUM = "items.arrow", "lists.arrow", "quorum.arrow"


class ShardEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the manifest keeps of one shard. calibrations: by space."""

    n_items: int
    calibrations: dict[str, Calibration]


def shard_folder(shard: int) -> str:
    """The folder of a shard's files in its generation.

    >>> shard_folder(3)
    'shard-0003'
    """
    return f"shard-{shard:04d}"


def write_snapshot(columns: ShardColumns, directory: Path) -> dict[str, Any]:
    """Write a shard's files into a folder, made if need be, and give its entry for the manifest.

    Raises InternalError for numbers that are not finite, SchemaMismatch for a payload type that cannot be stored.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_table(_items_table(columns), directory / ITEMS)
    write_table(_lists_table(columns.lists), directory / LISTS)
    for space, matrix in columns.vectors.items():
        require_finite(matrix, f"vectors of {space}")
        flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
        rows = pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
        write_table(pa.table({"vector": rows}), directory / f"vectors-{space}.arrow")
    for name, table in columns.tables.items():
        write_table(_item_table_table(table), directory / f"table-{name}.arrow")
    if columns.quorum is not None:
        write_table(_lists_table(columns.quorum.by_value), directory / QUORUM)
    for space, graph in columns.graphs.items():
        graph.save(directory / f"graph-{space}.hnsw")
    entry: dict[str, Any] = msgspec.to_builtins(ShardEntry(len(columns), dict(columns.calibrations)))
    return entry


def read_snapshot(generation: Generation, shard: int) -> ShardColumns:
    """A shard's columns, mapped from verified files.

    Raises GenerationCorrupt if a file is not what was published, SchemaMismatch if the files do not fit the spec.
    """
    spec = generation.spec
    try:
        entry = msgspec.convert(generation.manifest.shards[shard], ShardEntry)
    except (IndexError, msgspec.ValidationError) as error:
        raise GenerationCorrupt(f"generation {spec.id} has no usable entry of shard {shard}: {error}") from None
    prefix = f"{shard_folder(shard)}/"
    with ExitStack() as stack:
        files = {
            name.removeprefix(prefix): stack.enter_context(generation.verified(name))
            for name in generation.manifest.files
            if name.startswith(prefix)
        }
        return _columns(files, spec, shard, entry)


def _columns(files: Mapping[str, VerifiedFile], spec: GenerationSpec, shard: int, entry: ShardEntry) -> ShardColumns:
    needed = {ITEMS, LISTS, *(f"vectors-{space.name}.arrow" for space in spec.spaces)}
    needed |= {f"table-{name}.arrow" for name in spec.tables} | ({QUORUM} if spec.quorum else set())
    if not needed <= files.keys():
        raise SchemaMismatch(f"shard {shard} of generation {spec.id} has no {', '.join(sorted(needed - files.keys()))}")
    items = read_table(files[ITEMS])
    if items.num_rows != spec.shard_items[shard] or items.num_rows != entry.n_items:
        raise SchemaMismatch(f"shard {shard} holds {items.num_rows} items, the spec says {spec.shard_items[shard]}")
    vectors = {space.name: _vectors(files[f"vectors-{space.name}.arrow"], space, items.num_rows) for space in spec.spaces}
    graphs = {
        space.name: _graph(files[f"graph-{space.name}.hnsw"], space, vectors[space.name])
        for space in spec.spaces
        if f"graph-{space.name}.hnsw" in files
    }
    payload = _with_prefix(items, "payload.")
    try:
        return ShardColumns(
            keys=_numpy(items, "key"),
            item_ids=only_chunk(items["id"]) if spec.id_type == "string" else None,
            lists=_lists(read_table(files[LISTS])),
            attributes={a.name: column_from_arrow(a.kind, only_chunk(items[f"attribute.{a.name}"])) for a in spec.attributes},
            stats={name: _numpy(items, f"stat.{name}") for name in _with_prefix(items, "stat.")},
            payload=pa.table(payload) if payload else None,
            vectors=vectors,
            graphs=graphs,
            calibrations=entry.calibrations,
            tables={name: _item_table(read_table(files[f"table-{name}.arrow"])) for name in spec.tables},
            quorum=QuorumTable(_lists(read_table(files[QUORUM]))) if spec.quorum else None,
        )
    except KeyError as error:
        raise SchemaMismatch(f"shard {shard} of generation {spec.id}: no column {error}") from None


def _items_table(columns: ShardColumns) -> pa.Table:
    arrays: dict[str, pa.Array] = {"key": pa.array(columns.keys)}
    if columns.item_ids is not None:
        arrays["id"] = columns.item_ids
    for name, column in columns.attributes.items():
        arrays[f"attribute.{name}"] = column_to_arrow(column)
    for name, stat in columns.stats.items():
        arrays[f"stat.{name}"] = pa.array(require_finite(stat, f"stat {name}"))
    if columns.payload is not None:
        for name, array in zip(columns.payload.column_names, columns.payload.columns, strict=True):
            if pa.types.is_floating(array.type) and not pc.all(pc.is_finite(array), min_count=0).as_py():
                raise InternalError(f"payload {name}: JSON cannot represent a number that is not finite")
            arrays[f"payload.{name}"] = array
    return pa.table(arrays)


def _lists_table(lists: RankedLists) -> pa.Table:
    names = pa.array(lists.names, pa.string())
    return pa.table({"name": names, **_as_lists(lists.indptr, rows=lists.rows, scores=lists.scores)})


def _lists(table: pa.Table) -> RankedLists:
    return RankedLists(tuple(table["name"].to_pylist()), *_from_lists(table, "rows", "scores"))


def _item_table_table(table: ItemTable) -> pa.Table:
    seeds = pa.array(table.seed_keys)
    return pa.table({"seed": seeds, **_as_lists(table.starts, rows=table.rows, weights=table.weights)})


def _item_table(table: pa.Table) -> ItemTable:
    return ItemTable(_numpy(table, "seed"), *_from_lists(table, "rows", "weights"))


def _as_lists(indptr: NDArray[np.int64], **columns: NDArray[Any]) -> dict[str, pa.Array]:
    """Columns of lists with the same bounds."""
    offsets = pa.array(indptr)
    return {name: pa.LargeListArray.from_arrays(offsets, pa.array(values)) for name, values in columns.items()}


def _from_lists(table: pa.Table, *names: str) -> tuple[NDArray[Any], ...]:
    """The bounds that some columns of lists have in common, (n + 1,) int64, and the values of each column."""
    columns = [only_chunk(table[name]) for name in names]
    indptr = columns[0].offsets.to_numpy() if len(columns[0]) else np.zeros(1, np.int64)
    return (indptr, *(column.flatten().to_numpy() for column in columns))


def _vectors(file: VerifiedFile, space: SpaceSpec, n_rows: int) -> Floats:
    table = read_table(file)
    expected = pa.list_(pa.float32(), space.dim)
    if table.schema.names != ["vector"] or not table.schema.field("vector").type.equals(expected) or table.num_rows != n_rows:
        raise SchemaMismatch(f"{file.name} is not {n_rows} vectors of {space.dim} float32")
    matrix: Floats = only_chunk(table["vector"]).flatten().to_numpy().reshape(n_rows, space.dim)
    return matrix


def _graph(file: VerifiedFile, space: SpaceSpec, vectors: Floats) -> Graph:
    """Older builds gave zeros a point, too."""
    geometry = Geometry(space.dim, space.metric, longest(vectors))
    whole = Graph.n_points_in(file.path) == len(vectors)
    return Graph.load(file.path, geometry, n_points=len(vectors) if whole else len(geometry.places(vectors)))


def _numpy(table: pa.Table, column: str) -> NDArray[Any]:
    array: NDArray[Any] = only_chunk(table[column]).to_numpy()
    return array


def _with_prefix(table: pa.Table, prefix: str) -> dict[str, pa.ChunkedArray]:
    return {name.removeprefix(prefix): table[name] for name in table.column_names if name.startswith(prefix)}
