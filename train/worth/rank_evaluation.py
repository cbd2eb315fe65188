"""Ranking models as a build would fit them, measured on users who had no part in fitting them or choosing which serve: each
half of the users judges what the other half chose (`train/rank/choice.py`).

`evaluate_stages` is the diagram. The models are those of the next build, not of the generation that serves: that one's were
fitted to rows which end before it, but its signals know the whole log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.ranking import ranking_of
from cluster.spec import RankingSpec
from ranker.light import LightModel
from router.users.user_tower import UserTower
from shard.shard import Shard
from train.build import JUDGING, moments_of, ranking_data
from train.columns import as_columns
from train.describe import describe
from train.progress import Progress, Quiet
from train.rank.choice import Choice, crossed
from train.rank.ranking_rows import in_first_half
from train.rank.visits import Visit, past_visits
from train.split import Split
from train.stages import Stages
from train.stages.learn import learn, signals_of
from train.stages.rank import RankingData, RankModels, fit_models
from train.stages.read import Dataset, Inputs, open_build
from train.worth.stage_worth import Asked, StageModels, StageWorth, measure_stages


@dataclass(frozen=True, slots=True, eq=False)
class RankTrial:
    """The judging moment's shard, of the whole catalogue, and what is asked of it. learning: folders of rows learnt from.

    first_half: (len(visits),), of the users who ask.  ranking: which stage serves, as the next generation will say.
    """

    models: RankModels
    learning: Sequence[Path]
    shard: Shard
    visits: list[Visit]
    first_half: NDArray[np.bool_]
    ranking: RankingSpec
    tower: UserTower | None

    @property
    def light(self) -> LightModel:
        return LightModel.from_json(self.models.light.read_bytes())

    @property
    def chosen(self) -> str:
        """The name of the heavy model."""
        return self.models.heavy_system(self.models.card.choice)

    @property
    def stage_models(self) -> StageModels:
        """As the next generation will have them."""
        return self._chosen(self.models.card.choice)

    def asked(self) -> list[Asked]:
        """Of either half what the other half chose."""
        halves = crossed(self.first_half, self.models.card.of_halves)
        return [self.asked_of(self._chosen(choice), half) for half, choice in halves]

    def asked_of(self, models: StageModels, of: NDArray[np.bool_] | None = None) -> Asked:
        """Of some visits or of all, models of your own."""
        visits = self.visits if of is None else [self.visits[at] for at in np.flatnonzero(of)]
        return Asked(visits, self.shard, models, self.tower)

    def _chosen(self, choice: Choice) -> StageModels:
        return StageModels(
            self.light, self.models.systems(choice), chosen=self.models.heavy_system(choice), stage=self.ranking.stage
        )


def evaluate_stages(config: Config, inputs: Inputs, *, n_users: int = 1_000, progress: Progress | None = None) -> StageWorth:
    """What merge, light model, heavy models and slate are worth on the end of the log, asked by at most n_users.

    Shares the outputs of stages with builds. Raises ConfigError for what is wrong with the inputs, GenerationError if a build
    is at work there.
    """
    told = progress or Quiet()
    with open_build(config, inputs, told) as (stages, dataset):
        trial = rank_trial(stages, dataset, config, moments_of(stages, dataset, config), n_users=n_users)
        told.begin("evaluate", len(trial.visits))
        worth = measure_stages(trial.asked(), config, chosen=trial.chosen, ranking=trial.ranking, on_visit=told.advance)
        told.end(f"{worth.n_users:,} users")
    return worth


def rank_trial(stages: Stages, dataset: Dataset, config: Config, split: Split, *, n_users: int) -> RankTrial:
    """Fit the models and make ready what judges them: the first n_users of the log that have a say."""
    data = RankingData.required(ranking_data(stages, dataset, config, split))
    models = fit_models(stages, config, data)
    signals = signals_of(dataset, learn(stages, dataset, config, moment=JUDGING, as_of=split.judging), config)
    spec = describe(
        signals, config, generation=JUDGING, created="", shard_items=(len(dataset.catalogue),), rankings=models.card.rankings
    )
    shard = Shard.from_columns(as_columns(signals, config.catalog), spec=spec, shard=0)
    users = np.load(data.judging / "users.npy")[:n_users]
    visits = past_visits(signals, spec, config, users=users, label_days=split.label_days)
    ranking = ranking_of(spec, config.ranker)
    return RankTrial(models, data.learning, shard, list(visits), in_first_half(users), ranking, signals.tower)
