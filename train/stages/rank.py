"""Stages "light", "heavy-<loss>", "judge" and "card": the models that order candidates, which of them serve, and how well they
do on data they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cluster.config import Config
from cluster.errors import ConfigError
from cluster.spec import columns_hash
from cluster.train_sections import Loss, RankTrainSection
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.onnx_model import OnnxModel
from ranker.ranker import HEAVY_FILE, LIGHT_FILE, ONNX_FILE
from train.card import CARD_FILE, FORMAT, FitReport, ModelCard, chosen, draw, markdown
from train.heavy import fit_heavy, settings_of
from train.judge import Quality, judge
from train.light import PASSES_MAX, fit_light
from train.ranking_rows import RankingRows
from train.stages.outputs import Made, Stages
from train.stages.rows import columns_of
from train.worth_plots import can_draw

_CARD_MD, _CARD_SVG = "models/card.md", "models/card.svg"


@dataclass(frozen=True, slots=True)
class RankModels:
    """files: the content of models/, by name in the generation.  light, heavy: where the models lie, heavy ones by loss.

    columns: what they read.
    """

    files: dict[str, Path]
    light: Path
    heavy: dict[Loss, Path]
    columns: tuple[str, ...]
    card: ModelCard

    @property
    def quality(self) -> Quality:
        """On users who had no part in any choice."""
        return self.card.test


def fit_models(stages: Stages, config: Config, *, learning: Sequence[Path], judging: Path) -> RankModels:
    """A light model, and a heavy one with each loss, of which the best serves.

    A heavy model learns from what the light one would pass on to it: on Complete Journey a quarter of the rows and a fifth
    of the time, for .392 ndcg@10 instead of .393 (light: .385).
    """
    columns = columns_of(*learning, judging)
    section, seed, progress = config.train.ranker, config.train.seed, stages.progress
    own = _plugged_in(section, columns)
    n_heavy = config.ranker.heavy.n_heavy
    learnt = RankingRows.together([RankingRows.load(folder) for folder in learning])
    validation, test = RankingRows.load(judging).halves()

    def make_light(folder: Path) -> Made:
        model = fit_light(learnt.features, learnt.labels, learnt.groups, columns, seed=seed, on_pass=progress.advance)
        (folder / "light.json").write_bytes(model.to_json())
        return Made(f"{len(model.curves)} curves from {len(learnt.labels):,} rows", len(learnt.labels))

    inputs = [*(folder.name for folder in learning), seed]
    light = stages.run("light", inputs=inputs, total=PASSES_MAX, make=make_light) / "light.json"
    light_model = LightModel.from_json(light.read_bytes())
    passed, passed_later = learnt.best(light_model, n_heavy), validation.best(light_model, n_heavy)

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
                on_tree=progress.advance,
            )
            (folder / "heavy.cbm").write_bytes(fitted.blob)
            n_rows, n_positive = fitted.n_rows, fitted.n_positive
            told = FitReport(loss, fitted.n_trees, n_rows, n_positive, fitted.curve, fitted.importances)
            (folder / "fit.json").write_bytes(msgspec.json.encode(told))
            best = max((later for _, _, later in fitted.curve), default=0.0)
            return Made(f"{fitted.n_trees} trees from {n_rows:,} rows, validation ndcg@10 {best:.4f}", n_rows)

        settings = [section.n_trees, section.depth, section.learning_rate, settings_of(loss)]
        inputs = [light.parent.name, judging.name, n_heavy, seed, *settings]
        return stages.run(f"heavy-{loss}", inputs=inputs, total=section.n_trees, make=make)

    fits = {loss: heavy(loss) for loss in section.losses}
    models = {f"heavy:{loss}": HeavyModel.from_bytes((fit / "heavy.cbm").read_bytes()) for loss, fit in fits.items()}

    with stages.anew("judge") as told:
        chose, judged = (judge(half, light_model, models, n_heavy=n_heavy) for half in (validation, test))
        winner = chosen(chose, section.losses)
        judged["heavy"] = judged[f"heavy:{winner}"]
        scores = ", ".join(f"{name} {judged[name]['ndcg@10']:.3f}" for name in ("merged", "light", "heavy"))
        told(Made(f"ndcg@10: {scores} ({winner})", len(test.labels)))

    card = ModelCard(
        FORMAT,
        columns_hash(columns),
        columns,
        section.model_dump(mode="json"),
        n_heavy,
        winner,
        tuple(msgspec.json.decode((fit / "fit.json").read_bytes(), type=FitReport) for fit in fits.values()),
        validation=chose,
        test=judged,
    )
    files = {LIGHT_FILE: light, HEAVY_FILE: fits[winner] / "heavy.cbm", **own, **_kept(stages, card)}
    return RankModels(files, light, {loss: fit / "heavy.cbm" for loss, fit in fits.items()}, columns, card)


def _plugged_in(section: RankTrainSection, columns: tuple[str, ...]) -> dict[str, Path]:
    """The ONNX model of train.ranker.onnx_file, if one is named. Raises ConfigError or SchemaMismatch if it does not fit."""
    if not section.onnx_file:
        return {}
    path = Path(section.onnx_file)
    try:
        OnnxModel.from_bytes(path.read_bytes(), columns)
    except OSError as error:
        raise ConfigError(f"train.ranker.onnx_file: {path} cannot be read: {error.strerror}") from None
    return {ONNX_FILE: path}


def _kept(stages: Stages, card: ModelCard) -> dict[str, Path]:
    """The card's files by their names in the generation; the picture where matplotlib is there to draw it."""

    def make(folder: Path) -> Made:
        (folder / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
        (folder / "card.md").write_text(markdown(card))
        if can_draw():
            draw(card, folder / "card.svg")
        return Made(f"{card.winner} of {len(card.fits)} losses", len(card.fits))

    folder = stages.run("card", inputs=msgspec.to_builtins(card), total=0, make=make)
    files = {CARD_FILE: folder / "card.json", _CARD_MD: folder / "card.md", _CARD_SVG: folder / "card.svg"}
    return {name: path for name, path in files.items() if path.exists()}
