"""The first places of a slate with at most one cap over the whole of it: what nearly every request needs.

The same slate as `router/slate/assemble.py` makes place by place (a property of its tests). It looks at items one by one, but
at no more than it takes to fill the places: 25 of 400 for a usual slate, 4 µs, where counting all groups with numpy takes 25.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.types import Keys

_CHUNK = 2  # slates' worth of groups that are looked at together


def within_cap(groups: Keys, k: int, *, cap: int) -> tuple[list[int], int]:
    """(min(k, n) positions of n groups in line, those over the cap last; how many of them are within it).

    groups: (n,) codes in the order of the line. 0 is no group and never capped.
    """
    within: list[int] = []
    over: list[int] = []
    counts: dict[int, int] = {}
    for begin in range(0, len(groups), _CHUNK * k):
        for at, group in enumerate(groups[begin : begin + _CHUNK * k].tolist(), begin):
            if group:
                count = counts.get(group, 0)
                if count == cap:
                    over.append(at)
                    continue
                counts[group] = count + 1
            within.append(at)
            if len(within) == k:
                return within, k
    return within + over[: k - len(within)], len(within)


def ahead(first: list[int], n: int) -> NDArray[np.intp]:
    """All of n positions: the first ones, then the others in their order."""
    left = np.ones(n, np.bool_)
    left[first] = False
    return np.concatenate((np.array(first, np.intp), np.flatnonzero(left)))
