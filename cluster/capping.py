"""A cap on groups that shards can keep by themselves: when it may be pushed down to them, and why that is exact.

C(S) is what is left of items S, in the one score order, when every item goes of whose group `cap` or more better ones are in
S; C_k(S) are the first k of it. For any partition of S into parts, C_k(S) = C_k(union of the parts' C_k).

*Proof.* Let x be in C_k(S). Of its group fewer than `cap` items of S are better, so fewer than `cap` of its own part P: x is
in C(P). Of a group with b items of S better than x, min(b, cap) stand before x in C(S); of P it has at most b, so at most as
many stand before x in C(P). Summed over groups: x stands no later in C(P) than in C(S), so it is among its first k. Then the
union U of the parts' C_k has C_k(S) within it, and as U is within S, nobody in U has more of its group before it than in S:
the order of S decides, and the first k are the same.

It takes one order, one cap and one group per item. It is wrong for two caps at once, for another order than the one the
parts were cut by (a ranker's, a fusion of several lists), and where places count (a cap on the first places only, pins).
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
