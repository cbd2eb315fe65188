"""How good an order is: ndcg@k, recall@k, mrr, averaged over groups (users), with every group's rows side by side.

All take scores (n,), labels (n,) of which above 0 means relevant, and starts (g + 1,): group i has rows starts[i] to
starts[i + 1]. Equal scores are ordered to the ranking's disadvantage, irrelevant rows first, so that a constant score earns
nothing by luck. Groups without a relevant row have no order to judge and do not count; with no group left the mean is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

N_RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class PerGroup:
    """One number per group, (g,) float64 each, NaN where a group does not count. ndcg and recall are @k."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    reciprocal_rank: NDArray[np.float64]

    @classmethod
    def together(cls, parts: Sequence[PerGroup]) -> PerGroup:
        columns = zip(*((part.ndcg, part.recall, part.reciprocal_rank) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def per_group(
    scores: Scores,
    labels: Scores,
    starts: NDArray[np.int64],
    k: int,
    *,
    n_relevant: NDArray[np.int64] | None = None,
    n_wanted: NDArray[np.int64] | None = None,
) -> PerGroup:
    """ndcg: binary gains, discount 1 / log2(1 + rank) (Järvelin and Kekäläinen 2002), relative to the best order of n_relevant.

    recall: relevant rows among the best k / n_wanted.  n_relevant, n_wanted: (g,), for groups whose rows lack some; what the
    rows have, and n_relevant, otherwise.  reciprocal_rank: of the first relevant row.
    """
    ranks, group, in_rows = _relevant(scores, labels, starts)
    n_relevant = in_rows if n_relevant is None else n_relevant
    g = len(n_relevant)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(n_relevant, k)]
    seen = ranks <= k
    gained = np.bincount(group[seen], discount[ranks[seen] - 1], minlength=g)
    found = np.bincount(group[seen], minlength=g)
    best = np.zeros(g)
    np.maximum.at(best, group, 1 / ranks)
    return PerGroup(
        _ratio(gained, ideal),
        _ratio(found, n_relevant if n_wanted is None else n_wanted),
        _ratio(best, np.minimum(n_relevant, 1)),
    )


def mean(values: NDArray[np.float64]) -> float:
    """Over the groups that count."""
    counting = values[~np.isnan(values)]
    return float(counting.mean()) if len(counting) else 0.0


def interval(values: NDArray[np.float64], *, owners: NDArray[np.integer] | None = None, seed: int = 0) -> tuple[float, float]:
    """The bootstrap's percentile interval of the mean, CONFIDENCE wide (Efron 1979): users are drawn with replacement, each
    with all that is theirs.

    owners: (g,), the user of each group; None if each is of another. Give it differences between two systems, group by group,
    to ask whether one is better: it is if the interval is above 0.
    """
    counting = ~np.isnan(values)
    if not counting.any():
        return 0.0, 0.0
    of_user = np.arange(len(values)) if owners is None else owners
    _, of_user = np.unique(of_user[counting], return_inverse=True)
    totals, counts = np.bincount(of_user, values[counting]), np.bincount(of_user)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(counts), len(counts)) for _ in range(N_RESAMPLES))
    means = [totals[drawn].sum() / counts[drawn].sum() for drawn in draws]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


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


def _ratio(
    value: NDArray[np.floating] | NDArray[np.integer], best: NDArray[np.floating] | NDArray[np.integer]
) -> NDArray[np.float64]:
    """value / best, NaN where there is nothing to have."""
    ratio: NDArray[np.float64] = np.divide(value, best, out=np.full(len(value), np.nan), where=best > 0)
    return ratio
