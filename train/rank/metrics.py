"""Metrics of an order: ndcg@k, recall@k and mrr, averaged over groups (users), with the rows of each group side by side.

All take scores (n,), labels (n,) of which above 0 means relevant, and starts (g + 1,): group i has rows starts[i] to
starts[i + 1]. Among equal scores the irrelevant rows come first, so that a constant score earns nothing. Groups without a
relevant row do not count; if no group counts, the mean is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Scores = NDArray[np.floating]

N_RESAMPLES = 1_000
CONFIDENCE = 0.95
_BATCH = 100  # resamples at a time: 16 MB for 10,000 users


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
        ratio(gained, ideal),
        ratio(found, n_relevant if n_wanted is None else n_wanted),
        ratio(best, np.minimum(n_relevant, 1)),
    )


def mean(values: NDArray[np.float64]) -> float:
    """Over the groups that count."""
    counting = values[~np.isnan(values)]
    return float(counting.mean()) if len(counting) else 0.0


def interval(values: NDArray[np.float64], *, owners: NDArray[np.integer] | None = None, seed: int = 0) -> tuple[float, float]:
    """The bootstrap's percentile interval of the mean at level CONFIDENCE (Efron 1979). Users are drawn with replacement, each
    with all of their groups.

    owners: (g,), the user of each group; None if all differ. To compare two systems, pass their differences group by group:
    the first is better if the interval lies above 0.
    """
    counting = ~np.isnan(values)
    of_user = np.arange(len(values)) if owners is None else owners
    _, of_user = np.unique(of_user[counting], return_inverse=True)
    totals, counts = np.bincount(of_user, values[counting]), np.bincount(of_user)
    if len(counts) < 2:  # a single user can only be drawn again
        return mean(values), mean(values)
    low, high = bootstrap(
        (totals, counts),
        lambda drawn_totals, drawn_counts, axis: drawn_totals.sum(axis) / drawn_counts.sum(axis),
        paired=True,
        n_resamples=N_RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
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


def ratio(
    value: NDArray[np.floating] | NDArray[np.integer], best: NDArray[np.floating] | NDArray[np.integer]
) -> NDArray[np.float64]:
    """value / best, NaN where best is 0."""
    ratio: NDArray[np.float64] = np.divide(value, best, out=np.full(len(value), np.nan), where=best > 0)
    return ratio
