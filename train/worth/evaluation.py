"""What are the sources worth? A generation of the past is measured on the purchases after it. `evaluate` is the diagram; the
metrics are `train/worth/source_worth.py`.

The stages of a build make the generation from the log up to a moment and cut it into the configured number of shards; the
router's plan and merge ask it. Only the catalogue is today's: attributes that change with time, such as the stores that sell
an item, have their present values, for the candidates and for the truth.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.errors import ConfigError
from cluster.filtering import EVERYTHING, Filter, check_filter
from cluster.generation import Generation, GenerationWriter
from cluster.spec import FeatureSchema, GenerationSpec
from shard.shard import Shard
from train.describe import describe
from train.input.attribute_columns import attribute_specs
from train.input.event_log import DAY_S
from train.offline_router import OfflineRouter
from train.progress import Progress, Quiet
from train.rank.held_out import HeldOut
from train.rank.ranking_rows import sample_users
from train.rank.visits import Visit, held_out_after, visits_of
from train.signals import Signals
from train.stages.learn import learn, signals_of
from train.stages.read import Dataset, Inputs, open_build
from train.stages.shards import copy_snapshots, entry_of, write_shards
from train.worth.eligibility import eligible_rows
from train.worth.hits import Hits, find
from train.worth.source_worth import Table, ahead_of_union, table

MOMENT = "evaluation"


@dataclass(frozen=True, slots=True)
class EvaluationTerms:
    """How to measure. days: the days at the end of the log that are held out.  new_days: an item is new to a user who did not
    buy it in this many days before.  basket_items: the items of the first visit that are in the basket and so are not wanted.
    depth: the number of candidates that each source may propose.
    """

    days: int = 28
    new_days: int = 28
    n_users: int = 1_000
    basket_items: int = 3
    depth: int = 500
    filter: Filter = EVERYTHING


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """activity: (u,) int64, different items each held-out user had bought by the moment.  n_eligible: by the filter."""

    terms: EvaluationTerms
    hits: Hits
    held_out: HeldOut
    activity: NDArray[np.int64]
    n_eligible: int

    @property
    def table(self) -> Table:
        """System -> metric -> value; see `train.worth.source_worth`."""
        ks = sorted({min(100, self.terms.depth), self.terms.depth})
        return table(self.hits, self.held_out, n_eligible=self.n_eligible, ks=ks)

    @property
    def ahead_of_union(self) -> dict[str, float]:
        """Recall at the depth of the sources that are better than the union; see `train.worth.source_worth`."""
        return ahead_of_union(self.hits, self.held_out, self.terms.depth)

    @property
    def not_asked(self) -> tuple[str, ...]:
        """Sources of the generation that no request asked."""
        return tuple(name for name, n in zip(self.hits.systems, self.hits.asked, strict=True) if not n)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A moment of the past: its signals, and a router over the shards made of them."""

    signals: Signals
    router: OfflineRouter


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Requests, and the purchases after them. eligible: keys of the items that pass the filter, ascending."""

    held_out: HeldOut
    visits: Sequence[Visit]
    eligible: NDArray[np.int64]


def evaluate(config: Config, inputs: Inputs, terms: EvaluationTerms, *, progress: Progress | None = None) -> Evaluation:
    """Hold out the last `terms.days` of the log and measure how much of it the sources and their union would have proposed.

    Outputs of builds are used again; those made here stay until the next build. Raises ConfigError for what is wrong with the
    inputs, UnknownFilterField or InvalidQuery for a filter that the catalogue cannot answer, GenerationError if a build is at
    work there.
    """
    check(terms.filter, config)
    progress = progress or Quiet()
    with past_generation(config, inputs, days=terms.days, progress=progress) as past:
        return measure(past, terms, progress=progress)


def check(filter: Filter, config: Config) -> None:
    """Raises UnknownFilterField or InvalidQuery for a filter that the configured attributes cannot answer."""
    attributes = attribute_specs(config.catalog)
    nothing = FeatureSchema(match=(), sources=(), user=(), context=())
    bare = GenerationSpec(MOMENT, "", config.catalog.id_type, (), attributes, (), (), (), (), nothing)
    check_filter(filter, bare)


@contextmanager
def past_generation(config: Config, inputs: Inputs, *, days: int, progress: Progress) -> Iterator[Past]:
    """The generation as it would have been `days` before the end of the log. Its files are removed when the block ends."""
    with open_build(config, inputs, progress) as (stages, dataset):
        as_of = _moment(dataset, days)
        learned = learn(stages, dataset, config, moment=MOMENT, as_of=as_of)
        with stages.anew("signals") as stage:
            signals = signals_of(dataset, learned, config)
            stage.report(f"as of {datetime.fromtimestamp(as_of, UTC):%Y-%m-%d}; {signals.summary}", len(signals.catalogue))
        folders = write_shards(stages, signals, config, learned)
        with _published(signals, config, folders, Path(config.storage.path) / MOMENT) as generation:
            spec = generation.spec
            shards = [Shard.load(generation, shard) for shard in range(spec.n_shards)]
            yield Past(signals, OfflineRouter(shards, spec, config, signals.tower))


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
    """The shards as a generation of their own, so that the code that serves opens them."""
    shutil.rmtree(storage, ignore_errors=True)
    entries = [entry_of(folder) for folder in folders]
    spec = describe(signals, config, generation=MOMENT, created="", shard_items=[entry["n_items"] for entry in entries])
    try:
        with GenerationWriter(storage, MOMENT) as writer:
            copy_snapshots(folders, writer)
            yield writer.publish(spec, shards=entries)
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def measure(past: Past, terms: EvaluationTerms, *, progress: Progress) -> Evaluation:
    """Ask for what users bought after the moment."""
    trial = trial_of(past.signals, past.router.spec, past.router.config, terms)
    n_users, n_items = len(trial.visits), len(trial.held_out.items)
    progress.begin("evaluate", n_users)
    hits = find(trial.visits, past.router, depth=terms.depth, eligible=trial.eligible, on_visit=progress.advance)
    progress.end(f"{n_users:,} users, {n_items:,} items they bought")
    activity = np.diff(past.signals.pairs.starts)[trial.held_out.users].astype(np.int64)
    return Evaluation(terms, hits, trial.held_out, activity, len(trial.eligible))


def trial_of(signals: Signals, spec: GenerationSpec, config: Config, terms: EvaluationTerms) -> Trial:
    """A request for each of a sample of the users who bought something after the signals' moment.

    Where seen items are never recommended, they are not asked for either.
    """
    moment, seed = signals.pairs.as_of, config.train.seed
    users = sample_users(signals.log, after=moment, days=terms.days, n_max=terms.n_users, seed=seed)
    held_out = held_out_after(signals, config, users, days=terms.days, new_days=terms.new_days, basket_items=terms.basket_items)
    eligible = eligible_rows(signals.catalogue, terms.filter)
    held_out = held_out.kept(eligible[held_out.items])
    visits = list(visits_of(held_out, signals, spec, config, filter=terms.filter))
    if config.slate.exclude_seen:
        unseen = [~np.isin(visit.wanted, visit.seen) for visit in visits]
        held_out = held_out.kept(np.concatenate([np.empty(0, bool), *unseen]))
        visits = [replace(visit, wanted=visit.wanted[new]) for visit, new in zip(visits, unseen, strict=True)]
    return Trial(held_out, visits, signals.catalogue.keys[eligible])
