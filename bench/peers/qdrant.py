"""Qdrant's engine in this process (qdrant-edge): payload index, filterable graph, with and without int8 vectors.

The masks are values of one indexed integer payload, known before the graph is built, so that Qdrant adds the links that
keep each value's points connected. Its own planner chooses between graph and full scan.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import qdrant_edge as qdrant

from bench.peers.filtered import EVERY, Bits, Setting
from bench.tools.vectors import VectorSet
from cluster.types import Floats

_EF = (100, 150, 200, 300, 400, 600, 800, 1200, 1600)
_OVERSAMPLING = (None, 1.3, 2.0)  # None: without the int8 vectors
_UPSERT = 5000


class Qdrant:
    """M and ef_construct as everyone's; int8 vectors kept in memory, used where that is faster at the recall target."""

    name = "qdrant-edge"

    def __init__(self, vectors: VectorSet, masks: Mapping[str, Bits], folder: Path, *, M: int, ef_construction: int) -> None:
        self._values = {name: value for value, name in enumerate(masks)}
        if not folder.exists():
            aside = folder.with_suffix(".building")
            shutil.rmtree(aside, ignore_errors=True)
            _build(vectors, masks, self._values, aside, M=M, ef_construction=ef_construction)
            aside.rename(folder)
        self._shard = qdrant.EdgeShard.load(str(folder))

    def families(self, mask: str, k: int) -> Iterator[Iterator[Setting]]:
        """Without int8 vectors, and with them at several oversamplings; ascending ef in each."""
        for oversampling in _OVERSAMPLING:
            label = "" if oversampling is None else f"int8 ×{oversampling}, "
            yield (Setting(f"{label}ef {ef}", self._search(mask, k, ef, oversampling)) for ef in _EF)

    def _search(self, mask: str, k: int, ef: int, oversampling: float | None):  # type: ignore[no-untyped-def]
        shard = self._shard
        condition = None if mask == EVERY else _condition(self._values[mask])
        quantized = qdrant.QuantizationSearchParams(ignore=oversampling is None, rescore=True, oversampling=oversampling)
        parameters = qdrant.SearchParams(hnsw_ef=ef, quantization=quantized)

        def search(query: Floats) -> list[int]:
            nearest = qdrant.Query.Nearest(query.tolist())
            found = shard.query(qdrant.QueryRequest(limit=k, query=nearest, filter=condition, params=parameters))
            return [point.id for point in found]

        return search


def _condition(value: int) -> qdrant.Filter:
    return qdrant.Filter(must=[qdrant.FieldCondition("passes", qdrant.MatchValue(value))])


def _build(
    vectors: VectorSet, masks: Mapping[str, Bits], values: Mapping[str, int], folder: Path, *, M: int, ef_construction: int
) -> None:
    items = vectors.items
    distance = qdrant.Distance.Dot if vectors.metric == "ip" else qdrant.Distance.Cosine
    folder.mkdir(parents=True)
    shard = qdrant.EdgeShard.create(
        str(folder),
        qdrant.EdgeConfig(
            vectors=qdrant.EdgeVectorParams(size=items.shape[1], distance=distance),
            hnsw_config=qdrant.HnswIndexConfig(m=M, ef_construct=ef_construction, full_scan_threshold=10_000),
            quantization_config=qdrant.ScalarQuantizationConfig(type=qdrant.ScalarType.Int8, quantile=0.9999, always_ram=True),
            optimizers=qdrant.EdgeOptimizersConfig(
                default_segment_number=1, indexing_threshold=1000, max_segment_size=10_000_000
            ),
            max_search_threads=1,
        ),
    )
    shard.update(qdrant.UpdateOperation.create_field_index("passes", qdrant.IntegerIndexParams(lookup=True, range=False)))
    names = np.array([values[name] for name in masks])
    passing = np.stack(list(masks.values()), axis=1)
    for start in range(0, len(items), _UPSERT):
        points = [
            qdrant.Point(row, items[row].tolist(), {"passes": names[passing[row]].tolist()})
            for row in range(start, min(start + _UPSERT, len(items)))
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))
    while shard.optimize():
        pass
    shard.flush()
    shard.close()
