"""A shard's items in memory, as arrays: a build creates them, a snapshot stores them, `Shard` answers from them.

Rows ascend by item key, so row order is key order and finding a key is a binary search. It holds no decisions: filters,
sources and spaces are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.partition import shard_of
from cluster.types import Floats, Keys, Rows
from shard.filter.attributes import Column
from shard.spaces.hnsw import Graph
from shard.spaces.planner import Calibration
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable


@dataclass(frozen=True, slots=True, eq=False)
class ShardColumns:
    """n items, those of one shard or, before the partition, all.

    keys: (n,) int64, strictly ascending.  item_ids: (n,) Arrow strings, or None where the keys are the ids.
    attributes: name -> column of n.  stats: name -> (n,) float32, finite.  payload: Arrow table of n rows, shown with an
    item, its floats finite or null.  lists: over rows 0..n-1.  vectors: space -> (n, dim) float32, finite.
    graphs, calibrations: by space, where one was built (over exactly these rows).  tables: item tables by name, over the same
    rows.  quorum: likewise, None without one.
    """

    keys: Keys
    item_ids: pa.Array | None
    lists: RankedLists
    attributes: Mapping[str, Column] = field(default_factory=dict)
    stats: Mapping[str, Floats] = field(default_factory=dict)
    payload: pa.Table | None = None
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    tables: Mapping[str, ItemTable] = field(default_factory=dict)
    quorum: QuorumTable | None = None

    def __post_init__(self) -> None:
        n = len(self.keys)
        assert self.keys.dtype == np.int64 and self.keys.ndim == 1, f"keys must be 1-d int64, got {self.keys.dtype}"
        assert n < 2 or bool((self.keys[1:] > self.keys[:-1]).all()), "keys must be strictly ascending"
        assert self.item_ids is None or len(self.item_ids) == n, f"item ids are not {n}"
        assert self.payload is None or self.payload.num_rows == n, f"payload rows are not {n}"
        for name, column in self.attributes.items():
            assert len(column) == n, f"attribute {name} has {len(column)} rows, expected {n}"
        for name, stat in self.stats.items():
            assert stat.dtype == np.float32 and stat.shape == (n,), f"stat {name} must be ({n},) float32, got {stat.shape}"
        for name, matrix in self.vectors.items():
            assert matrix.dtype == np.float32 and matrix.ndim == 2, f"vectors of {name} must be 2-d float32"
            assert len(matrix) == n, f"space {name} has {len(matrix)} vectors, expected {n}"
        for name, graph in self.graphs.items():
            n_placed = len(graph.geometry.places(self.vectors[name]))
            assert graph.n_points in (n_placed, n), f"graph {name} has {graph.n_points} points, expected {n_placed}"

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> ShardColumns:
        """Some of the rows, ascending, as columns of their own. Graphs and calibrations belong to all rows: none are taken."""
        return ShardColumns(
            keys=self.keys[rows],
            item_ids=None if self.item_ids is None else self.item_ids.take(pa.array(rows)),
            lists=self.lists.take(rows, len(self)),
            attributes={name: column.take(rows) for name, column in self.attributes.items()},
            stats={name: stat[rows] for name, stat in self.stats.items()},
            payload=None if self.payload is None else self.payload.take(pa.array(rows)),
            vectors={name: matrix[rows] for name, matrix in self.vectors.items()},
            tables={name: table.take(rows, len(self)) for name, table in self.tables.items()},
            quorum=None if self.quorum is None else self.quorum.take(rows, len(self)),
        )


def partition(columns: ShardColumns, n_shards: int) -> list[ShardColumns]:
    """All items divided into the columns of each shard, by `cluster.partition.shard_of`. Some may be empty."""
    owner = shard_of(columns.keys, n_shards)
    return [columns.take(np.flatnonzero(owner == shard).astype(np.int32)) for shard in range(n_shards)]
