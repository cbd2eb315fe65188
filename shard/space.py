"""One embedding space of one shard: given a vector and who is eligible, the k best rows and their scores.

Answers always hold min(k, eligible) rows, never an ineligible one, in canonical order. How they were found is the
planner's choice: exactly, or from the graph at the recall target. A score is higher the better, and a row's score is the
same whatever else was asked: in which shard, beside which rows, by which plan. It does not know filters, files or items.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cluster.errors import InternalError, InvalidQuery
from cluster.order import top_k
from cluster.spec import Metric
from cluster.types import Floats, Keys, Rows
from shard import planner, scan
from shard.calibration import Calibration
from shard.costs import measure
from shard.eligible import Eligible
from shard.found import Found
from shard.hnsw import Geometry, Graph
from shard.planner import Scan, Situation, Walk

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_SPARE = 8  # finalists beyond k, since the graph rounds its distances differently


class Space:
    """Immutable once made, and safe to search from several threads."""

    def __init__(self, vectors: Floats, *, metric: Metric, graph: Graph | None, calibration: Calibration | None) -> None:
        self.vectors = vectors
        self.metric: Metric = metric
        self.graph = graph
        self.calibration = calibration
        self.norms: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        self.longest = longest(vectors)
        self._half_squares = self.norms**2 / 2 if metric == "l2" else None
        self.costs = measure(self)

    @classmethod
    def from_arrays(
        cls,
        vectors: Floats,
        *,
        keys: Keys,
        metric: Metric,
        graph: Graph | None = None,
        calibration: Calibration | None = None,
    ) -> Space:
        """vectors: (n, dim) float32, finite; under cosine normalised here if they are not. keys: (n,) int64, ascending.

        Keys are asked for because ties go to the smaller key: with ascending keys that is the smaller row.
        """
        assert vectors.dtype == np.float32 and vectors.ndim == 2, f"vectors must be 2-d float32, got {vectors.dtype}"
        assert len(keys) == len(vectors), f"{len(keys)} keys for {len(vectors)} vectors"
        if len(keys) > 1 and not (keys[1:] > keys[:-1]).all():
            raise InternalError("rows of a shard must be in ascending key order")
        if not np.isfinite(vectors).all():
            raise InternalError("vectors of a space must be finite")
        if metric == "cosine":
            vectors = normalised(vectors)
        return cls(np.ascontiguousarray(vectors), metric=metric, graph=graph, calibration=calibration)

    @classmethod
    def load(
        cls, vectors: Floats, *, keys: Keys, metric: Metric, graph_path: Path | str | None, calibration: Calibration | None
    ) -> Space:
        """As from_arrays, with the graph from a file whose hash was verified. GenerationCorrupt if it does not fit."""
        graph = None
        if graph_path is not None:
            geometry = Geometry(vectors.shape[1], metric, longest(vectors))
            graph = Graph.load(graph_path, geometry, n_rows=len(vectors))
        return cls.from_arrays(vectors, keys=keys, metric=metric, graph=graph, calibration=calibration)

    @property
    def n_rows(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def search(self, vector: Floats, eligible: Eligible, k: int) -> Found:
        """The min(k, eligible.count) best eligible rows: exactly, or at the recall target. InvalidQuery for a bad vector.

        vector: (dim,) float32, in the space's own coordinates, of any length.
        """
        query = self.prepared(vector)
        k = min(k, eligible.count)
        if k <= 0:
            return Found.nothing("empty")
        situation = Situation(self.n_rows, eligible.count, k, has_block=False)
        if self.graph is None or self.calibration is None or not query.any():
            return self._scan(query, eligible, planner.cheapest_scan(situation, self.costs), k, "exact")
        plan = planner.plan(situation, self.costs, self.calibration)
        strategy = "exact"
        while isinstance(plan, Walk):
            rows = self.graph.nearest(query, plan.depth, ef=plan.ef)
            rows = rows[eligible.keep(rows)]
            if len(rows) >= k:
                return self._ranked(query, rows[: k + _SPARE], k, "hnsw" if eligible.mask.everything else "hnsw_overfetch")
            strategy = "exact_fallback"
            plan = planner.regrown(plan, len(rows), situation, self.costs, self.calibration)
        return self._scan(query, eligible, plan, k, strategy)

    def exact(self, vector: Floats, eligible: Eligible, k: int) -> Found:
        """The min(k, eligible.count) best eligible rows, exactly. InvalidQuery for a bad vector."""
        query = self.prepared(vector)
        k = min(k, eligible.count)
        if k <= 0:
            return Found.nothing("empty")
        situation = Situation(self.n_rows, eligible.count, k, has_block=False)
        return self._scan(query, eligible, planner.cheapest_scan(situation, self.costs), k, "exact")

    def scores(self, vector: Floats, rows: Rows) -> Floats:
        """The scores of some rows, aligned with them, float32. InvalidQuery for a bad vector."""
        return self._scores(self.prepared(vector), rows)

    def prepared(self, vector: Floats) -> Floats:
        """The query as scans and graph take it, of unit length under cosine. InvalidQuery if it is no vector of this space."""
        if vector.shape != (self.dim,):
            raise InvalidQuery(f"the vector has shape {vector.shape}, the space has {self.dim} dimensions")
        square = float(vector.astype(np.float64) @ vector)
        if not math.isfinite(square):
            raise InvalidQuery("the vector holds values that are not finite")
        if self.metric == "cosine":
            return (vector / math.sqrt(square)).astype(np.float32) if square > 0 else np.zeros(self.dim, np.float32)
        length = math.sqrt(square)
        if (self.longest + length) * (self.longest + length) > _FLOAT32_MAX / 4:
            raise InvalidQuery(f"the vector has length {length:.3g}, too much for float32 scores")
        return np.ascontiguousarray(vector, np.float32)

    def nearest_exactly(self, query: Floats, depth: int) -> Rows:
        """The true `depth` best rows of a prepared query, best first."""
        return self._finish(query, None, self._selectors(self.vectors, query), min(depth, self.n_rows), "exact").rows

    def _scan(self, query: Floats, eligible: Eligible, plan: Scan, k: int, strategy: str) -> Found:
        if eligible.count == self.n_rows:
            return self._finish(query, None, self._selectors(self.vectors, query), k, strategy)
        rows = eligible.rows()
        if plan.layout == "all":
            return self._finish(query, rows, self._selectors(self.vectors, query)[rows], k, strategy)
        gathered = np.take(self.vectors, rows, axis=0)
        selectors = gathered @ query
        if self._half_squares is not None:
            selectors -= self._half_squares[rows]
        return self._finish(query, rows, selectors, k, strategy)

    def _selectors(self, vectors: Floats, query: Floats) -> Floats:
        selectors: Floats = vectors @ query
        if self._half_squares is not None:
            selectors -= self._half_squares
        return selectors

    def _finish(self, query: Floats, rows: Rows | None, selectors: Floats, k: int, strategy: str) -> Found:
        """Score the contenders properly. rows: which row each selector is of; None if they are all rows."""
        at = scan.contenders(selectors, k, self._slack(query))
        return self._ranked(query, at.astype(np.int32) if rows is None else rows[at], k, strategy)

    def _slack(self, query: Floats) -> float:
        length = float(np.sqrt(query @ query))
        largest = self.longest * length if self.metric != "l2" else (self.longest + length) ** 2
        return 2 * scan.rounding(self.dim, largest)

    def _ranked(self, query: Floats, rows: Rows, k: int, strategy: str) -> Found:
        scores = self._scores(query, rows)
        best = top_k(scores, rows.astype(np.int64), k)
        return Found(rows[best], scores[best], strategy)

    def _scores(self, query: Floats, rows: Rows) -> Floats:
        gathered = self.vectors[rows]
        if self.metric != "l2":
            scores: Floats = np.einsum("ij,j->i", gathered, query)
            return scores
        gathered -= query
        squares: Floats = np.einsum("ij,ij->i", gathered, gathered)
        return -squares


def normalised(vectors: Floats) -> Floats:
    """(n, dim) float32 rows at unit length; zero rows stay zero. The same array if it is so already."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if ((np.abs(squares - 1) < 1e-5) | (squares == 0)).all():
        return vectors
    lengths = np.sqrt(squares, where=squares > 0, out=np.ones_like(squares))
    unit: Floats = (vectors / lengths[:, None]).astype(np.float32)
    return unit


def longest(vectors: Floats) -> float:
    """The largest norm of (n, dim) float32 rows; 0 without rows."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max(initial=0)))
