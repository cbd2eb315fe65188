"""Made-up ranking rows whose best order is known: what the fits are tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.rank.metrics import mean, per_group

COLUMNS = ("dot", "bump", "ann.rank", "user", "constant", "noise")


@dataclass(frozen=True)
class Ranking:
    """starts: (g + 1,).  groups: (n,).  truth: (n,) log-odds that the labels were drawn from."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    groups: NDArray[np.int64]
    starts: NDArray[np.int64]
    truth: NDArray[np.float64]


def ranking(*, n_groups: int = 60, size: int = 40, seed: int = 0) -> Ranking:
    """The truth rises with `dot`, peaks in the middle of `bump`, and likes a missing `ann.rank` less than any present one."""
    rng = np.random.default_rng(seed)
    n = n_groups * size
    groups = np.repeat(np.arange(n_groups), size)
    dot, bump, noise = rng.normal(size=(3, n))
    rank = np.where(rng.random(n) < 0.4, np.nan, rng.integers(1, 300, n))
    user = rng.normal(size=n_groups)[groups]
    truth = 1.5 * dot + 2 * np.exp(-(bump**2)) - 0.01 * np.nan_to_num(rank, nan=500) + user - 1.5
    features = np.stack([dot, bump, rank, user, np.ones(n), noise], axis=1).astype(np.float32)
    labels = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    return Ranking(features, labels, groups, np.arange(0, n + 1, size), truth)


def ndcg_at_k(scores: NDArray[np.floating], labels: NDArray[np.floating], starts: NDArray[np.int64], k: int) -> float:
    """The mean over groups."""
    return mean(per_group(scores, labels, starts, k).ndcg)
