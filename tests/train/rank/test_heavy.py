"""The heavy fit: real trees, better than any one column, reproducible to the byte, cut where it is told to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.config.train import RankTrainSection
from ranker.heavy import HeavyModel
from tests.train.rank.ranking_world import COLUMNS, Ranking, ndcg_at_k, ranking
from train.rank.choice import choose
from train.rank.heavy import Examples, FittedHeavy, Loss, fit_heavy

SECTION = RankTrainSection(n_trees=60, depth=4, learning_rate=0.1)


@pytest.fixture(scope="module")
def learning() -> Ranking:
    return ranking(n_groups=100)


@pytest.fixture(scope="module")
def later() -> Examples:
    made = ranking(seed=2)
    return made.features, made.labels, made.groups


@pytest.fixture(scope="module")
def fitted(learning: Ranking, later: Examples) -> FittedHeavy:
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    return fit_heavy(*rows, section=SECTION, seed=0, validation=later)


def test_it_orders_unseen_rows_nearly_as_well_as_the_truth(fitted: FittedHeavy) -> None:
    unseen = ranking(seed=1)
    best = ndcg_at_k(unseen.truth, unseen.labels, unseen.starts, 10)
    assert ndcg_at_k(HeavyModel.from_bytes(fitted.blob).score(unseen.features), unseen.labels, unseen.starts, 10) > 0.95 * best


def test_it_says_what_it_learnt_from_and_what_matters(fitted: FittedHeavy, learning: Ranking) -> None:
    assert fitted.n_trees == 60 and fitted.n_rows == len(learning.labels) and fitted.n_positive == learning.labels.sum()
    assert [name for name, _ in fitted.importances[:2]] == ["ann.rank", "dot"] and fitted.importances[-1] == ("constant", 0)
    assert sum(share for _, share in fitted.importances) == pytest.approx(100)


def test_the_same_rows_give_the_same_bytes(fitted: FittedHeavy, learning: Ranking, later: Examples) -> None:
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    again = fit_heavy(*rows, section=SECTION, seed=0, validation=later)
    assert again.blob == fitted.blob


def test_the_ensemble_ends_where_it_is_told_to(learning: Ranking, later: Examples, tmp_path: Path) -> None:
    many = RankTrainSection(n_trees=205, depth=6, learning_rate=0.5)
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    whole = fit_heavy(*rows, section=many, seed=0, validation=later)
    assert whole.n_trees == 205
    assert whole.curve.stops.tolist() == [*range(10, 201, 10), 205]
    assert whole.curve.learnt.shape == (21, 100) and whole.curve.later.shape == (21, len(np.unique(later[2])))
    choice = choose({"Logloss": whole.curve}, np.ones(whole.curve.later.shape[1], bool))
    n_trees = choice.n_trees["Logloss"]
    points = {n: later for n, _, later in whole.curve.points}
    assert max(points, key=lambda n: points[n]) <= n_trees < 205 and points[n_trees] > points[205]

    cut = whole.first(n_trees)
    model = HeavyModel.from_bytes(cut.blob)
    assert cut.n_trees == n_trees and model.columns == COLUMNS
    starts = np.flatnonzero(np.append(np.diff(later[2], prepend=-1), 1))
    assert ndcg_at_k(model.score(later[0]), later[1], starts, 10) == pytest.approx(points[n_trees], abs=1e-4)
    assert whole.first(n_trees).blob == cut.blob and whole.first(205).importances == whole.importances
    assert fit_heavy(*rows, section=many, seed=0).curve.points == ()

    whole.save(tmp_path)
    kept = FittedHeavy.load(tmp_path)
    assert (kept.blob, kept.n_trees, kept.n_rows, kept.n_positive) == (whole.blob, 205, whole.n_rows, whole.n_positive)
    np.testing.assert_array_equal(kept.curve.later, whole.curve.later)


def test_the_curve_is_what_judges_see_of_rows_that_were_passed_on(learning: Ranking, later: Examples) -> None:
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    _, labels, groups = later
    n_found = np.bincount(groups[labels > 0], minlength=int(groups.max()) + 1)
    whole = fit_heavy(*rows, section=SECTION, seed=0, validation=later)
    more = fit_heavy(*rows, section=SECTION, seed=0, validation=later, n_relevant=np.full(len(n_found), 10))
    ideal = np.cumsum(1 / np.log2(np.arange(2, 12)))
    share = ideal[np.minimum(n_found, 10) - 1] / ideal[-1]
    np.testing.assert_allclose(more.curve.later, np.nan_to_num(whole.curve.later * np.where(n_found, share, 1)))


def test_a_moment_at_which_nobody_asks_is_a_curve_of_nobody(learning: Ranking) -> None:
    nobody = learning.features[:0], learning.labels[:0], learning.groups[:0]
    rows = (learning.features, learning.labels, learning.groups, COLUMNS)
    fitted = fit_heavy(*rows, section=SECTION, seed=0, validation=nobody, n_relevant=np.empty(0, np.int64))
    assert fitted.curve.later.shape == (6, 0)
    assert choose({"Logloss": fitted.curve}, np.empty(0, bool)).n_trees == {"Logloss": 60}


def test_progress_is_told(learning: Ranking) -> None:
    trees: list[int] = []
    fit_heavy(learning.features, learning.labels, learning.groups, COLUMNS, section=SECTION, seed=0, on_tree=trees.append)
    assert trees == list(range(1, len(trees) + 1)) and len(trees) > 10


@pytest.mark.parametrize("n_groups", [1, 3])
def test_few_groups_give_a_model_too(n_groups: int) -> None:
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
