"""What work costs on this machine for this space, in microseconds, measured when a space is made.

A few milliseconds of the very operations the planner chooses between, on the space's own vectors and graph. Medians of
short repeats: they need to be right within a quarter, since near a crossover either choice is good.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from cluster.types import Floats
from shard import scan
from shard.hnsw import Graph
from shard.planner import Costs

_ROWS = 8192
_REPEATS = 5


class Measurable(Protocol):
    """What the measurement needs of a space."""

    vectors: Floats
    graph: Graph | None

    @property
    def n_rows(self) -> int: ...

    def prepared(self, vector: Floats) -> Floats:
        """The query as scans and graph take it."""


def measure(space: Measurable) -> Costs:
    """Measure a space: about 5 ms, or 20 with a graph."""
    n = space.n_rows
    if n == 0:
        return Costs(0, 0, 0, 0, 0, 0)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(n, min(n, _ROWS), replace=False))
    block = np.ascontiguousarray(space.vectors[rows])
    queries = [space.prepared(space.vectors[row]) for row in rng.integers(0, n, _REPEATS)]
    k = min(100, len(rows))

    def scanned(query: Floats) -> None:
        scan.contenders(block @ query, k, 0.0)

    def gathered(query: Floats) -> None:
        scan.contenders(np.take(space.vectors, rows, axis=0) @ query, k, 0.0)

    def few(query: Floats) -> None:
        scan.contenders(block[:256] @ query, k, 0.0)

    fixed = _median_us(few, queries)
    scan_us = max(_median_us(scanned, queries) - fixed, 0) / len(rows)
    gather_us = max(_median_us(gathered, queries) - fixed, 0) / len(rows)
    return Costs(fixed, scan_us, gather_us, *_walk(space, queries))


def _walk(space: Measurable, queries: list[Floats]) -> tuple[float, float, float]:
    graph = space.graph
    queries = [query for query in queries if query.any()]
    if graph is None or not queries:
        return 0.0, 0.0, 0.0
    low, high = min(100, space.n_rows), min(400, space.n_rows)
    if low == high:
        return _median_us(lambda query: graph.nearest(query, low, ef=low), queries), 0.0, 0.0
    narrow = _median_us(lambda query: graph.nearest(query, low, ef=low), queries)
    wide = _median_us(lambda query: graph.nearest(query, low, ef=high), queries)
    deep = _median_us(lambda query: graph.nearest(query, high, ef=high), queries)
    per_ef = max(wide - narrow, 0) / (high - low)
    per_row = max(deep - wide, 0) / (high - low)
    return max(narrow - low * (per_ef + per_row), 0), per_ef, per_row


def _median_us(call: Callable[[Floats], object], queries: list[Floats]) -> float:
    call(queries[0])
    taken = []
    for query in queries:
        start = time.perf_counter()
        call(query)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)) * 1e6
