"""Which ef_search reaches the recall target, measured at build on real queries and kept with the graph.

An over-fetch asks the graph for many rows, so ef is a function of depth. The table says for a grid of depths the
smallest ef whose mean recall, less three standard errors, is at the target. It ends where no ef on the grid gets there,
or where walking takes several times as long as scanning every row: no machine would choose to. How long a walk takes where
it is served is another question, answered there (`shard/spaces/costs.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from cluster.types import NO_ROWS, Floats, Rows
from shard.spaces.hnsw import Graph
from shard.spaces.planner import Calibration, Depth
from shard.spaces.space import Space

_DEPTHS = (10, 20, 50, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
_ALWAYS = 100  # depths up to here are measured however slow: they tell how good the graph is
_STRETCH = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)
_EF_MAX = 8000
_DEVIATIONS = 3  # standard errors of the sample's mean to stay above the target


def calibrate(space: Space, sample_queries: Floats, recall_target: float, *, scans_max: float = 4) -> Calibration:
    """Measure the table on (q, dim) float32 sample queries, such as users' vectors: about q × 30 ms at 100,000 rows.

    The sample decides, so it should look like the traffic: item vectors as queries promise too much. A query without a
    direction is answered by a scan, so it says nothing of the graph. scans_max: how many
    times as long as a scan of all rows a walk may take to be worth measuring.
    """
    graph = space.graph
    assert graph is not None, "a space without a graph has nothing to calibrate"
    queries = [query for query in map(space.scanner.prepared, sample_queries) if graph.geometry.has_direction(query)]
    depths = [depth for depth in _DEPTHS if depth <= space.n_rows]
    if not queries or not depths:
        return Calibration(recall_target, len(queries), ())
    truths = [space.scanner.best_of_all(query, NO_ROWS, depths[-1])[0] for query in queries]
    start = time.perf_counter()
    for query in queries:
        space.scanner.best_of_all(query, NO_ROWS, _ALWAYS)
    scan_s = (time.perf_counter() - start) / len(queries)
    entries: list[Depth] = []
    for depth in depths:
        start_ef = max(depth, entries[-1].ef) if entries else depth
        budget_s = float("inf") if depth <= _ALWAYS else scans_max * scan_s
        found = _smallest_ef(graph, queries, [truth[:depth] for truth in truths], recall_target, start_ef, budget_s)
        if found is None:
            break
        entries.append(found)
    return Calibration(recall_target, len(queries), tuple(entries))


def _smallest_ef(
    graph: Graph, queries: Sequence[Floats], truths: Sequence[Rows], recall_target: float, start_ef: int, budget_s: float
) -> Depth | None:
    depth = len(truths[0])
    for ef in sorted({max(round(depth * stretch), start_ef) for stretch in _STRETCH}):
        start = time.perf_counter()
        found = [graph.nearest(query, depth, ef=ef) for query in queries]
        took_s = (time.perf_counter() - start) / len(queries)
        if ef > _EF_MAX or took_s > budget_s:
            return None
        recalls = np.array([len(np.intersect1d(f.astype(np.int32), t)) for f, t in zip(found, truths, strict=True)]) / depth
        if recalls.mean() - _DEVIATIONS * recalls.std() / np.sqrt(len(recalls)) >= recall_target:
            return Depth(depth, ef, float(recalls.mean()))
    return None
