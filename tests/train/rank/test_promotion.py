"""A stage serves if it is better, user by user, than what would serve without it; what cannot be told does not serve."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.spec import RankStage
from tests.train.rank.ranking_world import COLUMNS, Ranking, ranking
from tests.worlds import tiny_config
from train.progress import Quiet
from train.rank.choice import N_USERS_MIN, promote
from train.rank.metrics import interval
from train.rank.ranking_rows import RankingRows
from train.stages import Stages
from train.stages.learn import Learned
from train.stages.rank import RankingData, fit_models

STAGES: tuple[RankStage, ...] = ("merged", "light", "heavy")
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 400)


def ndcgs(light: float, heavy: float, *, n_users: int = 400) -> dict[RankStage, np.ndarray]:
    """Of users whose order by the models is better than the merged one by so much, give or take."""
    merged = RNG.random(n_users)
    noise = NOISE[:n_users] - NOISE[:n_users].mean()
    return {"merged": merged, "light": merged + light + noise, "heavy": merged + heavy + noise[::-1]}


@pytest.mark.parametrize(
    ("light", "heavy", "stage"),
    [
        (0.1, 0.2, "heavy"),
        (0.2, 0.0, "light"),  # as on 671 users of MovieLens: the heavy model undoes what the light one did
        (0.1, 0.1, "light"),
        (0.0, 0.0, "merged"),
        (-0.1, 0.1, "heavy"),  # better than the merged order, which would serve without it
        (-0.2, -0.1, "merged"),  # better than the light model, which would not serve
    ],
)
def test_a_stage_serves_if_it_is_better_than_what_serves_without_it(light: float, heavy: float, stage: str) -> None:
    found = promote("catboost", ndcgs(light, heavy))
    assert (found.heavy, found.stage) == ("catboost", stage)


def test_why_says_what_each_stage_adds_to_what() -> None:
    level = np.full(400, 0.5)
    told = promote("onnx", {"merged": level, "light": level + 0.25, "heavy": level + 0.125})
    assert told.line == (
        "light serves; light adds +0.250 (+0.250 … +0.250) to merged; heavy adds -0.125 (-0.125 … -0.125) to light: worse;"
        " ndcg@10 by 400 users"
    )
    assert "light adds +0.000 (+0.000 … +0.000) to merged: no clear gain" in promote("onnx", dict.fromkeys(STAGES, level)).why


def test_too_few_users_tell_nothing_however_clear_they_are() -> None:
    clear = ndcgs(0.5, 0.9, n_users=N_USERS_MIN)
    assert promote("catboost", clear).stage == "heavy"
    clear["merged"][7] = clear["light"][7] = clear["heavy"][7] = np.nan  # one who does not count
    told = promote("catboost", clear)
    assert (told.stage, told.why) == ("merged", "49 users judged, and at least 50 are needed to tell models apart")
    assert promote("catboost", {stage: values[:0] for stage, values in clear.items()}).stage == "merged"


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n_users=st.integers(1, 120), n_levels=st.integers(1, 5))
def test_what_serves_is_never_told_to_be_worse_than_what_it_replaces(seed: int, n_users: int, n_levels: int) -> None:
    rng = np.random.default_rng(seed)
    drawn: dict[RankStage, np.ndarray] = {stage: rng.integers(0, n_levels, n_users) / n_levels for stage in STAGES}
    stage = promote("catboost", drawn).stage
    if stage != "merged":
        assert n_users >= N_USERS_MIN
        beaten = [other for other in ("merged", "light") if interval(drawn[stage] - drawn[other])[0] > 0]
        assert beaten, f"{stage} serves and is better than nothing"


def rows(folder: Path, made: Ranking, labels: np.ndarray) -> Path:
    """As a stage leaves them. The merged order is as good as any, since the truth does not go by place."""
    n_groups = len(made.starts) - 1
    n_bought = np.maximum(np.bincount(made.groups, labels, n_groups), 1).astype(np.int64)
    keys = np.arange(len(labels), dtype=np.int64)
    folder.mkdir()
    RankingRows(made.features, labels, keys, made.starts, n_bought, np.arange(n_groups)).save(folder)
    (folder / "columns.json").write_bytes(msgspec.json.encode(COLUMNS))
    return folder


@pytest.mark.parametrize("misled", [False, True])
def test_models_that_learnt_the_wrong_thing_do_not_serve(tmp_path: Path, misled: bool) -> None:
    past, later = ranking(seed=1), ranking(seed=2, n_groups=2 * N_USERS_MIN)
    learning = rows(tmp_path / "learning", past, 1 - past.labels if misled else past.labels)
    judging = rows(tmp_path / "judging", later, later.labels)
    judged_at = Learned("judging", 0, tmp_path, {}, None, None)
    settings = {"ranker": {"n_trees": 20, "depth": 3, "losses": ("Logloss",)}}
    with Stages(tmp_path / "build", Quiet()) as stages:
        models = fit_models(stages, tiny_config(tmp_path, train=settings), RankingData([learning], judging, judged_at))
    (found,) = models.ranking.rankings
    assert (found.stage == "merged") is misled and ("to merged: worse" in found.why) is misled
    assert models.card.ranking == found and found.line in models.ranking.files["models/card.md"].read_text()
