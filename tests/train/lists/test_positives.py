"""Diverse positives: the formula by hand, its two ends, and histories of every length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cluster.config.train import PositivesSection
from tests.train.logs import NOW, NOW_DAY, log_of
from train.input.interactions import interactions
from train.lists.positives import marginal, positives

MILK, BREAD, CATS = [1, 0, 0], [0, 1, 0], [0, 0, 1]
UNIT = np.array([MILK, MILK, MILK, BREAD, CATS], np.float32)
WEIGHTS = np.array([10, 9, 8, 5, 1], np.float32)


def chosen(n_items: int, diversity: float) -> list[int]:
    return marginal(WEIGHTS[None], UNIT[None], PositivesSection(n_items=n_items, diversity=diversity))[0].tolist()


def test_without_diversity_the_strongest() -> None:
    assert chosen(3, 0) == [0, 1, 2]


def test_with_nothing_but_diversity_those_most_unlike_each_other() -> None:
    assert chosen(3, 1) == [0, 3, 4]


def test_by_the_formula() -> None:
    """After the first milk, the second is worth .5 · .9 − .5 · 1, bread .5 · .5 − 0, cats .5 · .1 − 0."""
    assert chosen(3, 0.5) == [0, 3, 4]
    assert chosen(3, 0.25) == [0, 1, 3]  # .75 · .9 − .25 = .425 > .75 · .5 = .375


def test_nobody_is_chosen_twice() -> None:
    same = np.tile(np.array([MILK], np.float32), (30, 1))
    picked = marginal(np.ones((1, 30), np.float32), same[None], PositivesSection(n_items=20, diversity=1))[0].tolist()
    assert sorted(picked) == list(range(20))


@pytest.mark.parametrize("n_items", [1, 3, 100])
def test_of_each_user_at_most_so_many(n_items: int) -> None:
    events = [("a", item, NOW_DAY - 1) for item in range(5)] + [("b", 4, NOW_DAY), ("c", 0, NOW_DAY + 1)]
    log = log_of(events, n_items=5)
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    seeds = positives(pairs, UNIT, PositivesSection(n_items=n_items, diversity=0.5))
    assert np.diff(seeds.starts).tolist() == [min(n_items, 5), 1, 0]
    assert seeds.items[-1] == 4 and seeds.ages_days[-1] == 0
    kept = seeds.items[: seeds.starts[1]]
    assert len(np.unique(kept)) == len(kept) and (seeds.weights[:-1] == pairs.weights[0]).all()


def test_items_at_the_origin_are_no_obstacle() -> None:
    log = log_of([("a", item, NOW_DAY) for item in range(4)], n_items=4)
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    seeds = positives(pairs, np.zeros((4, 3), np.float32), PositivesSection(n_items=2))
    assert len(seeds.items) == 2


def test_users_of_one_batch_are_chosen_for_one_by_one() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 4)).astype(np.float32)
    events = [(f"{user:02}", item, NOW_DAY - 1) for user in range(40) for item in range(user // 2, user // 2 + 1 + user)]
    pairs = interactions(log_of(events, n_items=60), as_of=NOW, half_life_days=60)
    section = PositivesSection(n_items=5, diversity=0.5)
    seeds = positives(pairs, vectors, section)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for user, (begin, end) in enumerate(pairwise(pairs.starts)):
        mine = pairs.items[begin:end]
        own = slice(seeds.starts[user], seeds.starts[user + 1])
        if len(mine) <= 5:
            assert sorted(seeds.items[own]) == sorted(mine)
        else:
            alone = marginal(pairs.weights[None, begin:end], unit[None, mine], section)[0]
            assert sorted(seeds.items[own]) == sorted(mine[alone])
