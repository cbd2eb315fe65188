"""The best rows of several ranked lists at once, from their heads: what every walker promises, and which one this process has.

An item among the k best is among the first k eligible items of the list that gives it its score. So if many items are eligible,
the heads of the lists are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.errors import GenerationCorrupt
from cluster.types import Floats, Rows
from shard.tables.lists import RankedLists
from shard.tables.numpy_list_walker import NumpyListWalker

try:
    from shard._kernel import ListWalker as _Fastest
except ImportError:  # no compiler where the package was installed; see shard/spaces/scanner.py
    _Fastest = NumpyListWalker  # type: ignore[misc,assignment]


class ListWalker(Protocol):
    """A row scores the largest of weight * score, float32, over the lists that hold it."""

    def best(
        self,
        lists: Sequence[int],
        weights: Sequence[float],
        passes: NDArray[np.bool_],
        excluded: Rows,
        k: int,
        entries_max: int,
    ) -> tuple[Rows, Floats] | None:
        """The k best rows that pass and are not excluded: score descending, then row ascending. Fewer if the lists end.

        lists: distinct positions.  weights: aligned, finite as float32, not negative.  passes: (n,) bool.  excluded: int32,
        ascending.  None if more than `entries_max` entries had to be looked at.
        """
        ...


def walker_over(lists: RankedLists, n_rows: int) -> ListWalker:
    """The fastest walker this process has, over lists of rows below n_rows, whose scores descend.

    A walk would be led astray, and a native one out of its memory, by lists that are not so: GenerationCorrupt.
    """
    try:
        return _Fastest(lists.indptr, lists.rows, lists.scores, n_rows)
    except ValueError as error:
        raise GenerationCorrupt(str(error)) from None
