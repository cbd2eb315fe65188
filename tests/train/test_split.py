"""Two label windows at the end of the log, and a log that is too short for them."""

from __future__ import annotations

import pytest

from cluster.errors import ConfigError
from train.event_log import DAY_S
from train.split import split_log


def test_windows_follow_each_other_and_end_with_the_log() -> None:
    split = split_log(0, 100 * DAY_S, label_days=14)
    assert (split.training, split.validation, split.end) == (72 * DAY_S, 86 * DAY_S, 100 * DAY_S)


def test_a_short_log_is_refused_in_words() -> None:
    split_log(0, 42 * DAY_S, label_days=14)
    with pytest.raises(ConfigError, match=r"covers 41\.0 days, and train.ranker.label_days = 14 needs at least 42"):
        split_log(0, 41 * DAY_S, label_days=14)
