"""One embedding space of one shard: given a vector and who is eligible, the k best rows and their scores.

Answers always hold min(k, eligible) rows, never an ineligible one, in canonical order. The planner chooses how to search:
exactly, or in the graph at the recall target. A higher score is better, and a row's score is the same in any shard, beside any
rows and by any plan. A space does not know filters, files or items.
"""

from __future__ import annotations

import numpy as np

from cluster.errors import InternalError
from cluster.spec import Metric
from cluster.types import Floats, Keys, Rows
from shard._kernel import Scanner
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible
from shard.spaces import planner
from shard.spaces.costs import measure
from shard.spaces.hnsw import Graph, longest
from shard.spaces.planner import Calibration, Costs, Scan, SearchPlan, Situation, Walk

_SPARE = 8  # finalists beyond k, since the graph rounds its distances differently
_SAMPLES = 5  # rows that serve as queries when costs are measured
_LENGTH_MAX = float(np.finfo(np.float32).max) ** 0.5 / 8  # half of what a query's length and an item's may be together
_PLANS_KEPT = 4096


class Space:
    """Immutable once made, and safe to search from several threads."""

    def __init__(
        self, vectors: Floats, *, metric: Metric, graph: Graph | None, calibration: Calibration | None, costs: Costs | None
    ) -> None:
        self.vectors = vectors
        self.metric: Metric = metric
        self.graph = graph
        self.calibration = calibration
        self.norms: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        self.scanner = Scanner(vectors, metric)
        self.costs = costs if costs is not None else self._measured()
        self._plans: dict[tuple[int, int, int], SearchPlan] = {}

    @classmethod
    def from_arrays(
        cls,
        vectors: Floats,
        *,
        keys: Keys,
        metric: Metric,
        graph: Graph | None = None,
        calibration: Calibration | None = None,
        costs: Costs | None = None,
    ) -> Space:
        """vectors: (n, dim) float32, finite; under cosine normalised here if they are not. keys: (n,) int64, ascending.

        Keys are asked for because ties go to the smaller key: with ascending keys that is the smaller row. Without both
        graph and calibration every search is exact. costs: measured here unless given.
        """
        assert vectors.dtype == np.float32 and vectors.ndim == 2, f"vectors must be 2-d float32, got {vectors.dtype}"
        assert len(keys) == len(vectors), f"{len(keys)} keys for {len(vectors)} vectors"
        if len(keys) > 1 and not (keys[1:] > keys[:-1]).all():
            raise InternalError("rows of a shard must be in ascending key order")
        if not longest(vectors) < _LENGTH_MAX:
            raise InternalError("vectors of a space must be finite, and short enough for float32 scores")
        if metric == "cosine":
            vectors = normalised(vectors)
        return cls(np.ascontiguousarray(vectors), metric=metric, graph=graph, calibration=calibration, costs=costs)

    @property
    def n_rows(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def search(self, vector: Floats, eligible: Eligible, k: int) -> BestRows:
        """The min(k, eligible.count) best eligible rows: exactly, or at the recall target. InvalidQuery for a bad vector.

        vector: (dim,) float32, in the space's own coordinates, of any length.
        """
        mask, n_excluded = eligible.mask, len(eligible.excluded)
        k = min(k, mask.count - n_excluded)
        if k <= 0:
            return self._nothing(vector)
        plan = self._plans.get((mask.count, n_excluded, k)) or self._plan(mask.count, n_excluded, k)
        if isinstance(plan, Scan):
            return self._scan(vector, eligible, plan, k, "exact")
        return self._walk(vector, eligible, plan, k)

    def exact(self, vector: Floats, eligible: Eligible, k: int) -> BestRows:
        """The min(k, eligible.count) best eligible rows, exactly. InvalidQuery for a bad vector."""
        mask, n_excluded = eligible.mask, len(eligible.excluded)
        k = min(k, mask.count - n_excluded)
        if k <= 0:
            return self._nothing(vector)
        scan = planner.cheapest_scan(Situation(len(self.vectors), mask.count, n_excluded, k), self.costs)
        return self._scan(vector, eligible, scan, k, "exact")

    def scores(self, vector: Floats, rows: Rows) -> Floats:
        """The scores of some rows, aligned with them, float32. InvalidQuery for a bad vector."""
        return self.scanner.scores(vector, rows)

    def _nothing(self, vector: Floats) -> BestRows:
        self.scanner.prepared(vector)  # a bad vector is refused whoever is eligible
        return BestRows.none("empty")

    def _measured(self) -> Costs:
        """With some of its own rows as queries."""
        rows = np.flatnonzero(self.norms)
        samples = rows[:: max(len(rows) // _SAMPLES, 1)][:_SAMPLES]
        return measure(self.scanner, self.graph, [self.vectors[row] for row in samples], len(self.vectors))

    def _plan(self, n_passing: int, n_excluded: int, k: int) -> SearchPlan:
        """Plans are few and asked for often, so they are kept."""
        if len(self._plans) >= _PLANS_KEPT:
            self._plans.clear()
        situation = Situation(len(self.vectors), n_passing, n_excluded, k)
        made = planner.plan(situation, self.costs, self.calibration if self.graph is not None else None)
        self._plans[n_passing, n_excluded, k] = made
        return made

    def _scan(self, vector: Floats, eligible: Eligible, plan: Scan, k: int, strategy: str) -> BestRows:
        mask = eligible.mask
        if plan.rows == "listed":
            return BestRows(*self.scanner.best_listed(vector, mask.rows, eligible.excluded, k), strategy)
        if mask.everything:
            return BestRows(*self.scanner.best_of_all(vector, eligible.excluded, k), strategy)
        return BestRows(*self.scanner.best_passing(vector, mask.bits, eligible.excluded, k), strategy)

    def _walk(self, vector: Floats, eligible: Eligible, plan: SearchPlan, k: int) -> BestRows:
        assert self.graph is not None and self.calibration is not None, "a walk needs a graph and its calibration"
        mask = eligible.mask
        situation = Situation(len(self.vectors), mask.count, len(eligible.excluded), k)
        query = self.scanner.prepared(vector)
        if not self.graph.geometry.has_direction(query):
            return self._scan(vector, eligible, planner.cheapest_scan(situation, self.costs), k, "exact")
        while isinstance(plan, Walk):
            labels = self.graph.nearest(query, plan.depth, ef=plan.ef)
            rows, scores = self.scanner.rank(vector, labels, mask.bits, eligible.excluded, k, _SPARE)
            if len(rows) == k:
                return BestRows(rows, scores, "hnsw" if mask.everything else "hnsw_overfetch")
            plan = planner.after_shortfall(plan, len(rows), situation, self.costs, self.calibration)
        return self._scan(vector, eligible, plan, k, "exact_fallback")


def normalised(vectors: Floats) -> Floats:
    """(n, dim) float32 rows at unit length; zero rows stay zero. The same array if it is so already."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if ((np.abs(squares - 1) < 1e-5) | (squares == 0)).all():
        return vectors
    lengths = np.sqrt(squares, where=squares > 0, out=np.ones_like(squares))
    unit: Floats = (vectors / lengths[:, None]).astype(np.float32)
    return unit
