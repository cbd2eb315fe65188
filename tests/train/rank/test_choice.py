"""What users choose: their best on average, as long as noise allows, and something where nobody counts."""

from __future__ import annotations

import numpy as np
import pytest

from train.rank.choice import Curve, choose, crossed

ALL = np.ones(4, bool)
FIRST = np.array([True, True, False, False])


def curve(*later: list[float]) -> Curve:
    """Points at 10, 20, … trees."""
    ndcgs = np.array(later, np.float64)
    return Curve(10 * np.arange(1, len(ndcgs) + 1), ndcgs[:, :1], ndcgs)


A = curve([0.1, 0.1, 0.9, 0.9], [0.6, 0.6, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2])
B = curve([0.2, 0.2, 0.3, 0.3], [0.1, 0.1, 0.95, 0.95], [0.1, 0.1, 0.7, 0.7])
BOTH = {"YetiRank": A, "Logloss": B}


def test_who_chooses_decides() -> None:
    first, second = choose(BOTH, FIRST), choose(BOTH, ~FIRST)
    assert (first.winner, first.n_trees) == ("YetiRank", {"YetiRank": 20, "Logloss": 10})
    assert (second.winner, second.n_trees) == ("Logloss", {"YetiRank": 10, "Logloss": 20})


def test_neither_half_judges_its_own_choice() -> None:
    halves = choose(BOTH, FIRST), choose(BOTH, ~FIRST)
    judged = {choice.winner: users.tolist() for users, choice in crossed(FIRST, halves)}
    assert judged == {"Logloss": FIRST.tolist(), "YetiRank": (~FIRST).tolist()}


def test_the_first_loss_serves_unless_another_is_told_from_it() -> None:
    rng = np.random.default_rng(1)
    easy, everybody = rng.random(400), np.ones(400, bool)
    first, like, better = (
        Curve(np.array([10]), easy[None, :1], (easy + ahead + rng.normal(0, 0.2, 400))[None]) for ahead in (0.0, 0.001, 0.1)
    )
    assert choose({"Logloss": first, "YetiRank": like}, everybody).winner == "Logloss"
    assert choose({"YetiRank": like, "Logloss": first}, everybody).winner == "YetiRank"
    assert choose({"Logloss": first, "YetiRank": like, "LambdaMart": better}, everybody).winner == "LambdaMart"


def test_what_is_not_told_from_the_best_is_kept() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(400)  # users differ, which says nothing of points
    noise = rng.normal(0, 0.05, (4, 400))
    rising = Curve(10 * np.arange(1, 5), noise[:, :1], easy + np.array([[0.0], [0.3], [0.3], [0.3]]) + noise)
    falling = Curve(rising.stops, noise[:, :1], easy + np.array([[0.0], [0.3], [0.2], [0.1]]) + noise)
    assert choose({"Logloss": rising}, np.ones(400, bool)).n_trees["Logloss"] >= 30
    assert choose({"Logloss": falling}, np.ones(400, bool)).n_trees["Logloss"] == 20


def test_nobody_who_counts_keeps_the_first_loss_whole() -> None:
    nothing = curve([np.nan] * 4, [np.nan] * 4)
    for users in (ALL, np.zeros(4, bool)):
        choice = choose({"YetiRank": nothing, "Logloss": nothing}, users)
        assert (choice.winner, choice.n_trees) == ("YetiRank", {"YetiRank": 20, "Logloss": 20})


def test_the_points_are_means_of_those_who_count() -> None:
    (point,) = curve([0.1, np.nan, 0.8, 0.8]).points
    assert point == (10, pytest.approx(0.1), pytest.approx((0.1 + 0.8 + 0.8) / 3))
