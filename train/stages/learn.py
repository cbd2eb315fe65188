"""Stages "als-<moment>", "two_tower-<moment>", "<table>-lists-<moment>" and "quorum-<moment>": everything that is fitted to the
log as of a moment and kept on disk; and the signals computed from it.

A moment has a name: ranking learns from "training-1", "training-2" … and is judged at "judging"; "serving" is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from cluster.config.sections import Config
from cluster.config.sources import ALS, TWO_TOWER
from cluster.partition import item_keys
from train.input.interactions import Interactions, interactions
from train.input.item_values import item_values
from train.lists.item_lists import ItemLists
from train.lists.item_tables import (
    content_likeness,
    content_sources,
    content_table,
    ease_table,
    load_lists,
    near_table,
    npmi_table,
    save_lists,
    together_table,
)
from train.lists.quorum import QuorumSettings, load_quorum, quorum, save_quorum
from train.signals import Fitted, Signals, fit_vectors, load_factors, make_signals, save_factors
from train.source_specs import source_specs
from train.stages.outputs import Made, Stages, plain
from train.stages.read import Dataset
from train.vectors.als import Factors
from train.vectors.als_resume import FactorRows
from train.vectors.two_tower import TwoTower, fit_two_tower

_FEW = 0.05  # of the items that were bought: a table with lists for fewer is next to nothing


@dataclass(frozen=True, slots=True)
class Learned:
    """Where the parts lie that were fitted to the log as of a moment. as_of: Unix seconds.  tables: by name.

    two_tower, quorum: None if no source wants it.
    """

    moment: str
    as_of: int
    vectors: Path
    tables: Mapping[str, Path]
    two_tower: Path | None
    quorum: Path | None

    @property
    def inputs(self) -> list[object]:
        """What stands for all of it in the inputs of later stages."""
        parts = (self.vectors, *self.tables.values(), self.two_tower, self.quorum)
        return [self.as_of, *(part.name for part in parts if part is not None)]


def learn(
    stages: Stages, dataset: Dataset, config: Config, *, moment: str, as_of: int, before: Learned | None = None
) -> Learned:
    """Fit everything that some source of the generation needs. Raises ConfigError for a source the input does not allow.

    before: an earlier moment of the same log, from whose vectors ALS goes on.
    """
    lesson = _Lesson(stages, dataset, config, moment, as_of)
    specs = source_specs(config, dataset.catalogue, dataset.log, playlists=dataset.playlists is not None)
    vectors = lesson.vectors(None if before is None else before.vectors)
    two_tower = lesson.two_tower() if any(spec.space == TWO_TOWER for spec in specs) else None
    spaces = {ALS: vectors, TWO_TOWER: two_tower}
    tables = {name: lesson.table(name, spaces.get(name)) for name in sorted({spec.table for spec in specs if spec.table})}
    wants_quorum = any(spec.kind == "quorum" for spec in specs)
    return Learned(moment, as_of, vectors, tables, two_tower, lesson.quorum() if wants_quorum else None)


def signals_of(dataset: Dataset, learned: Learned, config: Config) -> Signals:
    """Everything known as of the moment: what was fitted, and what is only counted."""
    fitted = Fitted(
        load_factors(learned.vectors),
        None if learned.two_tower is None else TwoTower.load(learned.two_tower),
        {name: load_lists(folder) for name, folder in learned.tables.items()},
        None if learned.quorum is None else load_quorum(learned.quorum),
    )
    return make_signals(
        dataset.log,
        dataset.catalogue,
        fitted,
        config,
        as_of=learned.as_of,
        declared=dataset.users,
        playlists=dataset.playlists,
    )


@dataclass
class _Lesson:
    """One moment's stages, which share what they count."""

    stages: Stages
    dataset: Dataset
    config: Config
    moment: str
    as_of: int

    @cached_property
    def pairs(self) -> Interactions:
        return interactions(self.dataset.log, as_of=self.as_of, half_life_days=self.config.train.half_life_days)

    def vectors(self, before: Path | None) -> Path:
        """before: where the vectors of an earlier moment lie."""
        train, dataset, stages = self.config.train, self.dataset, self.stages
        als, name = train.als, f"als-{self.moment}"
        before = before if als.moment_sweeps else None
        n_warm = als.moment_sweeps if before else als.warm_sweeps

        def make(folder: Path) -> Made:
            rows = self.rows()
            start = load_factors(before) if before else self.start(rows, name) if n_warm else None
            n_sweeps = n_warm if start else als.n_sweeps
            factors = fit_vectors(
                dataset.log,
                dataset.catalogue,
                self.config,
                as_of=self.as_of,
                on_sweep=stages.progress.advance,
                n_sweeps=n_sweeps,
                start=start,
                kept=stages.unfinished(folder),
            )
            save_factors(factors, folder)
            rows.save(folder)
            n_users, n_items = len(factors.users), len(factors.items)
            origin = f" from the last {'moment' if before else 'build'}'s vectors" if start else ""
            return Made(f"{n_sweeps} sweeps{origin}, {n_users:,} users × {n_items:,} items × {als.dim}", n_items)

        settings = als.model_dump(mode="json", exclude={"warm_sweeps", "moment_sweeps"})
        inputs = [dataset.name, self.as_of, settings, train.half_life_days, train.seed, self.config.catalog.category]
        inputs += [before and before.name, n_warm]
        return stages.run(name, inputs=inputs, total=n_warm or als.n_sweeps, make=make)

    def rows(self) -> FactorRows:
        """Of the log's users and the catalogue's items."""
        return FactorRows(self.as_of, item_keys(self.dataset.log.user_ids.to_pylist()), self.dataset.catalogue.keys)

    def start(self, rows: FactorRows, name: str) -> Factors | None:
        """The vectors of an earlier build, if there are any of as many dimensions that know nothing of what comes later."""
        for folder in self.stages.earlier(name):
            known, factors = FactorRows.load(folder), load_factors(folder)
            if known and known.as_of <= self.as_of and factors.items.shape[1] == self.config.train.als.dim:
                return known.carry(factors, rows)
        return None

    def two_tower(self) -> Path:
        config, dataset = self.config, self.dataset
        section, progress = config.train.two_tower, self.stages.progress
        windows, attributes = config.sources.tops.windows_days, config.catalog.category

        def make(folder: Path) -> Made:
            towers = fit_two_tower(
                dataset.log,
                dataset.catalogue,
                section,
                as_of=self.as_of,
                half_life_days=config.train.half_life_days,
                windows_days=windows,
                attributes=attributes,
                declared=dataset.users,
                seed=config.train.seed,
                on_epoch=progress.advance,
            )
            towers.save(folder)
            told = f"{len(towers.recalls)} epochs, recall@100 {max(towers.recalls):.3f} of users it did not learn from"
            return Made(told, len(towers.items))

        inputs = [dataset.name, self.as_of, plain(section), config.train.half_life_days, windows, attributes, config.train.seed]
        return self.stages.run(f"two_tower-{self.moment}", inputs=inputs, total=section.n_epochs_max, make=make)

    def table(self, name: str, space: Path | None) -> Path:
        """space: where the vectors of the space of that name lie, if there is one."""
        train, dataset = self.config.train, self.dataset
        near = f"train.near.consumers_min = {train.near.consumers_min}"
        match name:
            case "ease":
                return self._kept(name, [plain(train.ease)], lambda: ease_table(self.pairs, train.ease))
            case "npmi":
                limit = f"train.npmi.support_min = {train.npmi.support_min}"
                compute = partial(npmi_table, dataset.log, train.npmi, as_of=self.as_of)
                return self._kept(name, [plain(train.npmi)], compute, limit=limit)
            case "together":
                compute = partial(together_table, dataset.log, train.together, as_of=self.as_of)
                return self._kept(name, [plain(train.together)], compute)
            case "content":
                likeness = self.likeness()
                inputs = [likeness.name, train.half_life_days]
                return self._kept(
                    name, inputs, lambda: content_table(load_lists(likeness), dataset.catalogue, self.pairs, self.config)
                )
            case "als" if space is not None:
                inputs = [plain(train.near), space.name]
                return self._kept(
                    name, inputs, lambda: near_table(load_factors(space).items, self.pairs, train.near), limit=near
                )
            case "two_tower" if space is not None:
                inputs = [plain(train.near), space.name]
                return self._kept(
                    name, inputs, lambda: near_table(TwoTower.load(space).traits, self.pairs, train.near), limit=near
                )
        raise AssertionError(f"no table {name}")

    def likeness(self) -> Path:
        """Of content: what moments have in common, unless there are so many items that each chooses its own."""
        config, dataset = self.config, self.dataset
        sources = content_sources(dataset.log, self.pairs, config.train.content)

        def make(folder: Path) -> Made:
            return _saved(content_likeness(dataset.catalogue, sources, config), folder)

        chosen = hashlib.sha256(np.packbits(sources).tobytes()).hexdigest()
        inputs = [dataset.name, plain(config.train.content), plain(config.catalog), chosen]
        return self.stages.run("content-likeness", inputs=inputs, total=0, make=make)

    def _kept(self, name: str, inputs: list[object], compute: Callable[[], ItemLists], *, limit: str = "") -> Path:
        """limit: the setting that leaves items without a list, if there is one. A nearly empty table is reported."""

        def make(folder: Path) -> Made:
            lists = compute()
            made, n_bought = _saved(lists, folder), len(np.unique(self.pairs.items))
            if not limit or lists.n_filled >= _FEW * n_bought:
                return made
            note = f"note: {n_bought:,} items were bought; most have no list, because {limit}"
            return Made(f"{made.summary}; {note}", made.n_rows)

        return self.stages.run(
            f"{name}-lists-{self.moment}", inputs=[self.dataset.name, self.as_of, *inputs], total=0, make=make
        )

    def quorum(self) -> Path:
        section, attribute = self.config.train.quorum, self.config.sources.quorum.attribute

        def make(folder: Path) -> Made:
            pairs, values = self.pairs, item_values(self.dataset.catalogue, attribute)
            settings = QuorumSettings(section.gamma, section.consumers_prior, section.categories_max)
            made = quorum(pairs.matrix(pairs.weights), values, settings)
            save_quorum(made, folder)
            return Made(f"{made.tf.nnz:,} entries in {len(made.values):,} categories", made.tf.nnz)

        inputs = [self.dataset.name, self.as_of, plain(section), attribute, self.config.train.half_life_days]
        return self.stages.run(f"quorum-{self.moment}", inputs=inputs, total=0, make=make)


def _saved(lists: ItemLists, folder: Path) -> Made:
    save_lists(lists, folder)
    return Made(f"{len(lists.weights):,} entries of {lists.n_filled:,} items", len(lists.weights))
