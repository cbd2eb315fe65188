"""How good an order is: ndcg@k, recall@k, mrr, averaged over groups (users), with every group's rows side by side.

All take scores (n,), labels (n,) of which above 0 means relevant, and starts (g + 1,): group i has rows starts[i] to
starts[i + 1]. Equal scores are ordered to the ranking's disadvantage, irrelevant rows first, so that a constant score earns
nothing by luck. Groups without a relevant row have no order to judge and do not count; with no group left the mean is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]


def ndcg_at_k(scores: Scores, labels: Scores, starts: NDArray[np.int64], k: int) -> float:
    """Binary gains, discount 1 / log2(1 + rank) (Järvelin and Kekäläinen 2002), relative to the best order of these rows."""
    ranks, group, n_relevant = _relevant(scores, labels, starts)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(n_relevant, k)]
    seen = ranks <= k
    gained = np.bincount(group[seen], discount[ranks[seen] - 1], minlength=len(n_relevant))
    return _mean(gained, ideal)


def recall_at_k(
    scores: Scores, labels: Scores, starts: NDArray[np.int64], k: int, *, n_wanted: NDArray[np.int64] | None = None
) -> float:
    """Relevant rows among the best k / n_wanted. n_wanted: (g,), for groups whose rows lack some; their own rows otherwise."""
    ranks, group, n_relevant = _relevant(scores, labels, starts)
    found = np.bincount(group[ranks <= k], minlength=len(n_relevant))
    return _mean(found, n_relevant if n_wanted is None else n_wanted)


def mrr(scores: Scores, labels: Scores, starts: NDArray[np.int64]) -> float:
    """Mean reciprocal rank of each group's first relevant row."""
    ranks, group, n_relevant = _relevant(scores, labels, starts)
    best = np.zeros(len(n_relevant))
    np.maximum.at(best, group, 1 / ranks)
    return _mean(best, np.minimum(n_relevant, 1))


def _relevant(
    scores: Scores, labels: Scores, starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(rank from 1, group) of every relevant row, and the number of them in each group."""
    assert len(scores) == len(labels) == starts[-1], f"{len(scores)} scores, {len(labels)} labels, {starts[-1]} rows in groups"
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    relevant = labels > 0
    order = np.lexsort((relevant, -scores, group))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - starts[group] + 1  # `group` is sorted, so it is the same before and after
    return ranks[relevant], group[relevant], np.bincount(group[relevant], minlength=len(starts) - 1)


def _mean(value: NDArray[np.floating] | NDArray[np.integer], best: NDArray[np.floating] | NDArray[np.integer]) -> float:
    counts = best > 0
    return float((value[counts] / best[counts]).mean()) if counts.any() else 0.0
