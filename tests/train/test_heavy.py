"""The heavy fit: real trees, better than any one column, reproducible to the byte, cut where validation says."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.config import RankTrainSection
from ranker.heavy import HeavyModel
from tests.train.ranking_world import COLUMNS, Ranking, ranking
from train.heavy import FittedHeavy, Loss, fit_heavy
from train.metrics import ndcg_at_k

SECTION = RankTrainSection(n_trees=60, depth=4, learning_rate=0.1)


@pytest.fixture(scope="module")
def learning() -> Ranking:
    return ranking(n_groups=100)


@pytest.fixture(scope="module")
def fitted(learning: Ranking) -> FittedHeavy:
    return fit_heavy(learning.features, learning.labels, learning.groups, COLUMNS, section=SECTION, seed=0)


def test_it_orders_unseen_rows_nearly_as_well_as_the_truth(fitted: FittedHeavy) -> None:
    unseen = ranking(seed=1)
    best = ndcg_at_k(unseen.truth, unseen.labels, unseen.starts, 10)
    assert ndcg_at_k(HeavyModel.from_bytes(fitted.blob).score(unseen.features), unseen.labels, unseen.starts, 10) > 0.95 * best


def test_it_says_what_it_learnt_from_and_what_matters(fitted: FittedHeavy, learning: Ranking) -> None:
    learnt = learning.labels[: len(learning.labels) * 9 // 10]
    assert 10 < fitted.n_trees <= 60 and fitted.n_rows == len(learnt) and fitted.n_positive == learnt.sum()
    assert [name for name, _ in fitted.importances[:2]] == ["ann.rank", "dot"] and fitted.importances[-1] == ("constant", 0)
    assert sum(share for _, share in fitted.importances) == pytest.approx(100)


def test_the_same_rows_give_the_same_bytes(fitted: FittedHeavy, learning: Ranking) -> None:
    again = fit_heavy(learning.features, learning.labels, learning.groups, COLUMNS, section=SECTION, seed=0)
    assert again.blob == fitted.blob


def test_the_ensemble_ends_where_it_begins_to_overfit(learning: Ranking) -> None:
    many = RankTrainSection(n_trees=200, depth=6, learning_rate=0.5)
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    assert 0 < fit_heavy(*rows, section=many, seed=0).n_trees < 100
    assert fit_heavy(*rows, section=many, seed=0, held_out_share=0).n_trees == 200


def test_progress_is_told(learning: Ranking) -> None:
    trees: list[int] = []
    fit_heavy(learning.features, learning.labels, learning.groups, COLUMNS, section=SECTION, seed=0, on_tree=trees.append)
    assert trees == list(range(1, len(trees) + 1)) and len(trees) > 10


@pytest.mark.parametrize("n_groups", [1, 3])
def test_too_few_groups_to_hold_any_out_still_give_a_model(n_groups: int) -> None:
    made = ranking(n_groups=n_groups)
    fitted = fit_heavy(made.features, made.labels, made.groups, COLUMNS, section=SECTION, seed=0)
    assert fitted.n_trees == 60 and fitted.n_rows == len(made.labels)


@pytest.mark.parametrize("loss", ["YetiRank", "QuerySoftMax", "LambdaMart"])
def test_losses_over_groups_work_too(learning: Ranking, loss: Loss) -> None:
    short = RankTrainSection(n_trees=15, depth=3, learning_rate=0.2)
    made = fit_heavy(learning.features, learning.labels, learning.groups, COLUMNS, section=short, seed=0, loss=loss)
    scores = HeavyModel.from_bytes(made.blob).score(learning.features)
    assert ndcg_at_k(scores, learning.labels, learning.starts, 10) > ndcg_at_k(
        np.zeros_like(scores), learning.labels, learning.starts, 10
    )
