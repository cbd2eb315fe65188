"""Exact scores and exact bests of rows of one matrix: what every scanner promises, and which one this process has.

The native one (`shard/native/kernel.cpp`) is compiled when the package is installed. Where that failed the numpy one takes
its place, with the same answers, several times slower; the planner measures whichever it is and decides accordingly.

A score is the float32 nearest to a sum in double precision: the inner product, or under l2 the negative squared distance.
It does not depend on which rows are scored together, hence not on how a catalogue is split over shards.
"""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.spec import Metric
from cluster.types import Floats, Rows
from shard.spaces.numpy_scanner import NumpyScanner

try:
    from shard import _kernel
except ImportError:  # no compiler where the package was installed
    _kernel = None  # type: ignore[assignment]
    logging.getLogger(__name__).warning("the native scan kernel is not built; scanning with numpy, several times slower")


class Scanner(Protocol):
    """Bests come as (rows int32, scores float32), score descending, then row ascending: min(k, allowed) of them.

    query: (dim,) float32; InvalidQuery from every method if it has another size, is not finite or so long that scores would
    overflow; under cosine it need not have unit length.
    excluded: rows never to return, ascending, unique, each one allowed otherwise.
    """

    def best_of_all(self, query: Floats, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of all rows."""

    def best_passing(self, query: Floats, passes: NDArray[np.bool_], excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of the rows that pass, (n,) bool: reads every row, in order."""

    def best_listed(self, query: Floats, rows: Rows, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of some rows, ascending: reads only these."""

    def rank(
        self, query: Floats, labels: NDArray[np.uint64], passes: NDArray[np.bool_], excluded: Rows, k: int, spare: int
    ) -> tuple[Rows, Floats]:
        """The k best of the first k + spare labels that pass and are not excluded; labels are distinct rows."""

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """Aligned with any rows."""

    def prepared(self, query: Floats) -> Floats:
        """The query whose scores these are: the same, or under cosine at unit length unless it is zero."""

    @property
    def instructions(self) -> str:
        """What it computes with, for people."""


def scanner_over(vectors: Floats, metric: Metric) -> Scanner:
    """The fastest scanner this process has, over (n, dim) float32 vectors that it keeps a reference to.

    Finite; under cosine of unit length, or zero.
    """
    if _kernel is not None:
        return _kernel.Scanner(vectors, metric)
    return NumpyScanner(vectors, metric)
