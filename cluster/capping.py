"""A cap on groups that shards can keep by themselves: when it may be pushed down to them, and why that is exact.

C(S) is what the cap leaves of items S, in the one score order: it drops every item with `cap` or more better items of its group
in S. C_k(S) are the first k of C(S). For any partition of S into parts, C_k(S) = C_k(union of the parts' C_k).

*Proof.* Let x be in C_k(S). Fewer than `cap` items of x's group are better in S, so fewer than `cap` are better in x's own
part P: x is in C(P). If a group has b items of S better than x, min(b, cap) of them stand before x in C(S). P has at most b of
them, so at most as many stand before x in C(P). Summed over groups, x stands no later in C(P) than in C(S), so it is in C_k(P).
Hence the union U of the parts' C_k contains C_k(S). As U is within S, no item of U has more of its group before it than in S:
the order of S decides, and the first k are the same.

The proof needs one order, one cap and one group per item. It fails for two caps at once, for an order other than the one that
cut the parts (a ranker's, a fusion of several lists), and where positions count (a cap on the first positions only, pins).
So the router pushes a cap down only where one exact source makes the slate (`router/planning/plan.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.types import Keys


def within_cap(groups: Keys, cap: int) -> NDArray[np.bool_]:
    """(n,) for n items, best first: whether fewer than `cap` of an item's group come before it. Group 0 is no group.

    >>> within_cap(np.array([5, 7, 5, 0, 5, 0]), 2).tolist()
    [True, True, True, True, False, True]
    """
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    first = np.ones(len(groups), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    within = np.empty(len(groups), np.bool_)
    within[by_group] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups)))) < cap
    within[groups == 0] = True
    return within
