"""Scores the orders of merge, light and heavy models on rows that no model was fitted to and that are later in time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cluster.order import best_first, head_reordered, top_k
from cluster.spec import HeavyKind, RankingSpec, RankStage
from ranker.model import Model
from train.rank.choice import promote
from train.rank.metrics import PerGroup, interval, mean, per_group
from train.rank.ranking_rows import RankingRows

Quality = dict[str, dict[str, float]]

K = 10


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The scores of some systems on g requests, by system. shares: (g,) of each heavy model, the share of the ten candidates it
    scores highest that the light model passes on to it.  recall: (g,), of the candidates.
    """

    per_system: Mapping[str, PerGroup]
    shares: Mapping[str, NDArray[np.float64]]
    recall: NDArray[np.float64]

    def quality(self, owners: NDArray[np.integer] | None = None) -> Quality:
        """System -> metrics, and "candidates" -> recall, the bound for all of them. owners: (g,), each request's user; None if
        all are different.

        ndcg@10, with the ends of its bootstrap interval over users as ndcg@10_lo and _hi; recall@10, mrr; light_share. Recall
        counts everything bought in the window; the others count what is among the candidates.
        """
        quality = {name: metrics_of(groups, owners) for name, groups in self.per_system.items()}
        for name, shares in self.shares.items():
            quality[name]["light_share"] = mean(shares)
        return quality | {"candidates": {"recall": mean(self.recall)}}

    def also(self, name: str, system: str) -> Judged:
        """The same, with `system` also under another name, which replaces any system of that name."""
        per_system = {**self.per_system, name: self.per_system[system]}
        return replace(self, per_system=per_system, shares={**self.shares, name: self.shares[system]})

    def ranking(self, heavy: HeavyKind, system: str) -> RankingSpec:
        """The stage that serves if `system` is the heavy model."""
        ndcgs: dict[RankStage, NDArray[np.float64]] = {
            "merged": self.per_system["merged"].ndcg,
            "light": self.per_system["light"].ndcg,
            "heavy": self.per_system[system].ndcg,
        }
        return promote(heavy, ndcgs)

    @classmethod
    def together(cls, parts: Sequence[Judged]) -> Judged:
        """The scores of the same systems on the requests of different users, as one."""
        return cls(
            {name: PerGroup.together([part.per_system[name] for part in parts]) for name in parts[0].per_system},
            {name: np.concatenate([part.shares[name] for part in parts]) for name in parts[0].shares},
            np.concatenate([part.recall for part in parts]),
        )


class OrderTally:
    """Collects the orders that some systems give to the candidates of each request. Call `begin` before a request's orders."""

    def __init__(self, light: Collection[str], heavy: Collection[str], slate: Collection[str] = ()) -> None:
        """The names of the systems in their order: those before the heavy models, the heavy models, those after them."""
        self._labels: list[NDArray[np.bool_]] = []
        self._n_wanted: list[int] = []
        self._by_place: dict[str, list[NDArray[np.bool_]]] = {system: [] for system in (*light, *heavy, *slate)}
        self._shares: dict[str, list[float]] = {system: [] for system in heavy}

    @property
    def n_requests(self) -> int:
        return len(self._labels)

    def begin(self, wanted: NDArray[np.bool_], *, n_wanted: int) -> None:
        """Begin a request. wanted: (m,), whether the user wanted the candidate.  n_wanted: all items that the user wanted."""
        self._labels.append(wanted)
        self._n_wanted.append(n_wanted)

    def add(self, system: str, order: NDArray[np.integer]) -> None:
        """order: positions of candidates, the best first; candidates that it leaves out follow in their previous order."""
        labels = self._labels[-1]
        left_out = np.ones(len(labels), np.bool_)
        left_out[order] = False
        self._by_place[system].append(np.concatenate((labels[order], labels[left_out])))

    def add_share(self, system: str, light_share: float) -> None:
        self._shares[system].append(light_share)

    def judged(self) -> Judged:
        sizes = [len(labels) for labels in self._labels]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        places = np.concatenate([np.empty(0), *(-np.arange(size) for size in sizes)])
        n_wanted = np.array(self._n_wanted, np.int64)
        per_system = {
            system: per_group(places, np.concatenate([np.empty(0, bool), *labels]), starts, K, n_wanted=n_wanted)
            for system, labels in self._by_place.items()
        }
        shares = {system: np.array(shares) for system, shares in self._shares.items()}
        n_found = np.array([np.count_nonzero(labels) for labels in self._labels], np.int64)
        return Judged(per_system, shares, n_found / n_wanted)


def judge(rows: RankingRows, light: Model, heavy: Mapping[str, Model], *, n_heavy: int) -> Judged:
    """Score the systems "merged", "light" and every name in `heavy`.

    The orders are those of serving, with ties broken by key: a heavy model reorders the best `n_heavy` of the light model.
    """
    tally = OrderTally(("merged", "light"), heavy)
    for at, (begin, end) in enumerate(pairwise(rows.starts)):
        features, keys = rows.features[begin:end], rows.keys[begin:end]
        tally.begin(rows.labels[begin:end] > 0, n_wanted=int(rows.n_bought[at]))
        by_light = best_first(light.score(features), keys)
        tally.add("merged", np.arange(end - begin))
        tally.add("light", by_light)
        for name, model in heavy.items():
            scores = model.score(features)
            order, _ = head_reordered(by_light, scores.take(by_light[:n_heavy]), keys)
            tally.add(name, order)
            tally.add_share(name, light_share(scores, keys, by_light[:n_heavy]))
    return tally.judged()


def light_share(scores: NDArray[np.float32], keys: NDArray[np.int64], passed_on: NDArray[np.integer]) -> float:
    """The share of the K candidates with the highest heavy scores that the light model passes on.

    scores, keys: (m,), the heavy model's scores of all candidates.  passed_on: positions of candidates.
    """
    return float(np.isin(top_k(scores, keys, K), passed_on).mean())


def metrics_of(groups: PerGroup, owners: NDArray[np.integer] | None = None) -> dict[str, float]:
    """The means over groups, and the interval of ndcg over users. owners: (g,), each group's user; None if all differ."""
    low, high = interval(groups.ndcg, owners=owners)
    return {
        f"ndcg@{K}": mean(groups.ndcg),
        f"ndcg@{K}_lo": low,
        f"ndcg@{K}_hi": high,
        f"recall@{K}": mean(groups.recall),
        "mrr": mean(groups.reciprocal_rank),
    }
