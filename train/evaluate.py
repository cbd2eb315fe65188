"""How much would the sources have been worth? Measures a generation of the past on later purchases. `evaluate` is the diagram.

The stages of a build make the generation from the log up to a moment. It is split into the configured number of shards, and
asked through the router's plan and merge. Only the catalogue is today's: attributes that change with time, such as the stores
where an item is on sale, have their present values, for the candidates and for the purchases alike.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from cluster.config.sections import Config
from cluster.errors import ConfigError
from cluster.filtering import Filter, check_filter
from cluster.generation import Generation, GenerationWriter
from cluster.spec import FeatureSchema, GenerationSpec
from shard.shard import Shard
from shard.snapshot import shard_folder
from train.describe import describe
from train.input.attribute_columns import attribute_specs
from train.input.event_log import DAY_S
from train.progress import Progress, Quiet
from train.signals import Signals
from train.stages import Made
from train.stages.learn import learn, signals_of
from train.stages.read import Dataset, Inputs, open_build
from train.stages.shards import SNAPSHOT, entry_of, write_shards
from train.worth.evaluation import Evaluation, Terms, measure
from train.worth.hits import Searchers

MOMENT = "evaluation"


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Everything as of the moment: the signals, and the shards that were made of them, open."""

    signals: Signals
    searchers: Searchers


def evaluate(config: Config, inputs: Inputs, terms: Terms, *, progress: Progress | None = None) -> Evaluation:
    """Hold out the last `terms.days` of the log and measure what the sources and their union would have found of it.

    Outputs of builds are used again; those made here stay until the next build. Raises ConfigError for what is wrong with the
    inputs, UnknownFilterField or InvalidQuery for a filter that the catalogue cannot answer, GenerationError if a build is at
    work there.
    """
    check(terms.filter, config)
    progress = progress or Quiet()
    with past(config, inputs, days=terms.days, progress=progress) as then:
        return measure(then.signals, then.searchers, terms, progress=progress)


def check(filter: Filter, config: Config) -> None:
    """Raises UnknownFilterField or InvalidQuery for what the configured attributes cannot answer."""
    attributes = attribute_specs(config.catalog)
    nothing = FeatureSchema(match=(), sources=(), user=(), context=())
    bare = GenerationSpec(MOMENT, "", config.catalog.id_type, (), attributes, (), (), (), (), nothing)
    check_filter(filter, bare)


@contextmanager
def past(config: Config, inputs: Inputs, *, days: int, progress: Progress) -> Iterator[Past]:
    """The generation as it would have been `days` before the log's end. Its files go when the block is left."""
    with open_build(config, inputs, progress) as (stages, dataset):
        as_of = _moment(dataset, days)
        learned = learn(stages, dataset, config, moment=MOMENT, as_of=as_of)
        with stages.anew("signals") as told:
            signals = signals_of(dataset, learned, config)
            told(Made(f"as of {datetime.fromtimestamp(as_of, UTC):%Y-%m-%d}; {signals.summary}", len(signals.catalogue)))
        folders = write_shards(stages, signals, config, learned)
        with _published(signals, config, folders, Path(config.storage.path) / MOMENT) as generation:
            spec = generation.spec
            shards = [Shard.load(generation, shard) for shard in range(spec.n_shards)]
            yield Past(signals, Searchers(shards, spec, config, signals.tower))


def _moment(dataset: Dataset, days: int) -> int:
    report = dataset.report
    moment = report.last_time - days * DAY_S
    if moment <= report.first_time:
        covered = (report.last_time - report.first_time) / DAY_S
        fewer = ceil(covered / 2)
        hint = f"hold out fewer, such as --days {fewer}" if 0 < fewer < covered else "nothing can be held out of it"
        raise ConfigError(f"the log covers {covered:.1f} days, and holding out {days} leaves nothing to learn from: {hint}")
    return moment


@contextmanager
def _published(signals: Signals, config: Config, folders: list[Path], storage: Path) -> Iterator[Generation]:
    """The shards as a generation of their own, so that they are opened by the code that opens what serves."""
    shutil.rmtree(storage, ignore_errors=True)
    entries = [entry_of(folder) for folder in folders]
    spec = describe(signals, config, generation=MOMENT, created="", shard_items=[entry["n_items"] for entry in entries])
    try:
        with GenerationWriter(storage, MOMENT) as writer:
            for shard, folder in enumerate(folders):
                for file in sorted((folder / SNAPSHOT).iterdir()):
                    shutil.copyfile(file, writer.path_for(f"{shard_folder(shard)}/{file.name}"))
            yield writer.publish(spec, shards=entries)
    finally:
        shutil.rmtree(storage, ignore_errors=True)
