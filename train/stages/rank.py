"""Stages "light", "heavy-<loss>", "judge" and "card": the models that order candidates, which of them serve, and their quality
for users who did not choose them. Or "ranking" alone: that there are no models, and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.config.train import Loss, RankTrainSection
from cluster.errors import ConfigError
from cluster.spec import HeavyKind, RankingSpec, columns_hash
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.model import Model
from ranker.onnx_model import OnnxModel
from ranker.ranker import HEAVY_FILE, LIGHT_FILE, ONNX_FILE
from train.pictures import can_draw
from train.rank.card import CARD_FILE, FORMAT, FitReport, ModelCard, draw_card, markdown
from train.rank.choice import Choice, choose, crossed
from train.rank.heavy import FittedHeavy, fit_heavy, settings_of
from train.rank.judge import Judged, Quality, judge
from train.rank.light import PASSES_MAX, fit_light
from train.rank.ranking_rows import RankingRows, in_first_half
from train.stages.learn import Learned
from train.stages.outputs import Made, Stages
from train.stages.rows import columns_of

_CARD_MD, _CARD_SVG = "models/card.md", "models/card.svg"


OWN = "heavy:onnx"
"""The name among systems of the model in train.ranker.onnx_file."""


@dataclass(frozen=True, slots=True)
class RankingData:
    """Folders of `RankingRows`. learning: what models learn from.  judging: of a later moment, what they are judged by.

    judged_at: what was fitted as of that later moment.
    """

    learning: Sequence[Path]
    judging: Path
    judged_at: Learned

    def checked(self) -> RankingData | NothingToRankBy:
        """What was bought among the candidates and what was not has to be there, to learn from as well as to judge by."""
        learnt = RankingRows.together([RankingRows.load(folder) for folder in self.learning])
        for rows, verb in ((learnt, "learn from"), (RankingRows.load(self.judging), "judge by")):
            if not _two_sided(rows):
                users = f"{len(rows.users):,} users to {verb}"
                return NothingToRankBy(
                    f"the log has {users}, who bought {'all' if rows.labels.any() else 'none'} of the candidates"
                )
        return self

    @classmethod
    def required(cls, data: RankingData | NothingToRankBy) -> RankingData:
        """Raises ConfigError if there is nothing to rank by, for who wants nothing but models."""
        if isinstance(data, NothingToRankBy):
            raise ConfigError(f"no ranking models: {data.why}")
        return data


@dataclass(frozen=True, slots=True)
class NothingToRankBy:
    """why: in a line."""

    why: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a generation gets to order candidates by. files: the content of models/, by name in the generation.  quality: empty
    if nothing was judged.  rankings: what its spec says of the stage that serves.
    """

    files: dict[str, Path]
    quality: Quality
    rankings: tuple[RankingSpec, ...]


@dataclass(frozen=True, slots=True)
class RankModels:
    """files: the content of models/, by name in the generation.  heavy: by loss, with all trees.  own: by name among systems,
    the heavy model that was made elsewhere, if there is one.  columns: what models read.
    """

    files: dict[str, Path]
    light: Path
    heavy: dict[Loss, FittedHeavy]
    own: dict[str, OnnxModel]
    columns: tuple[str, ...]
    card: ModelCard

    @property
    def ranking(self) -> Ranking:
        """Of what either half of the users says of what the other half chose."""
        return Ranking(self.files, self.card.test, self.card.rankings)

    def systems(self, choice: Choice) -> dict[str, Model]:
        """By system name, the trees of each loss as many as the choice wants."""
        return {**_systems(self.heavy, choice), **self.own}

    def heavy_system(self, choice: Choice) -> str:
        """The name of the heavy model: the one that was made elsewhere if it is configured, or the choice's."""
        return OWN if self.card.heavy == "onnx" else choice.system


def unranked(stages: Stages, nothing: NothingToRankBy) -> Ranking:
    """No models: the merged order serves, whichever heavy model is configured."""

    def make(folder: Path) -> Made:
        (folder / "card.md").write_text(f"# Ranking models\n\nNone, candidates stay in their merged order: {nothing.why}.\n")
        return Made("no models, candidates stay in their merged order", 0)

    folder = stages.run("ranking", inputs=nothing.why, total=0, make=make)
    rankings = tuple(RankingSpec(heavy, "merged", nothing.why) for heavy in get_args(HeavyKind))
    return Ranking({_CARD_MD: folder / "card.md"}, {}, rankings)


