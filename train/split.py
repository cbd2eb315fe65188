"""The moments between which a log is cut, so that no model is trained or judged on what it could not have known.

      ───────────── history ─────────────┬── label days ──┬── label days ──┐
                              training moment      validation moment       end
                                     features ▏ labels       features ▏ labels

Ranking models learn from features as of the training moment and the purchases of the window after it; they are judged at the
validation moment, strictly later. What serves is computed from everything, as of the end.
"""

from __future__ import annotations

import msgspec

from cluster.errors import ConfigError
from train.event_log import DAY_S


class Split(msgspec.Struct, frozen=True):
    """Unix seconds. Features as of a moment see events at or before it, labels those in the `label_days` after it."""

    training: int
    validation: int
    end: int
    label_days: int


def split_log(first_time: int, last_time: int, *, label_days: int) -> Split:
    """The moments of a log from its first to its last event.

    Raises ConfigError unless the log reaches back at least one more window before the training moment.
    """
    window = label_days * DAY_S
    training = last_time - 2 * window
    if training - window < first_time:
        days = (last_time - first_time) / DAY_S
        raise ConfigError(
            f"the log covers {days:.1f} days, and train.ranker.label_days = {label_days} needs at least {3 * label_days}: "
            "history, a training window and a validation window"
        )
    return Split(training, last_time - window, last_time, label_days)
