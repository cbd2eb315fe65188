"""Which ef_search reaches the recall target, measured at build on real queries and kept with the graph.

An over-fetch asks the graph for many rows, so ef is a function of depth. The table says for a grid of depths the
smallest ef whose recall, less two standard errors, is at the target; no entry means no ef on the grid does, and the
planner scans. How long a walk takes is another question, answered on the machine that serves (`shard/costs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from cluster.types import Floats, Rows
from shard.hnsw import Graph

_DEPTHS = (10, 20, 50, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
_STRETCH = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_EF_MAX = 8000


class Depth(msgspec.Struct, frozen=True):
    """At `depth` rows the smallest ef that reached the target, and the mean recall it had."""

    depth: int
    ef: int
    recall: float


class Calibration(msgspec.Struct, frozen=True):
    """depths ascend, ef too; a depth that is missing in the grid could not be reached, nor can any deeper one."""

    recall_target: float
    n_queries: int
    depths: tuple[Depth, ...]

    def ef_for(self, depth: int) -> int | None:
        """The ef to fetch `depth` rows with, between the measured depths by interpolation; None beyond them."""
        if not self.depths or depth > self.depths[-1].depth:
            return None
        at = next(i for i, entry in enumerate(self.depths) if entry.depth >= depth)
        upper = self.depths[at]
        if at == 0:
            return upper.ef
        lower = self.depths[at - 1]
        share = (depth - lower.depth) / (upper.depth - lower.depth)
        return max(depth, round(lower.ef + share * (upper.ef - lower.ef)))


class Searchable(Protocol):
    """What calibration needs of a space."""

    @property
    def graph(self) -> Graph | None: ...

    @property
    def n_rows(self) -> int: ...

    def prepared(self, vector: Floats) -> Floats:
        """The query as the graph takes it."""

    def nearest_exactly(self, query: Floats, depth: int) -> Rows:
        """The true `depth` best rows of a prepared query, best first."""


def calibrate(space: Searchable, sample_queries: Floats, recall_target: float) -> Calibration:
    """Measure the table on (q, dim) float32 sample queries, such as users' vectors. Takes about q × 50 ms at 100k rows.

    The sample decides, so it should look like the traffic: item vectors as queries promise too much.
    """
    graph = space.graph
    assert graph is not None, "a space without a graph has nothing to calibrate"
    queries = [query for query in map(space.prepared, sample_queries) if query.any()]
    if not queries:
        return Calibration(recall_target, 0, ())
    depths = [depth for depth in _DEPTHS if depth <= space.n_rows]
    truths = [space.nearest_exactly(query, max(depths, default=0)) for query in queries]
    entries: list[Depth] = []
    for depth in depths:
        found = _smallest_ef(graph, queries, [truth[:depth] for truth in truths], recall_target, entries)
        if found is None:
            break
        entries.append(found)
    return Calibration(recall_target, len(queries), tuple(entries))


def _smallest_ef(
    graph: Graph, queries: Sequence[Floats], truths: Sequence[Rows], recall_target: float, shallower: Sequence[Depth]
) -> Depth | None:
    depth = len(truths[0])
    floor = max(depth, shallower[-1].ef if shallower else 0)
    for stretch in _STRETCH:
        ef = round(depth * stretch)
        if ef < floor and stretch < _STRETCH[-1]:
            continue
        if ef > _EF_MAX:
            return None
        recalls = np.array([_overlap(graph.nearest(q, depth, ef=ef), t) for q, t in zip(queries, truths, strict=True)])
        error = recalls.std() / np.sqrt(len(recalls))
        if recalls.mean() - 2 * error >= recall_target:
            return Depth(depth, ef, float(recalls.mean()))
    return None


def _overlap(found: Rows, truth: Rows) -> float:
    return len(np.intersect1d(found, truth)) / len(truth)
