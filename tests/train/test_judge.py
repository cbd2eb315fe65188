"""Orders are judged as they are served: the heavy model decides only among what the light one passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ranker.features import Features
from train.judge import judge
from train.ranking_rows import RankingRows


@dataclass(frozen=True)
class ByColumn:
    """A model that scores by one column."""

    at: int
    columns: tuple[str, ...] = ("light", "heavy")

    def score(self, features: Features) -> np.ndarray:
        return features[:, self.at]


def rows_of(light: list[float], heavy: list[float], labels: list[float], starts: list[int]) -> RankingRows:
    features = np.array([light, heavy], np.float32).T
    found = np.add.reduceat(np.array(labels), starts[:-1]).astype(np.int64)
    return RankingRows(features, np.array(labels, np.float32), np.array(starts), found + 1)  # one purchase was not found


def test_perfect_heavy_order_within_what_light_passes_on() -> None:
    rows = rows_of(light=[1, 2, 3], heavy=[9, 1, 0], labels=[1, 0, 0], starts=[0, 3])
    everything = judge(rows, ByColumn(0), ByColumn(1), n_heavy=3)
    assert everything["merged"]["ndcg@10"] == everything["heavy"]["ndcg@10"] == 1
    assert everything["light"]["ndcg@10"] == pytest.approx(0.5)
    two = judge(rows, ByColumn(0), ByColumn(1), n_heavy=2)  # the relevant row stays third
    assert two["heavy"]["ndcg@10"] == pytest.approx(0.5)


def test_recall_counts_what_retrieval_missed() -> None:
    rows = rows_of(light=[1, 2, 3, 1], heavy=[0] * 4, labels=[1, 1, 0, 1], starts=[0, 3, 4])
    quality = judge(rows, ByColumn(0), ByColumn(1), n_heavy=1)
    assert quality["light"]["recall@10"] == quality["candidates"]["recall"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_the_best_rows_of_a_model() -> None:
    rows = rows_of(light=[1, 3, 2, 5, 4], heavy=[0] * 5, labels=[1, 1, 0, 1, 0], starts=[0, 3, 5])
    best = rows.best(ByColumn(0), 2)
    assert best.features[:, 0].tolist() == [3, 2, 5, 4] and best.labels.tolist() == [1, 0, 1, 0]
    assert best.starts.tolist() == [0, 2, 4] and best.groups.tolist() == [0, 0, 1, 1]
