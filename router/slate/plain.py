"""The order of a slate with at most one cap over the whole of it: what nearly every request needs, in a few array operations.

The same slate as `router/slate/assemble.py` makes place by place (a property of their tests), ten times as fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.types import Candidates, Keys, Rows
from router.slate.lineup import contains
from router.slate.rules import CapRule


def plain_order(
    candidates: Candidates, order: Rows, *, exclude: Keys, cap: CapRule | None
) -> tuple[NDArray[np.intp], int, int]:
    """(places in `order`, those over the cap behind all others; how many are within it; how many are excluded)."""
    if len(exclude):
        places = np.flatnonzero(~contains(exclude, candidates.keys[order]))
    else:
        places = np.arange(len(order))
    n_excluded = len(order) - len(places)
    if cap is None or candidates.facts is None:
        return places, len(places), n_excluded
    over = ordinals(candidates.facts[order[places], cap.column]) >= cap.max
    n_over = int(np.count_nonzero(over))
    if n_over:
        places = np.concatenate((places[~over], places[over]))
    return places, len(places) - n_over, n_excluded


def ordinals(groups: Keys) -> NDArray[np.intp]:
    """For each item how many of its group come before it. Group 0 is no group: always 0."""
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, len(groups)))
    found = np.empty(len(groups), np.intp)
    found[by_group] = np.arange(len(groups)) - np.repeat(starts, sizes)
    found[groups == 0] = 0
    return found
