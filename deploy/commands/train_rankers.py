"""`oskolok train-rankers`: fits new light and heavy models for an existing generation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from deploy.commands import options
from deploy.commands.build import Bars
from deploy.commands.common import WITH_FILES, Form, configuration, out, present

if TYPE_CHECKING:
    from cluster.spec import RankingSpec
    from train.stages.publish import Built


def train_rankers(
    items: options.Items,
    events: options.Events,
    users: options.Users = None,
    playlists: options.Playlists = None,
    generation: Annotated[str, typer.Option("--generation", help="The generation to refit. Default: the current one.")] = "",
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
) -> None:
    """Refit the light and the heavy model, and publish them with the shards and users of an existing generation.

    The models learn at past moments of the log: from the candidates that retrieval would have proposed then, and from what
    users bought afterwards. Users of a later moment choose the loss and the number of trees, and judge the models. What a
    build left below <storage.path>/build is reused: with the same files and changes in [train.ranker], only what depends on
    them is recomputed. The new generation becomes the current one; `oskolok serve` serves it from its next start.

    $ oskolok train-rankers --items items.parquet --events events.parquet --set train.ranker.n_trees=500
    """
    from cluster.ranking import ranking_of
    from train.refit import refit
    from train.stages.read import Inputs

    logging.getLogger("catboost").setLevel(logging.WARNING)
    loaded = configuration(config, set, checks=WITH_FILES).config
    bars = Bars()
    with bars.shown:
        built = refit(loaded, Inputs(items, events, users, playlists), base=generation, progress=bars)
    answer = {"generation": built.spec.id, "report": msgspec.to_builtins(built.report)}
    present(format, answer, lambda: out.print(_summary(built, ranking_of(built.spec, loaded.ranker))))


def _summary(built: Built, ranking: RankingSpec) -> str:
    quality = built.report.quality
    scores = ", ".join(f"{name} {quality[name]['ndcg@10']:.3f}" for name in ("merged", "light", "heavy"))
    return f"generation {built.spec.id}: models for {built.report.models_for}, ndcg@10 {scores}\nranking: {ranking.line}"
