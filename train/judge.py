"""How good the orders of merge, light and heavy model are, on rows that no model has seen and that lie later in time."""

from __future__ import annotations

import numpy as np

from ranker.model import Model
from train.metrics import ndcg_at_k, recall_at_k
from train.ranking_rows import RankingRows

Quality = dict[str, dict[str, float]]

_K = 10


def judge(rows: RankingRows, light: Model, heavy: Model, *, n_heavy: int) -> Quality:
    """{"merged", "light", "heavy"} -> {"ndcg@10", "recall@10"}, and {"candidates"} -> {"recall"}, the bound for all three.

    Orders are made as they are when serving: the heavy model sees the best `n_heavy` of the light one's. Recall is of
    everything bought in the window, found by retrieval or not; ndcg is of what was found.
    """
    orders = {name: np.empty(len(rows.labels), np.float32) for name in ("merged", "light", "heavy")}
    for begin, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        features = rows.features[begin:end]
        by_light = np.argsort(-light.score(features), kind="stable")
        head = by_light[:n_heavy]
        by_heavy = np.concatenate((head[np.argsort(-heavy.score(features[head]), kind="stable")], by_light[n_heavy:]))
        for name, order in (("merged", np.arange(end - begin)), ("light", by_light), ("heavy", by_heavy)):
            orders[name][begin + order] = -np.arange(end - begin, dtype=np.float32)
    quality = {
        name: {
            f"ndcg@{_K}": ndcg_at_k(scores, rows.labels, rows.starts, _K),
            f"recall@{_K}": recall_at_k(scores, rows.labels, rows.starts, _K, n_wanted=rows.n_bought),
        }
        for name, scores in orders.items()
    }
    return quality | {"candidates": {"recall": rows.recall}}
