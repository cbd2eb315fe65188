"""How good the orders of merge, light and heavy models are, on rows that no model has seen and that lie later in time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ranker.model import Model
from train.metrics import PerGroup, interval, mean, per_group
from train.ranking_rows import RankingRows

Quality = dict[str, dict[str, float]]

K = 10


def judge(rows: RankingRows, light: Model, heavy: Mapping[str, Model], *, n_heavy: int) -> Quality:
    """{"merged", "light", and every name in `heavy`} -> metrics, and {"candidates"} -> {"recall"}, the bound for all of them.

    ndcg@10, with the ends of its bootstrap interval over users as ndcg@10_lo and _hi; recall@10, mrr. For heavy models also
    light_share: how many of the ten that it would like best among all candidates are in what the light one passes on to it.
    Orders are made as they are when serving: a heavy model sees the best `n_heavy` of the light one's. Recall is of everything
    bought in the window, found by retrieval or not; the others are of what was found.
    """
    orders = {name: np.empty(len(rows.labels), np.float32) for name in ("merged", "light", *heavy)}
    shares: dict[str, list[float]] = {name: [] for name in heavy}
    for begin, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        features, n = rows.features[begin:end], end - begin
        by_light = np.argsort(-light.score(features), kind="stable")
        placed = {"merged": np.arange(n), "light": by_light}
        for name, model in heavy.items():
            scores = model.score(features)
            placed[name] = heavy_order(by_light, scores, n_heavy)
            best = np.argsort(-scores, kind="stable")[:K]
            shares[name].append(float(np.isin(best, by_light[:n_heavy]).mean()))
        for name, order in placed.items():
            orders[name][begin + order] = -np.arange(n, dtype=np.float32)
    quality = {
        name: metrics_of(per_group(scores, rows.labels, rows.starts, K, n_wanted=rows.n_bought))
        for name, scores in orders.items()
    }
    for name, told in shares.items():
        quality[name]["light_share"] = float(np.mean(told)) if told else 0.0
    return quality | {"candidates": {"recall": rows.recall}}


def heavy_order(by_light: NDArray[np.intp], scores: NDArray[np.float32], n_heavy: int) -> NDArray[np.intp]:
    """The light order with its first n_heavy put in the order of their heavy scores. scores: (m,), of all candidates."""
    head = by_light[:n_heavy]
    return np.concatenate((head[np.argsort(-scores[head], kind="stable")], by_light[n_heavy:]))


def metrics_of(found: PerGroup) -> dict[str, float]:
    """The means over users, and the interval of ndcg's."""
    low, high = interval(found.ndcg)
    return {
        f"ndcg@{K}": mean(found.ndcg),
        f"ndcg@{K}_lo": low,
        f"ndcg@{K}_hi": high,
        f"recall@{K}": mean(found.recall),
        "mrr": mean(found.reciprocal_rank),
    }
