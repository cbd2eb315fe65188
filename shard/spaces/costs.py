"""What work costs on this machine for this space, in microseconds, measured when a space is made.

A few milliseconds of the very operations the planner chooses between, on the space's own rows and graph. The least of some
repeats, because a busy machine only ever adds to a duration. It needs to be right within a quarter: near a crossover
either choice is good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import numpy as np

from cluster.types import NO_ROWS, Floats, Rows
from shard._kernel import Scanner
from shard.spaces.hnsw import Graph
from shard.spaces.planner import Costs

_K = 100
_FEW = 256
_REPEATS = 5


def measure(scanner: Scanner, graph: Graph | None, queries: Sequence[Floats], n_rows: int) -> Costs:
    """Takes about 5 ms, or 20 with a graph, or a dozen scans of all rows where that is more.

    queries: some (dim,) float32, prepared, not zero; without any nothing can be measured and everything costs nothing.
    """
    if not queries or n_rows == 0:
        return Costs(0, 0, 0, 0, 0, 0)
    few = _spread(n_rows, min(n_rows, _FEW))
    fixed = _least_us(lambda query: scanner.best_listed(query, few, NO_ROWS, _K), queries)
    whole = _least_us(lambda query: scanner.best_of_all(query, NO_ROWS, _K), queries)

    def per_row(share: float) -> float:
        listed = _spread(n_rows, max(round(share * n_rows), len(few)))
        took = _least_us(lambda query: scanner.best_listed(query, listed, NO_ROWS, _K), queries)
        return max(took - fixed, 0) / len(listed)

    return Costs(fixed, max(whole - fixed, 0) / n_rows, per_row(0.1), per_row(0.5), *_walk(graph, queries, n_rows))


def _walk(graph: Graph | None, queries: Sequence[Floats], n_rows: int) -> tuple[float, float]:
    """(fixed, per ef): a line through a narrow and a wide search."""
    if graph is None:
        return 0.0, 0.0
    narrow, wide = min(_K, n_rows), min(4 * _K, n_rows)
    low = _least_us(lambda query: graph.nearest(query, narrow, ef=narrow), queries)
    if wide == narrow:
        return low, 0.0
    high = _least_us(lambda query: graph.nearest(query, narrow, ef=wide), queries)
    per_ef = max(high - low, 0) / (wide - narrow)
    return max(low - narrow * per_ef, 0), per_ef


def _spread(n_rows: int, count: int) -> Rows:
    """Drawn at random, as masks are: rows at equal distances would be foreseen by the CPU."""
    return np.sort(np.random.default_rng(0).choice(n_rows, count, replace=False)).astype(np.int32)


def _least_us(call: Callable[[Floats], object], queries: Sequence[Floats]) -> float:
    call(queries[0])
    taken = []
    for query in islice(cycle(queries), _REPEATS):
        start = time.perf_counter()
        call(query)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e6
