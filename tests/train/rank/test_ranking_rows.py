"""Rows are what the serving code finds as of a moment, labelled by what came after; nothing later reaches a feature."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cluster.config.sections import Config
from tests.train.past import read_world, signals_at
from tests.worlds import NOW, TINY, tiny_config
from train.describe import describe
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.offline_router import OfflineRouter
from train.rank.ranking_rows import RankingRows, ranking_rows, sample_users
from train.rank.visits import held_out_after, past_visits, visits_of
from train.signals import Fitted, fit_vectors, make_signals

MOMENT = TINY.end - 20 * DAY_S
LABEL_DAYS = 10


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny_config(Path("unused"))


@pytest.fixture(scope="module")
def world(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, EventLog]:
    return read_world(TINY, config, tmp_path_factory.mktemp("world"), now=NOW)


def rows_of(
    catalogue: Catalogue, log: EventLog, config: Config, users: np.ndarray, *, with_baskets: bool = True
) -> RankingRows:
    signals = signals_at(catalogue, log, config, as_of=MOMENT)
    router = OfflineRouter.over(signals, config, generation="training")
    visits = past_visits(signals, router.spec, config, users=users, label_days=LABEL_DAYS)
    if not with_baskets:
        bought = held_out_after(signals, config, users, days=LABEL_DAYS, new_days=LABEL_DAYS, basket_items=0)
        visits = visits_of(bought, signals, router.spec, config)
    return ranking_rows(router, catalogue, users=users, visits=visits)


def reshuffled_future(log: EventLog) -> EventLog:
    """The same log with other items after the moment, and other times after the label window."""
    items, times = np.array(log.items), np.array(log.times)
    after = np.flatnonzero(times > MOMENT)
    items[after] = np.random.default_rng(1).permutation(items[after])
    return replace(log, items=items, times=times)


def test_features_do_not_change_when_the_future_does(world: tuple[Catalogue, EventLog], config: Config) -> None:
    catalogue, log = world
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=30, seed=0)
    logs = (log, reshuffled_future(log))
    rows, other = (rows_of(catalogue, log, config, users, with_baskets=False) for log in logs)
    assert np.array_equal(rows.features, other.features, equal_nan=True)
    assert np.array_equal(rows.starts, other.starts)
    assert not np.array_equal(rows.labels, other.labels)


def test_labels_are_what_was_bought_in_the_window(world: tuple[Catalogue, EventLog], config: Config) -> None:
    catalogue, log = world
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=10, seed=0)
    rows = rows_of(catalogue, log, config, users)
    window = log.since(MOMENT).as_of(MOMENT + LABEL_DAYS * DAY_S)
    bought = {(int(u), int(i)) for c in window.chunks() for u, i in zip(c.users, c.items, strict=True)}
    first = {int(u): set() for u in users}
    times: dict[int, int] = {}
    for chunk in window.chunks():
        for user, item, time in zip(chunk.users.tolist(), chunk.items.tolist(), chunk.times.tolist(), strict=True):
            if user in first and times.setdefault(user, time) == time:
                first[user].add(item)
    in_basket = [0 if user % 2 else min(3, len(first[int(user)])) for user in users]
    expected = [sum(1 for u, _ in bought if u == user) - n for user, n in zip(users, in_basket, strict=True)]
    assert rows.n_bought.tolist() == expected
    found = np.add.reduceat(rows.labels, rows.starts[:-1])
    assert (found <= expected).all() and found.sum() > 0
    assert 0 < rows.recall <= 1 and len(rows.features) == rows.starts[-1] == len(rows.labels)


def test_every_other_user_has_a_basket_that_sources_answer(world: tuple[Catalogue, EventLog], config: Config) -> None:
    catalogue, log = world
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=20, seed=0)
    rows = rows_of(catalogue, log, config, users)
    signals = signals_at(catalogue, log, config, as_of=MOMENT)
    columns = describe(signals, config, generation="past", created="", shard_items=(1,)).features.columns()
    sizes, answered = (rows.features[:, columns.index(name)] for name in ("basket_size", "with_basket.score"))
    by_user = [(sizes[a], answered[a:b]) for a, b in pairwise(rows.starts)]
    assert [size == 0 for size, _ in by_user] == [user % 2 == 1 for user in rows.users] and len(rows.users) > 15
    assert max(size for size, _ in by_user) == 3
    assert all(np.isnan(scores).all() == (size == 0) for size, scores in by_user)


def test_a_leak_would_be_seen(world: tuple[Catalogue, EventLog], config: Config) -> None:
    """The check above, with vectors that were fitted on the future as well."""
    catalogue, log = world

    def with_leak(log: EventLog) -> np.ndarray:
        leaking = fit_vectors(log, catalogue, config, as_of=TINY.end, on_sweep=lambda sweep: None)
        return make_signals(log, catalogue, Fitted(leaking), config, as_of=MOMENT).users.values

    assert not np.array_equal(with_leak(log), with_leak(reshuffled_future(log)))


def test_sampled_negatives_are_rows_that_no_source_found(world: tuple[Catalogue, EventLog], config: Config) -> None:
    catalogue, log = world
    narrow = config.sources.model_copy(update={"tops": config.sources.tops.model_copy(update={"k": 2})})
    asked = config.model_copy(update={"sources": narrow})
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=6, seed=0)
    signals = signals_at(catalogue, log, asked, as_of=MOMENT)
    router = OfflineRouter.over(signals, asked, generation="past")
    visits = list(past_visits(signals, router.spec, asked, users=users, label_days=LABEL_DAYS))
    plain, more = (ranking_rows(router, catalogue, users=users, visits=visits, sampled_negatives=ratio) for ratio in (0.0, 3.0))
    sources = np.array([name.endswith(".rank") for name in router.spec.features.columns()])
    sources[router.spec.features.columns().index("found.rank")] = False
    unfound = np.isnan(more.features[:, sources]).all(axis=1)
    assert not np.isnan(plain.features[:, sources]).all(axis=1).any()
    assert 0 < unfound.sum() <= 3 * plain.n_bought.sum()
    assert np.array_equal(more.features[~unfound], plain.features, equal_nan=True)


def test_seen_items_are_neither_candidates_nor_wanted_where_they_are_excluded(
    world: tuple[Catalogue, EventLog],
) -> None:
    catalogue, log = world
    config = tiny_config(Path("unused"), slate={"exclude_seen": True})
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=20, seed=0)
    rows = rows_of(catalogue, log, config, users)
    seen = rows_of(catalogue, log, tiny_config(Path("unused")), users)
    assert rows.n_bought.sum() < seen.n_bought.sum()


def test_sampled_users_were_active_in_the_window(world: tuple[Catalogue, EventLog]) -> None:
    _, log = world
    window = log.since(MOMENT).as_of(MOMENT + LABEL_DAYS * DAY_S)
    active = np.unique(np.concatenate([chunk.users for chunk in window.chunks()]))
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=20, seed=3)
    assert len(users) == 20 and np.isin(users, active).all() and (np.diff(users) > 0).all()
    assert np.array_equal(sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=10_000, seed=3), active)


def test_rows_survive_the_disk(world: tuple[Catalogue, EventLog], config: Config, tmp_path: Path) -> None:
    catalogue, log = world
    rows = rows_of(catalogue, log, config, sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=5, seed=0))
    rows.save(tmp_path)
    loaded = RankingRows.load(tmp_path)
    assert np.array_equal(loaded.features, rows.features, equal_nan=True)
    assert np.array_equal(loaded.starts, rows.starts) and np.array_equal(loaded.n_bought, rows.n_bought)
