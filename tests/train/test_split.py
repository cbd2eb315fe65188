"""Label windows at the end of the log, as many as it reaches, and a log that is too short for them."""

from __future__ import annotations

import pytest

from cluster.errors import ConfigError
from train.event_log import DAY_S
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


def test_a_short_log_is_refused_in_words() -> None:
    split_log(0, 42 * DAY_S, label_days=14, moments=2)
    with pytest.raises(ConfigError, match=r"covers 41\.0 days, and train.ranker.label_days = 14 needs at least 42"):
        split_log(0, 41 * DAY_S, label_days=14, moments=2)
