"""What users choose: their best on average, the cheaper of equals, and something where nobody counts."""

from __future__ import annotations

import numpy as np
import pytest

from train.choice import Curve, choose

ALL = np.ones(4, bool)
FIRST = np.array([True, True, False, False])


def curve(*later: list[float]) -> Curve:
    """Points at 10, 20, … trees."""
    ndcgs = np.array(later, np.float64)
    return Curve(10 * np.arange(1, len(ndcgs) + 1), ndcgs[:, :1], ndcgs)


A = curve([0.1, 0.1, 0.9, 0.9], [0.6, 0.6, 0.1, 0.1], [0.3, 0.3, 0.3, 0.3])
B = curve([0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.8, 0.8], [0.1, np.nan, 0.8, 0.8])


def test_who_chooses_decides() -> None:
    everybody = choose({"YetiRank": A, "Logloss": B}, ALL)
    assert (everybody.winner, everybody.n_trees) == ("Logloss", {"YetiRank": 10, "Logloss": 30})
    first = choose({"YetiRank": A, "Logloss": B}, FIRST)
    assert (first.winner, first.n_trees) == ("YetiRank", {"YetiRank": 20, "Logloss": 10})
    second = choose({"YetiRank": A, "Logloss": B}, ~FIRST)
    assert (second.winner, second.n_trees) == ("YetiRank", {"YetiRank": 10, "Logloss": 20})


def test_nobody_who_counts_keeps_the_first_loss_whole() -> None:
    nothing = curve([np.nan] * 4, [np.nan] * 4)
    for users in (ALL, np.zeros(4, bool)):
        choice = choose({"YetiRank": nothing, "Logloss": nothing}, users)
        assert (choice.winner, choice.n_trees) == ("YetiRank", {"YetiRank": 20, "Logloss": 20})


def test_the_points_are_means_of_those_who_count() -> None:
    *_, last = B.points
    assert last == (30, pytest.approx(0.1), pytest.approx((0.1 + 0.8 + 0.8) / 3))