def fit_models(stages: Stages, config: Config, data: RankingData) -> RankModels:
    """A light model, and a heavy one with each loss, of which the best is the heavy model; which of them serve, the judge says.

    A heavy model learns from what the light one would pass on to it: on Complete Journey a quarter of the rows and a fifth
    of the time, for an ndcg@10 that is lower by .001.
    """
    learning, judging = data.learning, data.judging
    columns = columns_of(*learning, judging)
    section, seed, progress = config.train.ranker, config.train.seed, stages.progress
    own_files, own = _plugged_in(section, columns)
    n_heavy = config.ranker.heavy.n_heavy
    learnt = RankingRows.together([RankingRows.load(folder) for folder in learning])
    later = RankingRows.load(judging)

    def make_light(folder: Path) -> Made:
        model = fit_light(learnt.features, learnt.labels, learnt.groups, columns, seed=seed, on_pass=progress.advance)
        (folder / "light.json").write_bytes(model.to_json())
        return Made(f"{len(model.curves)} curves from {len(learnt.labels):,} rows", len(learnt.labels))

    inputs = [*(folder.name for folder in learning), seed]
    light = stages.run("light", inputs=inputs, total=PASSES_MAX, make=make_light) / "light.json"
    light_model = LightModel.from_json(light.read_bytes())
    passed, passed_later = learnt.best(light_model, n_heavy), later.best(light_model, n_heavy)
    if not _two_sided(passed):  # of a handful of users, the light model may pass on all that they bought or nothing of it
        passed = learnt

    def heavy(loss: Loss) -> Path:
        def make(folder: Path) -> Made:
            fitted = fit_heavy(
                passed.features,
                passed.labels,
                passed.groups,
                columns,
                section=section,
                seed=seed,
                loss=loss,
                validation=(passed_later.features, passed_later.labels, passed_later.groups),
                n_relevant=later.n_found,
                on_tree=progress.advance,
            )
            fitted.save(folder)
            return Made(f"{fitted.n_trees} trees from {fitted.n_rows:,} rows", fitted.n_rows)

        settings = [section.n_trees, section.depth, section.learning_rate, settings_of(loss)]
        inputs = [light.parent.name, judging.name, n_heavy, seed, *settings]
        return stages.run(f"heavy-{loss}", inputs=inputs, total=section.n_trees, make=make)

    fitted = {loss: heavy(loss) for loss in section.losses}
    fits = {loss: FittedHeavy.load(folder) for loss, folder in fitted.items()}
    curves = {loss: fit.curve for loss, fit in fits.items()}

    def judged_by(users: NDArray[np.bool_], choice: Choice) -> Judged:
        systems: dict[str, Model] = {**_systems(fits, choice), **own}
        return judge(later.of_users(users), light_model, systems, n_heavy=n_heavy).also("heavy", choice.system)

    with stages.anew("judge") as stage:
        everybody, first = np.ones(len(later.users), bool), in_first_half(later.users)
        choice, of_halves = choose(curves, everybody), (choose(curves, first), choose(curves, ~first))
        judged = Judged.together([judged_by(half, other) for half, other in crossed(first, of_halves)])
        chose = judged_by(everybody, choice)
        kinds: dict[HeavyKind, str] = {"catboost": "heavy", **({"onnx": OWN} if own else {})}
        rankings = tuple(judged.ranking(kind, system) for kind, system in kinds.items())
        heavy_kind = config.ranker.heavy.model if config.ranker.heavy.model in kinds else "catboost"
        judged, chose = (by_users.also("heavy", kinds[heavy_kind]) for by_users in (judged, chose))
        quality = judged.quality()
        stage.report(_told(quality, rankings, heavy_kind), len(later.labels))

    card = ModelCard(
        FORMAT,
        columns_hash(columns),
        columns,
        section.model_dump(mode="json"),
        n_heavy,
        choice,
        of_halves,
        tuple(_report(loss, fit, choice) for loss, fit in fits.items()),
        heavy=heavy_kind,
        rankings=rankings,
        chose=chose.quality(),
        test=quality,
    )
    files = {LIGHT_FILE: light, **own_files, **_kept(stages, card, fits[choice.winner], origin=fitted[choice.winner].name)}
    return RankModels(files, light, fits, own, columns, card)


def _two_sided(rows: RankingRows) -> bool:
    """Whether some candidates were bought and some were not, and any feature differs."""
    bought = rows.labels > 0
    return bool(bought.any() and not bought.all() and (rows.features != rows.features[:1]).any())


def _systems(fits: Mapping[Loss, FittedHeavy], choice: Choice) -> dict[str, HeavyModel]:
    return {f"heavy:{loss}": HeavyModel.from_bytes(fit.first(choice.n_trees[loss]).blob) for loss, fit in fits.items()}


def _told(quality: Quality, rankings: Sequence[RankingSpec], heavy: HeavyKind) -> str:
    scores = ", ".join(f"{name} {quality[name]['ndcg@10']:.3f}" for name in ("merged", "light", "heavy"))
    stage = next(ranking.stage for ranking in rankings if ranking.heavy == heavy)
    return f"ndcg@10: {scores}: {stage} serves"


def _plugged_in(section: RankTrainSection, columns: tuple[str, ...]) -> tuple[dict[str, Path], dict[str, OnnxModel]]:
    """The ONNX model of train.ranker.onnx_file, if one is named: its file, by the name in the generation, and itself, by that
    among systems. Raises ConfigError or SchemaMismatch if it does not fit.
    """
    if not section.onnx_file:
        return {}, {}
    path = Path(section.onnx_file)
    try:
        return {ONNX_FILE: path}, {OWN: OnnxModel.from_bytes(path.read_bytes(), columns)}
    except OSError as error:
        raise ConfigError(f"train.ranker.onnx_file: {path} cannot be read: {error.strerror}") from None


def _report(loss: Loss, fit: FittedHeavy, choice: Choice) -> FitReport:
    short = fit.first(choice.n_trees[loss])
    return FitReport(loss, short.n_trees, short.n_rows, short.n_positive, fit.curve.points, short.importances)


def _kept(stages: Stages, card: ModelCard, winner: FittedHeavy, *, origin: str) -> dict[str, Path]:
    """The heavy model that serves and the card's files, by their names in the generation; the picture where matplotlib is.

    origin: what names the winner's fit.
    """

    def make(folder: Path) -> Made:
        (folder / "heavy.cbm").write_bytes(winner.first(card.won.n_trees).blob)
        (folder / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
        (folder / "card.md").write_text(markdown(card))
        if can_draw():
            draw_card(card, folder / "card.svg")
        return Made(f"{card.winner} of {len(card.fits)} losses, {card.won.n_trees} trees", len(card.fits))

    folder = stages.run("card", inputs=[msgspec.to_builtins(card), origin], total=0, make=make)
    files = {HEAVY_FILE: folder / "heavy.cbm"}
    files |= {CARD_FILE: folder / "card.json", _CARD_MD: folder / "card.md", _CARD_SVG: folder / "card.svg"}
    return {name: path for name, path in files.items() if path.exists()}
