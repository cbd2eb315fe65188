"""Ranking models as a build would fit them, and requests of users who had no part in fitting or choosing them.

`evaluate_stages` is the diagram. The models are those of the next build, not of the generation that serves: that one's were
fitted to rows which end before it, but its signals know the whole log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.config import Config
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from router.user_tower import UserTower
from shard.shard import Shard
from train.build import JUDGING, moments_of, ranking_data
from train.columns import as_columns
from train.describe import describe
from train.progress import Progress, Quiet
from train.ranking_rows import RankingRows
from train.stage_worth import StageModels, StageWorth, measure_stages
from train.stages import Stages
from train.stages.learn import learn, signals_of
from train.stages.rank import RankModels, fit_models
from train.stages.read import Source, read
from train.visits import Visit, past_visits


@dataclass(frozen=True, slots=True, eq=False)
class RankTrial:
    """The judging moment's shard, of the whole catalogue, and what is asked of it. learning: folders of rows learnt from."""

    models: RankModels
    learning: list[Path]
    shard: Shard
    visits: list[Visit]
    tower: UserTower | None

    @property
    def stage_models(self) -> StageModels:
        heavy = {f"heavy:{loss}": HeavyModel.from_bytes(path.read_bytes()) for loss, path in self.models.heavy.items()}
        light = LightModel.from_json(self.models.light.read_bytes())
        return StageModels(light, heavy, serving=f"heavy:{self.models.card.winner}")


def evaluate_stages(
    config: Config,
    items: Path,
    events: Path,
    *,
    users: Path | None = None,
    playlists: Path | None = None,
    n_users: int = 1_000,
    progress: Progress | None = None,
    now: float | None = None,
) -> StageWorth:
    """What merge, light model, heavy models and slate are worth on the end of the log, asked by at most n_users.

    items, events, users, playlists, now: as for `train.build.build`, with which the outputs of stages are shared. Raises
    ConfigError for what is wrong with the input, GenerationError if a build is at work there.
    """
    told = progress or Quiet()
    created = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    with Stages(Path(config.storage.path) / "build", told) as stages:
        source = read(stages, config, items=items, events=events, users=users, playlists=playlists, created=created)
        trial = rank_trial(stages, source, config, n_users=n_users)
        told.begin("evaluate", len(trial.visits))
        worth = measure_stages(trial.visits, trial.shard, trial.stage_models, config, tower=trial.tower, on_visit=told.advance)
        told.end(f"{worth.n_users:,} users")
    return worth


def rank_trial(stages: Stages, source: Source, config: Config, *, n_users: int) -> RankTrial:
    """Fit the models and make ready what judges them."""
    split = moments_of(stages, source, config)
    learning, judging = ranking_data(stages, source, config, split)
    models = fit_models(stages, config, learning=learning, judging=judging)
    signals = signals_of(source, learn(stages, source, config, moment=JUDGING, as_of=split.judging), config)
    spec = describe(signals, config, generation=JUDGING, created="", shard_items=(len(source.catalogue),))
    shard = Shard.from_columns(as_columns(signals, config.catalog), spec=spec, shard=0)
    _, test = RankingRows.load(judging).halves()
    visits = past_visits(signals, spec, config, users=test.users[:n_users], label_days=split.label_days)
    return RankTrial(models, learning, shard, list(visits), signals.tower)
