"""Stages "rows-<moment>" and "rows-logged": what ranking models learn from and are judged by."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from cluster.config.sections import Config
from train.offline_router import OfflineRouter
from train.rank.logged import hashes_of, logged_rows, logs_below, newest_first
from train.rank.ranking_rows import ranking_rows, sample_users
from train.rank.visits import past_visits, stranger_visits
from train.stages.learn import Learned, signals_of
from train.stages.outputs import Made, Stages, plain
from train.stages.read import Dataset

_COLUMNS = "columns.json"


def candidate_rows(
    stages: Stages,
    dataset: Dataset,
    config: Config,
    learned: Learned,
    *,
    n_users: int,
    sampled_negatives: float = 0.0,
    strangers: float = 0.0,
) -> Path:
    """The candidates of a moment, found by the code that serves, with the purchases of the window after it as labels.

    strangers: so many of the users, as a share, come once more with a basket and without a record.
    """
    section, moment = config.train.ranker, learned.moment

    def make(folder: Path) -> Made:
        signals = signals_of(dataset, learned, config)
        router = OfflineRouter.over(signals, config, generation=moment)
        users = sample_users(dataset.log, after=learned.as_of, days=section.label_days, n_max=n_users, seed=config.train.seed)
        again = users[np.random.default_rng(config.train.seed).random(len(users)) < strangers]
        unknown, sessions = stranger_visits(signals, config, users=again, label_days=section.label_days)
        rows = ranking_rows(
            router,
            dataset.catalogue,
            users=np.concatenate((users, unknown)),
            visits=chain(past_visits(signals, router.spec, config, users=users, label_days=section.label_days), sessions),
            sampled_negatives=sampled_negatives,
            on_user=stages.progress.advance,
        )
        rows.save(folder)
        (folder / _COLUMNS).write_bytes(msgspec.json.encode(router.spec.features.columns()))
        told = f"{len(rows.labels):,} candidates of {len(users):,} users, {rows.recall:.3f} of their purchases among them"
        return Made(told, len(rows.labels))

    inputs = [
        *learned.inputs,
        [n_users, sampled_negatives, strangers],
        plain(config.catalog),
        plain(config.sources),
        plain(config.merge),
        [config.users.session_items, config.users.view_weight],
        plain(config.slate),
        [config.users.history_max_items, config.users.profile_max_values],
        plain(config.train.positives),
        [section.label_days, config.train.profile, config.train.half_life_days, config.train.seed],
    ]
    return stages.run(f"rows-{moment}", inputs=inputs, total=n_users, make=make)


def logged_requests(stages: Stages, dataset: Dataset, config: Config, columns: tuple[str, ...], *, until: int) -> Path:
    """Rows out of the requests in train.ranker.logged whose labels are all known by `until`, Unix seconds, newest first."""
    section = config.train.ranker
    logs = logs_below(Path(section.logged))

    def make(folder: Path) -> Made:
        found = logged_rows(
            newest_first(logs),
            dataset.log,
            dataset.catalogue,
            columns,
            label_days=section.label_days,
            until=until,
            n_max=section.n_users,
            on_request=stages.progress.advance,
        )
        found.rows.save(folder)
        (folder / _COLUMNS).write_bytes(msgspec.json.encode(columns))
        return Made(found.line(), len(found.rows.labels))

    inputs = [hashes_of(logs), dataset.name, columns, section.label_days, section.n_users, until]
    return stages.run("rows-logged", inputs=inputs, total=0, make=make)


def columns_of(*folders: Path) -> tuple[str, ...]:
    """The columns of the rows in these folders, which have to be the same in all."""
    columns, *others = (msgspec.json.decode((folder / _COLUMNS).read_bytes(), type=tuple[str, ...]) for folder in folders)
    assert all(other == columns for other in others), "rows of different moments have different columns"
    return columns
