"""Vectors that look like a catalogue's, small enough to build a graph in a second."""

from __future__ import annotations

import numpy as np

from cluster.spec import Metric
from cluster.types import Floats
from shard.spaces.calibration import calibrate
from shard.spaces.hnsw import Graph, build_graph
from shard.spaces.planner import Calibration, Costs
from shard.spaces.space import Space

N, DIM, K = 4000, 24, 50
METRICS: tuple[Metric, ...] = ("ip", "cosine", "l2")

# Costs under which the planner has no choice.
ALWAYS_WALK = Costs(fixed_us=1e9, row_us=1e6, listed_us=1e6, crowded_us=1e6, walk_us=0, walk_ef_us=0)
ALWAYS_SCAN_LISTED = Costs(fixed_us=0, row_us=1e6, listed_us=0, crowded_us=0, walk_us=1e15, walk_ef_us=0)
ALWAYS_SCAN_ALL = Costs(fixed_us=0, row_us=0, listed_us=1e6, crowded_us=1e6, walk_us=1e15, walk_ef_us=0)


def items_and_users(seed: int = 0, n: int = N) -> tuple[Floats, Floats]:
    """Clusters with popular and unpopular items (norms differ), and 400 users of the same tastes."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, DIM)).astype(np.float32)
    items = centres[rng.integers(0, 60, n)] + 0.6 * rng.standard_normal((n, DIM)).astype(np.float32)
    items *= rng.lognormal(0, 0.1, (n, 1)).astype(np.float32)
    users = centres[rng.integers(0, 60, 400)] + 0.6 * rng.standard_normal((400, DIM)).astype(np.float32)
    return items.astype(np.float32), users.astype(np.float32)


def space_of(
    vectors: Floats,
    metric: Metric,
    *,
    graph: Graph | None = None,
    calibration: Calibration | None = None,
    costs: Costs | None = None,
) -> Space:
    """A space whose keys are its rows."""
    keys = np.arange(len(vectors), dtype=np.int64)
    return Space.from_arrays(vectors, keys=keys, metric=metric, graph=graph, calibration=calibration, costs=costs)


def built(metric: Metric) -> tuple[Floats, Floats, Graph, Calibration]:
    """Items, users, a graph over the items as their space holds them, its calibration on the first quarter of the users."""
    items, users = items_and_users()
    graph = build_graph(space_of(items, metric).vectors, metric, M=16, ef_construction=150)
    return items, users, graph, calibrate(space_of(items, metric, graph=graph), users[:100], 0.99, scans_max=30)
