"""How good the orders of merge, light and heavy models are, on later rows that no model has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cluster.order import best_first, head_reordered, top_k
from cluster.spec import HeavyKind, RankingSpec, RankStage
from ranker.model import Model
from train.rank.metrics import PerGroup, interval, mean, per_group
from train.rank.promotion import promote
from train.rank.ranking_rows import RankingRows

Quality = dict[str, dict[str, float]]

K = 10


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What g users say of some systems, by name. shares: of heavy models, (g,), of the ten that it would like best among all
    candidates, how many are in what the light one passes on to it.  recall: (g,), of the candidates.
    """

    found: Mapping[str, PerGroup]
    shares: Mapping[str, NDArray[np.float64]]
    recall: NDArray[np.float64]

    @property
    def quality(self) -> Quality:
        """System -> metrics, and "candidates" -> recall, the bound for all of them.

        ndcg@10, with the ends of its bootstrap interval over users as ndcg@10_lo and _hi; recall@10, mrr; light_share. Recall
        is of everything bought in the window, found by retrieval or not; the others are of what was found.
        """
        quality = {name: metrics_of(found) for name, found in self.found.items()}
        for name, shares in self.shares.items():
            quality[name]["light_share"] = mean(shares)
        return quality | {"candidates": {"recall": mean(self.recall)}}

    def also(self, name: str, system: str) -> Judged:
        """With `system` under another name, too; in place of what had that name."""
        found, shares = {**self.found, name: self.found[system]}, {**self.shares, name: self.shares[system]}
        return replace(self, found=found, shares=shares)

    def ranking(self, heavy: HeavyKind, system: str) -> RankingSpec:
        """Which stage serves if `system` is the heavy model."""
        ndcgs: dict[RankStage, NDArray[np.float64]] = {
            "merged": self.found["merged"].ndcg,
            "light": self.found["light"].ndcg,
            "heavy": self.found[system].ndcg,
        }
        return promote(heavy, ndcgs)

    @classmethod
    def together(cls, parts: Sequence[Judged]) -> Judged:
        """Of the same systems by different users."""
        return cls(
            {name: PerGroup.together([part.found[name] for part in parts]) for name in parts[0].found},
            {name: np.concatenate([part.shares[name] for part in parts]) for name in parts[0].shares},
            np.concatenate([part.recall for part in parts]),
        )


def judge(rows: RankingRows, light: Model, heavy: Mapping[str, Model], *, n_heavy: int) -> Judged:
    """Of "merged", "light" and every name in `heavy`.

    Orders are made as they are when serving, ties by key: a heavy model sees the best `n_heavy` of the light one's.
    """
    orders = {name: np.empty(len(rows.labels), np.float32) for name in ("merged", "light", *heavy)}
    shares: dict[str, list[float]] = {name: [] for name in heavy}
    for begin, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        features, keys, n = rows.features[begin:end], rows.keys[begin:end], end - begin
        by_light = best_first(light.score(features), keys)
        placed = {"merged": np.arange(n), "light": by_light}
        for name, model in heavy.items():
            scores = model.score(features)
            placed[name], _ = head_reordered(by_light, scores.take(by_light[:n_heavy]), keys)
            shares[name].append(light_share(scores, keys, by_light[:n_heavy]))
        for name, order in placed.items():
            orders[name][begin + order] = -np.arange(n, dtype=np.float32)
    found = {name: per_group(scores, rows.labels, rows.starts, K, n_wanted=rows.n_bought) for name, scores in orders.items()}
    return Judged(found, {name: np.array(told) for name, told in shares.items()}, rows.recalls)


def light_share(scores: NDArray[np.float32], keys: NDArray[np.int64], passed_on: NDArray[np.integer]) -> float:
    """Of the K that a heavy model would like best among all candidates, the share that the light one passes on.

    scores, keys: (m,), of all candidates, the heavy model's.  passed_on: their positions.
    """
    return float(np.isin(top_k(scores, keys, K), passed_on).mean())


def metrics_of(found: PerGroup, owners: NDArray[np.integer] | None = None) -> dict[str, float]:
    """The means over groups, and the interval of ndcg's over users. owners: (g,), each group's user; None: all different."""
    low, high = interval(found.ndcg, owners=owners)
    return {
        f"ndcg@{K}": mean(found.ndcg),
        f"ndcg@{K}_lo": low,
        f"ndcg@{K}_hi": high,
        f"recall@{K}": mean(found.recall),
        "mrr": mean(found.reciprocal_rank),
    }
