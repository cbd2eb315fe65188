"""`oskolok train-rankers`: light and heavy models fitted anew for a generation that is there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from deploy.commands.build import Bars
from deploy.commands.common import WITH_FILES, ConfigOption, Form, FormOption, SetOption, configuration, out, print_json

if TYPE_CHECKING:
    from cluster.spec import RankingSpec
    from train.stages.publish import Built


def train_rankers(
    items: Annotated[Path, typer.Option("--items", help="The catalogue: a Parquet file, or a folder of them.")],
    events: Annotated[Path, typer.Option("--events", help="The log of events, likewise.")],
    users: Annotated[Path | None, typer.Option("--users", help="What is known of users beside the log, optional.")] = None,
    playlists: Annotated[Path | None, typer.Option("--playlists", help="Named lists of items, optional.")] = None,
    generation: Annotated[str, typer.Option("--generation", help="Whose models; the current one if left out.")] = "",
    config: ConfigOption = None,
    set: SetOption = None,
    format: FormOption = Form.human,
) -> None:
    """Fit the light and the heavy model anew and publish them with the shards and users of a generation that is there.

    They learn at moments of the log's past, from the candidates that retrieval would have found then and what was bought
    after; users of a later moment choose the loss and the number of trees, and judge. What a build left below
    <storage.path>/build is reused: with the same files and a change of [train.ranker] only what depends on it is done again.
    The new generation is the current one: `oskolok serve` takes it when it starts.

    $ oskolok train-rankers --items items.parquet --events events.parquet --set train.ranker.n_trees=500
    """
    from cluster.ranking import ranking_of
    from train.refit import refit

    logging.getLogger("catboost").setLevel(logging.WARNING)
    loaded = configuration(config, set, checks=WITH_FILES).config
    bars = Bars()
    with bars.shown:
        built = refit(loaded, items, events, users=users, playlists=playlists, base=generation, progress=bars)
    if format is Form.json:
        print_json({"generation": built.spec.id, "report": msgspec.to_builtins(built.report)})
    else:
        out.print(_told(built, ranking_of(built.spec, loaded.ranker)))


def _told(built: Built, ranking: RankingSpec) -> str:
    quality = built.report.quality
    scores = ", ".join(f"{name} {quality[name]['ndcg@10']:.3f}" for name in ("merged", "light", "heavy"))
    return f"generation {built.spec.id}: models for {built.report.models_for}, ndcg@10 {scores}\nranking: {ranking.line}"
