"""The light fit finds a known order, ignores what cannot order, bounds its rows and repeats itself."""

from __future__ import annotations

import numpy as np
import pytest

import train.rank.light
from ranker.light import LightModel
from tests.train.rank.ranking_world import COLUMNS, Ranking, ndcg_at_k, ranking
from train.rank.light import fit_light


@pytest.fixture(scope="module")
def learning() -> Ranking:
    return ranking(n_groups=150)


@pytest.fixture(scope="module")
def fitted(learning: Ranking) -> LightModel:
    return fit_light(learning.features, learning.labels, learning.groups, COLUMNS, seed=0)


def test_it_orders_unseen_rows_nearly_as_well_as_the_truth(fitted: LightModel) -> None:
    unseen = ranking(seed=1)
    best = ndcg_at_k(unseen.truth, unseen.labels, unseen.starts, 10)
    assert ndcg_at_k(fitted.score(unseen.features), unseen.labels, unseen.starts, 10) > 0.97 * best
    assert ndcg_at_k(unseen.features[:, 0], unseen.labels, unseen.starts, 10) < 0.95 * best


def test_a_curve_goes_up_and_down_and_knows_what_missing_means(fitted: LightModel) -> None:
    curves = {curve.column: curve for curve in fitted.curves}
    bump = np.cumsum((0, *curves["bump"].steps))
    assert bump.argmax() not in (0, len(bump) - 1) and bump.max() > bump[0] + 0.5 < bump.max() - bump[-1] + 0.5
    present = np.cumsum((0, *curves["ann.rank"].steps))
    assert curves["ann.rank"].missing < present.min()


def test_what_is_equal_within_every_request_has_no_curve(fitted: LightModel) -> None:
    assert {curve.column for curve in fitted.curves} == {"dot", "bump", "ann.rank", "noise"}
    assert fitted.columns == COLUMNS


def test_knots_span_the_values(fitted: LightModel, learning: Ranking) -> None:
    for curve in fitted.curves:
        values = learning.features[:, COLUMNS.index(curve.column)]
        assert curve.knots[0] == np.nanmin(values) and curve.knots[-1] == np.nanmax(values)


def test_its_scores_are_log_odds(fitted: LightModel, learning: Ranking) -> None:
    likely = 1 / (1 + np.exp(-fitted.score(learning.features)))
    assert likely.mean() == pytest.approx(learning.labels.mean(), abs=1e-3)


def test_the_same_rows_give_the_same_file(fitted: LightModel, learning: Ranking) -> None:
    again = fit_light(learning.features, learning.labels, learning.groups, COLUMNS, seed=0)
    assert again.to_json() == fitted.to_json()


def test_beyond_the_row_limit_negatives_are_sampled_and_still_count_in_full(
    learning: Ranking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.rank.light, "N_ROWS_MAX", int(learning.labels.sum()) + 1_000)
    sampled = fit_light(learning.features, learning.labels, learning.groups, COLUMNS, seed=0)
    likely = 1 / (1 + np.exp(-sampled.score(learning.features)))
    assert likely.mean() == pytest.approx(learning.labels.mean(), rel=0.1)


def test_it_learns_from_another_model_s_probabilities(learning: Ranking) -> None:
    probabilities = (1 / (1 + np.exp(-learning.truth))).astype(np.float32)
    distilled = fit_light(learning.features, probabilities, learning.groups, COLUMNS, seed=0)
    assert np.corrcoef(distilled.score(learning.features), learning.truth)[0, 1] > 0.8


def test_progress_is_told(learning: Ranking) -> None:
    passes: list[int] = []
    fit_light(learning.features, learning.labels, learning.groups, COLUMNS, seed=0, on_pass=passes.append)
    assert passes == list(range(1, len(passes) + 1)) and 3 <= len(passes) < train.rank.light.PASSES_MAX


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_alone_still_gives_a_model(learning: Ranking, label: float) -> None:
    labels = np.full_like(learning.labels, label)
    scores = fit_light(learning.features, labels, learning.groups, COLUMNS, seed=0).score(learning.features)
    assert np.isfinite(scores).all() and (np.sign(scores) == (1 if label else -1)).all()


def test_columns_that_are_all_missing_or_nearly_constant_do_no_harm() -> None:
    made = ranking(n_groups=20)
    features = made.features.copy()
    features[:, 1] = np.nan
    features[:, 5] = 1e9
    features[0, 5] = np.nextafter(np.float32(1e9), np.float32(2e9))
    scores = fit_light(features, made.labels, made.groups, COLUMNS, seed=0).score(features)
    assert np.isfinite(scores).all()


def test_of_many_columns_those_that_move_the_score_are_kept() -> None:
    learning, unseen = ranking(n_groups=100), ranking(seed=1)
    rng = np.random.default_rng(3)

    def widened(made: Ranking) -> np.ndarray:
        return np.concatenate((rng.normal(size=(len(made.labels), 20)).astype(np.float32), made.features), axis=1)

    columns = (*(f"noise-{at}" for at in range(20)), *COLUMNS)
    model = fit_light(widened(learning), learning.labels, learning.groups, columns, seed=0, n_curves_max=3)
    assert sorted(curve.column for curve in model.curves) == ["ann.rank", "bump", "dot"]
    best = ndcg_at_k(unseen.truth, unseen.labels, unseen.starts, 10)
    assert ndcg_at_k(model.score(widened(unseen)), unseen.labels, unseen.starts, 10) > 0.95 * best
