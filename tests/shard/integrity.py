"""Do a shard's columns agree with each other and with the generation's spec? Every index, every order, every key.

A shard that is loaded relies on hashes instead, and does not pay for this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.errors import GenerationCorrupt
from cluster.order import best_first
from cluster.partition import item_keys, shard_of
from shard.filter.attributes import CategoriesColumn, CategoryColumn, Column, NumberColumn
from shard.shard import Shard
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists


def check_integrity(shard: Shard) -> None:
    """Raises GenerationCorrupt with the first disagreement."""
    columns, spec = shard.columns, shard.spec
    n = len(columns)
    _require(n == spec.shard_items[shard.shard], f"{n} items, the spec says {spec.shard_items[shard.shard]}")
    _require(bool((shard_of(columns.keys, spec.n_shards) == shard.shard).all()), "an item belongs to another shard")
    _require((columns.item_ids is None) == (spec.id_type == "int64"), f"item ids are not of type {spec.id_type}")
    if columns.item_ids is not None:
        _require(bool((item_keys(columns.item_ids.to_pylist()) == columns.keys).all()), "an item's key is not its id's")
    for attribute in spec.attributes:
        column = columns.attributes.get(attribute.name)
        _require(column is not None and column.kind == attribute.kind, f"{attribute.name} is no {attribute.kind}")
        if column is not None:
            _check_column(column, attribute.name)
    for name, stat in columns.stats.items():
        _require(bool(np.isfinite(stat).all()), f"stat {name} is not finite")
    for space in spec.spaces:
        matrix = columns.vectors.get(space.name)
        _require(matrix is not None and matrix.shape == (n, space.dim), f"space {space.name} is not {n} by {space.dim}")
        _require(matrix is None or bool(np.isfinite(matrix).all()), f"space {space.name} is not finite")
    _require(set(columns.lists.names) == set(spec.lists), "the lists are not those of the spec")
    _check_lists(columns.lists, columns.keys, "list")
    _require(set(columns.tables) == set(spec.tables), "the item tables are not those of the spec")
    for name, table in columns.tables.items():
        _check_table(table, n, f"item table {name}")
    _require((columns.quorum is not None) == bool(spec.quorum), "the quorum is not as the spec says")
    if columns.quorum is not None:
        by_value = columns.quorum.by_value
        _check_lists(by_value, columns.keys, "category")
        _require(bool((by_value.scores > 0).all()), "the quorum holds a weight that is not above 0")


def _check_column(column: Column, name: str) -> None:
    if isinstance(column, CategoryColumn | CategoriesColumn):
        _require(list(column.values) == sorted(set(column.values)), f"the values of {name} are not ascending")
        low, high = int(column.codes.min(initial=0)), int(column.codes.max(initial=-1))
        _require(low >= (-1 if isinstance(column, CategoryColumn) else 0), f"{name} has the code {low}")
        _require(high < len(column.values), f"{name} has the code {high} of {len(column.values)} values")
    if isinstance(column, CategoriesColumn):
        _require(column.indptr[0] == 0 and bool((np.diff(column.indptr) >= 0).all()), f"{name}: indptr does not ascend")
        rows = np.repeat(np.arange(len(column)), np.diff(column.indptr))
        pairs = rows * max(len(column.values), 1) + column.codes
        _require(bool((pairs[1:] > pairs[:-1]).all()), f"{name}: a set's codes do not ascend")
    if isinstance(column, NumberColumn):
        _require(not np.isinf(column.values).any(), f"{name} is infinite somewhere")


def _check_lists(lists: RankedLists, keys: NDArray[np.int64], what: str) -> None:
    _require(len(lists.position) == len(lists), f"a {what} is there twice")
    _require(lists.indptr[0] == 0 and bool((np.diff(lists.indptr) >= 0).all()), f"{what}: indptr does not ascend")
    _require(bool(((lists.rows >= 0) & (lists.rows < len(keys))).all()), f"a {what} holds rows that do not exist")
    _require(bool(np.isfinite(lists.scores).all()), f"a {what}'s scores are not finite")
    for name in lists.names:
        rows, scores = lists.slice(name)
        _require(len(np.unique(rows)) == len(rows), f"{what} {name} holds a row twice")
        _require(bool((best_first(scores, keys[rows]) == np.arange(len(rows))).all()), f"{what} {name} is not best first")


def _check_table(table: ItemTable, n_rows: int, what: str) -> None:
    _require(bool((table.seed_keys[1:] > table.seed_keys[:-1]).all()), f"{what}: seed keys do not ascend")
    _require(table.starts[0] == 0 and bool((np.diff(table.starts) >= 0).all()), f"{what}: starts do not ascend")
    _require(bool(((table.rows >= 0) & (table.rows < n_rows)).all()), f"{what} holds rows that do not exist")
    _require(bool(np.isfinite(table.weights).all()), f"{what} is not finite")
    seeds = np.repeat(np.arange(len(table), dtype=np.int64), np.diff(table.starts))
    pairs = seeds * max(n_rows, 1) + table.rows
    _require(len(np.unique(pairs)) == len(pairs), f"{what}: a list holds a row twice")


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise GenerationCorrupt(f"shard columns: {otherwise}")
