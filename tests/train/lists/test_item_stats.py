"""Statistics worked out by hand, all finite, blind to what comes after the moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.input.catalogue import NO_TIME
from train.input.event_log import DAY_S, EventKind, EventLog
from train.input.interactions import interactions
from train.lists.item_stats import Stats, exposure_stats, filled, item_stats
from train.lists.tops import bought_by_window

WINDOWS = (7, 28)
CATALOGUE = catalogue_of(["red", "blue", "red"], price=[2.0, None, 4.0])
PAST = [("a", 0, NOW_DAY - 20), ("a", 0, NOW_DAY - 10), ("b", 0, NOW_DAY - 1), ("b", 1, NOW_DAY - 2)]


def stats_of(log: EventLog) -> Stats:
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    return item_stats(CATALOGUE, pairs, bought_by_window(log, as_of=NOW, windows_days=WINDOWS), windows_days=WINDOWS)


def test_worked_out_by_hand() -> None:
    stats = stats_of(log_of(PAST, n_items=3))
    np.testing.assert_allclose(stats["log_bought_7d"], np.log1p([1, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(stats["log_buyers"], np.log1p([2, 1, 0]), rtol=1e-6)
    assert stats["age_days"].tolist() == [20, 2, -1] and stats["idle_days"].tolist() == [1, 2, -1]
    assert stats["price"].tolist() == [2, 3, 4]
    share = 1 / 3  # one of three pairs came back
    np.testing.assert_allclose(stats["repeat_share"], [(1 + 5 * share) / 7, 5 * share / 6, share], rtol=1e-6)
    np.testing.assert_allclose(stats["cycle_days"], [10, 10, 10], rtol=1e-6)
    assert stats["trend"][1] > stats["trend"][0] and stats["trend"][2] == pytest.approx(0)
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in stats.values())


def test_what_comes_later_changes_nothing() -> None:
    later = [("a", 2, NOW_DAY + 1), ("c", 1, NOW_DAY + 5), ("a", 0, NOW_DAY + 9)]
    before, after = stats_of(log_of(PAST, n_items=3)), stats_of(log_of([*PAST, *later], n_items=3))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_missing_numbers_take_the_median() -> None:
    assert filled(np.array([1.0, np.nan, 3.0, 8.0])).tolist() == [1, 3, 3, 8]
    assert filled(np.array([np.nan, np.nan])).tolist() == [0, 0]


def test_views_clicks_and_age_only_where_they_are_known() -> None:
    kinds: list[EventKind] = ["view", "view", "click", "purchase", "view"]
    events = [("a", 0, NOW_DAY - 3), ("b", 0, NOW_DAY - 2), ("a", 1, NOW_DAY - 2), ("a", 1, NOW_DAY), ("a", 2, NOW_DAY + 1)]
    log = log_of(events, n_items=3, kinds=kinds)
    stats = exposure_stats(log, CATALOGUE, as_of=NOW)
    np.testing.assert_allclose(stats["log_views"], np.log1p([2, 0, 0]), rtol=1e-6)  # the view of tomorrow is not known yet
    np.testing.assert_allclose(stats["log_clicks"], np.log1p([0, 1, 0]), rtol=1e-6)
    assert set(stats) == {"log_views", "log_clicks"}
    assert exposure_stats(log_of(PAST, n_items=3), CATALOGUE, as_of=NOW) == {}

    created = np.array([NOW - 5 * DAY_S, NO_TIME, NOW + DAY_S])
    dated = exposure_stats(log, replace(CATALOGUE, created=created), as_of=NOW)
    assert dated["listed_days"].tolist() == [5, 2, -1]
