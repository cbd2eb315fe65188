"""Seed sets worked out by hand: who came back, what was marked, what was looked at; never anything of the future."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.logs import NOW, NOW_DAY, log_of
from train.input.event_log import EventKind, EventLog
from train.input.interactions import interactions
from train.lists.seed_sets import UserSeeds, favourites, viewed


def favourites_of(log: EventLog, n_max: int = 10) -> UserSeeds:
    return favourites(log, interactions(log, as_of=NOW, half_life_days=30), n_max=n_max)


def of(seeds: UserSeeds, user: int, n_items: int) -> tuple[list[int], list[float], list[float]]:
    mine = seeds.of(user, np.arange(n_items, dtype=np.int64))
    return mine.keys.tolist(), [round(float(w), 4) for w in mine.weights], mine.ages_days.tolist()


def test_what_was_bought_again_and_again() -> None:
    habit = [("a", 1, NOW_DAY - 30), ("a", 1, NOW_DAY - 30.5), ("a", 1, NOW_DAY)]
    seeds = favourites_of(log_of([*habit, ("a", 0, NOW_DAY), ("a", 0, NOW_DAY - 1), ("b", 2, NOW_DAY)], n_items=3))
    weight = (1 - 1 / 3) * (0.5 + 2 ** -(30.5 / 30) + 1)
    assert of(seeds, 0, 3) == ([1], [round(weight, 4)], [0])
    assert of(seeds, 1, 3) == ([], [], [])


def test_a_mark_counts_beside_a_habit_and_by_itself() -> None:
    events = [("a", 1, NOW_DAY - d) for d in (0.0, 0.25, 0.5)] + [("a", 1, NOW_DAY - 7), ("a", 2, NOW_DAY - 60)]
    kinds: list[EventKind] = ["purchase"] * 3 + ["favourite"] * 2
    seeds = favourites_of(log_of([*events, ("b", 0, NOW_DAY)], n_items=3, kinds=[*kinds, "purchase"]))
    keys, weights, ages = of(seeds, 0, 3)
    assert keys == [1, 2] and weights[1] == 1 and ages == [0, 60]
    assert weights[0] == pytest.approx(1 + 2 / 3 * (1 + 2 ** -(0.25 / 30) + 2 ** -(0.5 / 30)), abs=1e-4)


def test_only_the_strongest_are_kept_and_ties_go_to_the_smaller_row() -> None:
    kinds: list[EventKind] = ["favourite"] * 4
    log = log_of([("a", item, NOW_DAY) for item in (3, 2, 1, 0)], n_items=4, kinds=kinds)
    assert of(favourites_of(log, n_max=2), 0, 4)[0] == [0, 1]


def test_views_newest_first_each_item_once() -> None:
    events = [("a", 0, NOW_DAY - 3), ("a", 1, NOW_DAY - 2), ("a", 0, NOW_DAY - 1), ("b", 2, NOW_DAY)]
    kinds: list[EventKind] = ["view", "view", "view", "purchase"]
    seeds = viewed(log_of(events, n_items=3, kinds=kinds), as_of=NOW, n_max=10, half_weight_items=1)
    assert seeds is not None
    assert of(seeds, 0, 3) == ([0, 1], [1, 0.5], [1, 2])
    assert of(seeds, 1, 3)[0] == []


def test_views_and_clicks_together_and_a_click_weighs_two_views() -> None:
    kinds: list[EventKind] = ["view"] * 17 + ["click"]
    log = log_of([*(("a", item, NOW_DAY - item) for item in range(17)), ("a", 3, NOW_DAY - 3)], n_items=17, kinds=kinds)
    seeds = viewed(log, as_of=NOW, n_max=30, half_weight_items=2)
    assert seeds is not None
    items, weights, ages = of(seeds, 0, 17)
    assert items[:5] == [0, 1, 3, 2, 4] and len(items) == 17, "the click moves its item ahead of what was seen just before"
    assert weights[:5] == [1, 0.7071, 0.7071, 0.5, 0.25] and ages[2] == 3


def test_a_log_of_purchases_has_no_views() -> None:
    assert viewed(log_of([("a", 0, NOW_DAY)], n_items=1), as_of=NOW, n_max=10, half_weight_items=1) is None


def test_what_comes_later_changes_nothing() -> None:
    now: list[tuple[str, int, float]] = [("a", 1, NOW_DAY - d) for d in (1, 2, 3)] + [("a", 0, NOW_DAY - 4)]
    later: list[tuple[str, int, float]] = [("a", 1, NOW_DAY + 1), ("a", 2, NOW_DAY + 2), ("a", 3, NOW_DAY + 3)]
    kinds: list[EventKind] = ["purchase"] * 3 + ["click"]
    future: list[EventKind] = ["purchase", "favourite", "click"]
    before, after = log_of(now, n_items=4, kinds=kinds), log_of(now + later, n_items=4, kinds=kinds + future)
    assert of(favourites_of(before), 0, 4) == of(favourites_of(after), 0, 4)
    seen = [viewed(log, as_of=NOW, n_max=10, half_weight_items=1) for log in (before, after)]
    assert seen[0] is not None and seen[1] is not None and of(seen[0], 0, 4) == of(seen[1], 0, 4)
