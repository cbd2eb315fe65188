"""The model card: a generation's ranking models, their training rows, the alternatives that were tried, and all scores.

It is kept with the models: models/card.json for programs, models/card.md and models/card.svg for people. Nothing is measured
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cluster.config.train import Loss
from cluster.spec import HeavyKind, RankingSpec
from train.pictures import ACCENT, COLOURS, bars, draw, name_lines
from train.rank.choice import Choice
from train.rank.judge import Quality

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 3
CARD_FILE = "models/card.json"
_FEATURES_SHOWN = 25
_METRICS = ("ndcg@10", "ndcg@10_lo", "ndcg@10_hi", "recall@10", "mrr", "light_share")


class FitReport(msgspec.Struct, frozen=True):
    """A heavy model, with the number of trees that it serves or would serve with.

    curve: (number of trees, ndcg@10 on the training rows, on the rows of the judging moment).  importances: (column, its share
    of the score's changes in per cent), largest first.
    """

    loss: Loss
    n_trees: int
    n_rows: int
    n_positive: int
    curve: tuple[tuple[int, float, float], ...]
    importances: tuple[tuple[str, float], ...]


class ModelCard(msgspec.Struct, frozen=True):
    """choice: of all users of the judging moment.  of_halves: the choice of each half of them.

    chose: system -> metrics, as `train.rank.judge` gives them, of all users on their own choice.  test: the same, of each half
    on the other half's choice.  schema_hash: of `columns`.  settings: the configuration's [train.ranker].  n_heavy: the number
    of candidates that a heavy model orders.  heavy: the heavy model that the configuration names, "heavy" among systems.
    rankings: the stage that serves with each heavy model, and why.
    """

    format: int
    schema_hash: str
    columns: tuple[str, ...]
    settings: dict[str, object]
    n_heavy: int
    choice: Choice
    of_halves: tuple[Choice, Choice]
    fits: tuple[FitReport, ...]
    heavy: HeavyKind
    rankings: tuple[RankingSpec, ...]
    chose: Quality
    test: Quality

    @property
    def winner(self) -> Loss:
        return self.choice.winner

    @property
    def won(self) -> FitReport:
        """The fit of the trees that were chosen."""
        return next(fit for fit in self.fits if fit.loss == self.winner)

    @property
    def ranking(self) -> RankingSpec:
        """What serves with the heavy model that the configuration names."""
        return next(ranking for ranking in self.rankings if ranking.heavy == self.heavy)


def markdown(card: ModelCard) -> str:
    """The card to read."""
    halves = f"{' and '.join(dict.fromkeys(choice.winner for choice in card.of_halves))}, which the halves chose"
    others = [ranking for ranking in card.rankings if ranking.heavy != card.heavy]
    lines = [
        "# Ranking models",
        "",
        f"Ranking: {card.ranking.line}.",
        *(f"With ranker.heavy.model = {other.heavy}, {other.line}." for other in others),
        "",
        f"The trees are **{card.winner}**, {card.won.n_trees} from {card.won.n_rows:,} candidates,"
        f" {card.won.n_positive:,} of them bought. A heavy model orders the {card.n_heavy} best of the light one.",
        "",
        f"Schema {card.schema_hash}, {len(card.columns)} columns.",
        "",
        "## Either half of the users, of what the other half chose",
        "",
        *_table(card, card.test, card.of_halves),
        "",
        f"heavy: {halves if card.heavy == 'catboost' else 'heavy:onnx, which the configuration names'}.",
        "",
        "## All users, of their own choice",
        "",
        *_table(card, card.chose, (card.choice,)),
        "",
        "light_share: how many of the ten that the heavy model would like best among all candidates the light one passes on."
        " Intervals: 95 %, bootstrap over users.",
        "",
        "## What moves the score",
        "",
        "| column | % |",
        "|---|---:|",
        *(f"| `{name}` | {share:.1f} |" for name, share in card.won.importances[:_FEATURES_SHOWN]),
        "",
        "## Settings",
        "",
        *(f"- `{key}` = {value}" for key, value in card.settings.items()),
        "",
    ]
    return "\n".join(lines)


def _table(card: ModelCard, quality: Quality, choices: Sequence[Choice]) -> list[str]:
    """choices: whose models these are. What serves, "heavy", is printed in bold."""
    lengths = {f"heavy:{fit.loss}": [str(choice.n_trees[fit.loss]) for choice in choices] for fit in card.fits}
    lines = ["| order | ndcg@10 | 95 % | recall@10 | mrr | light_share | trees |", "|---" + "|---:" * 6 + "|"]
    for name, metrics in quality.items():
        if "ndcg@10" not in metrics:
            continue
        ndcg, low, high, recall, mrr, share = (metrics.get(metric) for metric in _METRICS)
        passed_on, n_trees = "" if share is None else f"{share:.3f}", ", ".join(lengths.get(name, ()))
        bold = "**" if name == "heavy" else ""
        figures = f"{ndcg:.4f} | {low:.3f} – {high:.3f} | {recall:.4f} | {mrr:.4f} | {passed_on} | {n_trees}"
        lines.append(f"| {bold}{name}{bold} | {figures} |")
    return lines


def draw_card(card: ModelCard, path: Path) -> None:
    """Learning curves and importances as a picture. Needs matplotlib."""

    def paint(figure: Figure) -> str:
        left, right = figure.subplots(1, 2)
        curves = [fit for fit in card.fits if fit.curve]
        for fit, colour in zip(curves, cycle((ACCENT, *COLOURS)), strict=False):
            trees, learnt, later = zip(*fit.curve, strict=True)
            left.plot(trees, later, color=colour, label=fit.loss)
            left.plot(trees, learnt, color=colour, ls=":", lw=1)
            left.plot(fit.n_trees, later[trees.index(fit.n_trees)], "o", color=colour, ms=4)
        if curves:
            name_lines(left)
        left.set(title="of the users who judge; dotted: of those learnt from", xlabel="trees", ylabel="ndcg@10")
        bars(right, dict(card.won.importances[:_FEATURES_SHOWN]), form="{:.1f}")
        right.set(title=f"what moves the score of {card.winner}", xlabel="%")
        right.tick_params(axis="y", labelsize=7.5)
        column, share = card.won.importances[0]
        return f"{card.winner} has {card.won.n_trees} trees, and {column} moves {share:.0f} % of its score"

    draw(path, paint, note=f"{card.won.n_rows:,} candidates, {card.won.n_positive:,} of them bought", height_in=5)
