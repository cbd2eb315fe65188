"""Label windows at the end of the log, as many as it reaches, and a log that is too short for them."""

from __future__ import annotations

import pytest

from train.input.event_log import DAY_S
from train.split import split_log


def test_windows_follow_each_other_and_end_with_the_log() -> None:
    split = split_log(0, 100 * DAY_S, label_days=14, moments=2)
    assert split.training == (72 * DAY_S, 58 * DAY_S)
    assert (split.judging, split.end) == (86 * DAY_S, 100 * DAY_S)


@pytest.mark.parametrize("moments", [1, 3, 50])
def test_nothing_learnt_from_reaches_beyond_the_judging_moment(moments: int) -> None:
    split = split_log(5, 100 * DAY_S, label_days=14, moments=moments)
    assert 1 <= len(split.training) <= moments
    assert all(moment + 14 * DAY_S <= split.judging for moment in split.training)
    assert min(split.training) - 14 * DAY_S >= 5


def test_a_log_gives_as_many_moments_as_it_can() -> None:
    assert len(split_log(0, 70 * DAY_S, label_days=14, moments=9).training) == 3


@pytest.mark.parametrize("days", [0, 1, 28, 41])
def test_a_short_log_has_no_moment_to_learn_at_and_says_why(days: int) -> None:
    assert split_log(0, 42 * DAY_S, label_days=14, moments=2).too_short == ""
    split = split_log(0, days * DAY_S, label_days=14, moments=2)
    assert split.training == () and split.judging == split.end == days * DAY_S
    assert f"covers {days}.0 days, and train.ranker.label_days = 14 needs at least 42" in split.too_short
