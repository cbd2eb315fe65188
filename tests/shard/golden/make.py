"""The golden snapshot: six items in two shards with everything format 2 can hold. `python -m tests.shard.golden.make N`
wrote `vN/`, once, when format N was new. Never rewrite one: that today's code reads yesterday's bytes is the test.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from cluster.features import match_columns
from cluster.generation import GenerationWriter
from cluster.partition import item_keys
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from shard.columns import ShardColumns, partition
from shard.filter.attributes import column_from_arrow
from shard.snapshot import shard_folder, write_snapshot
from shard.spaces.hnsw import build_graph
from shard.spaces.planner import Calibration, Depth
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable

N_SHARDS = 2
ATTRIBUTES = (
    AttributeSpec("brand", "category"),
    AttributeSpec("stores", "categories"),
    AttributeSpec("price", "number"),
    AttributeSpec("organic", "boolean"),
)
ITEMS: dict[str, dict] = {
    "apple": {"brand": "acme", "stores": ["s1", "s2"], "price": 1.5, "organic": True, "vector": [1, 0, 0], "top": 3},
    "bread": {"brand": "bolt", "stores": ["s2"], "price": 2.0, "organic": False, "vector": [0, 1, 0], "top": 2},
    "crème": {"brand": None, "stores": [], "price": None, "organic": None, "vector": [0, 0, 1], "top": 2},
    "dough": {"brand": "acme", "stores": ["s3"], "price": -1.0, "organic": True, "vector": [1, 1, 0], "top": 0},
    "eggs": {"brand": "bolt", "stores": ["s1", "s3"], "price": 0.0, "organic": False, "vector": [0, 2, 2], "top": 9},
    "figs": {"brand": "acme", "stores": ["s1"], "price": 7.25, "organic": None, "vector": [3, 0, 1], "top": 1},
}
SIMILAR = {"apple": {"figs": 1.0, "dough": 0.5, "bread": -1.0}, "eggs": {"crème": 0.25, "dough": 0.25}}
LIKED = {"acme": {"apple": 0.5, "figs": 0.25, "eggs": 0.125}, "bolt": {"bread": 1.0, "eggs": 1.0}, "crux": {}}
SCHEMA = FeatureSchema(
    match_columns(spaces=["taste"], stats=["top"], profile=["brand", "stores"]),
    ("tops", "ann", "history", "score_all", "similar", "quorum"),
    (),
    (),
)


def columns() -> ShardColumns:
    """All items, by ascending key."""
    keys = item_keys(list(ITEMS))
    ids = [list(ITEMS)[i] for i in np.argsort(keys)]
    keys = np.sort(keys)
    items = [ITEMS[item_id] for item_id in ids]
    types = {"brand": pa.string(), "stores": pa.list_(pa.string()), "price": pa.float64(), "organic": pa.bool_()}
    arrays = {name: pa.array([item[name] for item in items], kind) for name, kind in types.items()}
    top = np.array([item["top"] for item in items], np.float32)
    everything = np.arange(len(items), dtype=np.int32)
    acme = np.array([row for row, item in enumerate(items) if item["brand"] == "acme"], np.int32)
    return ShardColumns(
        keys=keys,
        item_ids=pa.array(ids),
        lists=RankedLists.of(keys, {"purchases/7d": (everything, top), "purchases/7d/brand=acme": (acme, top[acme])}),
        attributes={spec.name: column_from_arrow(spec.kind, arrays[spec.name]) for spec in ATTRIBUTES},
        stats={"top": top},
        payload=pa.table({name: arrays[name] for name in types}),
        vectors={"taste": np.array([item["vector"] for item in items], np.float32)},
        tables={"content": similar(keys, ids)},
        quorum=QuorumTable.of(
            keys, tuple(LIKED), sparse.csr_array([[LIKED[b].get(i, 0) for b in LIKED] for i in ids], dtype="f4")
        ),
    )


def similar(keys: np.ndarray, ids: list[str]) -> ItemTable:
    lists = [SIMILAR.get(item_id, {}) for item_id in ids]
    starts = np.cumsum([0, *(len(targets) for targets in lists)])
    targets = np.array([ids.index(target) for targets in lists for target in targets], np.int32)
    return ItemTable.of(
        keys, starts, targets, np.array([weight for targets in lists for weight in targets.values()], np.float32)
    )


def spec(shard_items: tuple[int, ...]) -> GenerationSpec:
    return GenerationSpec(
        id="golden",
        created="2026-01-01T00:00:00Z",
        id_type="string",
        shard_items=shard_items,
        attributes=ATTRIBUTES,
        spaces=(SpaceSpec("taste", 3, "ip", 0.99),),
        sources=(
            SourceSpec("tops", "tops", exact=True, promises_k=True, lists="purchases"),
            SourceSpec("ann", "ann", exact=False, promises_k=True, space="taste"),
            SourceSpec("history", "seeds", exact=True, promises_k=False, seeds="history"),
            SourceSpec("score_all", "score_all", exact=True, promises_k=True, space="taste", lists="purchases"),
            SourceSpec("similar", "item_lists", exact=True, promises_k=False, seeds="history", table="content"),
            SourceSpec("quorum", "quorum", exact=True, promises_k=False),
        ),
        lists=("purchases/7d", "purchases/7d/brand=acme"),
        profile=("brand", "stores"),
        features=SCHEMA,
        tables=("content",),
        quorum="brand",
        seeds=("favourites",),
    )


def publish(storage: Path) -> Path:
    """Write the generation below a storage folder, and give its path."""
    pieces = [
        replace(
            piece,
            graphs={"taste": build_graph(piece.vectors["taste"], "ip", M=4, ef_construction=16)},
            calibrations={"taste": Calibration(0.99, 1, (Depth(len(piece), 16, 1.0),))},
        )
        for piece in partition(columns(), N_SHARDS)
    ]
    with GenerationWriter(storage, "golden") as writer:
        entries = [write_snapshot(piece, writer.directory / shard_folder(i)) for i, piece in enumerate(pieces)]
        return writer.publish(spec(tuple(len(piece) for piece in pieces)), shards=entries).path


if __name__ == "__main__":
    target = Path(__file__).parent / f"v{int(sys.argv[1])}"
    with tempfile.TemporaryDirectory() as storage:
        shutil.copytree(publish(Path(storage)), target)  # refuses to write over one that exists
