"""Ranking models as a build would fit them, scored on users who took no part in fitting or selecting them: each half of the
users asks the models that the other half chose (`train/rank/choice.py`).

`evaluate_stages` is the diagram. The models are those of the next build, not of the generation that serves, whose signals
know the whole log.
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
from train.build import JUDGING, moments_of, ranking_data
from train.offline_router import OfflineRouter
from train.progress import Progress, Quiet
from train.rank.choice import Choice, crossed
from train.rank.ranking_rows import in_first_half
from train.rank.visits import Visit, past_visits
from train.split import Split
from train.stages import Stages
from train.stages.learn import signals_of
from train.stages.rank import RankingData, RankModels, fit_models
from train.stages.read import Dataset, Inputs, open_build
from train.worth.stage_worth import Session, StageWorth, measure_stages


@dataclass(frozen=True, slots=True, eq=False)
class RankTrial:
    """Models, and the visits that score them. learning: folders of the training rows.  router: over the whole catalogue as of
    the judging moment.  first_half: (len(visits),), which visits are of the first half of the users.  ranking: the stage
    that serves in the next generation.
    """

    models: RankModels
    learning: Sequence[Path]
    router: OfflineRouter
    visits: list[Visit]
    first_half: NDArray[np.bool_]
    ranking: RankingSpec

    @property
    def chosen(self) -> str:
        """The name of the heavy model."""
        return self.models.heavy_system(self.models.card.choice)

    def session(self) -> Session:
        """All visits with the models of the next generation."""
        return self._session(self.models.card.choice, self.visits)

    def sessions(self) -> list[Session]:
        """The visits of either half with what the other half chose."""
        halves = crossed(self.first_half, self.models.card.of_halves)
        return [self._session(choice, [self.visits[at] for at in np.flatnonzero(half)]) for half, choice in halves]

    def _session(self, choice: Choice, visits: list[Visit]) -> Session:
        light, models = LightModel.from_json(self.models.light.read_bytes()), self.models
        return Session(visits, self.router, light, models.systems(choice), models.heavy_system(choice), self.ranking)


def evaluate_stages(config: Config, inputs: Inputs, *, n_users: int = 1_000, progress: Progress | None = None) -> StageWorth:
    """The worth of merge, light model, heavy models and slate at the end of the log, on requests of at most n_users.

    Shares the outputs of stages with builds. Raises ConfigError for what is wrong with the inputs, GenerationError if a build
    is at work there.
    """
    told = progress or Quiet()
    with open_build(config, inputs, told) as (stages, dataset):
        trial = rank_trial(stages, dataset, config, moments_of(stages, dataset, config), n_users=n_users)
        told.begin("evaluate", len(trial.visits))
        worth = measure_stages(trial.sessions(), chosen=trial.chosen, on_visit=told.advance)
        told.end(f"{worth.n_users:,} users")
    return worth


def rank_trial(stages: Stages, dataset: Dataset, config: Config, split: Split, *, n_users: int) -> RankTrial:
    """Fit the models, and prepare the visits that score them: those of the first n_users of the judging rows."""
    data = RankingData.required(ranking_data(stages, dataset, config, split))
    models = fit_models(stages, config, data)
    signals = signals_of(dataset, data.judged_at, config)
    router = OfflineRouter.over(signals, config, generation=JUDGING, rankings=models.card.rankings)
    users = np.load(data.judging / "users.npy")[:n_users]
    visits = list(past_visits(signals, router.spec, config, users=users, label_days=split.label_days))
    return RankTrial(models, data.learning, router, visits, in_first_half(users), ranking_of(router.spec, config.ranker))
