"""The moments between which a log is cut, so that no model is trained, chosen or judged on what it could not have known.

      ───── history ─────┬── label days ──┬── label days ──┬── label days ──┐
                  training (2)      training (1)         judging           end
                  features ▏ labels  features ▏ labels   features ▏ labels

Ranking models learn from features as of each training moment and the purchases of the window after it. At the judging moment,
strictly later than all they learnt from, users decide which of the models serves and with how many trees, and either half of
them tells how good is what the other half decides. What serves is computed from everything, as of the end.
"""

from __future__ import annotations

import msgspec

from cluster.errors import ConfigError
from train.event_log import DAY_S


class Split(msgspec.Struct, frozen=True):
    """Unix seconds. Features as of a moment see events at or before it, labels those in the `label_days` after it.

    training: newest first.
    """

    training: tuple[int, ...]
    judging: int
    end: int
    label_days: int


def split_log(first_time: int, last_time: int, *, label_days: int, moments: int) -> Split:
    """The moments of a log from its first to its last event, with at most `moments` to learn from, as many as it reaches.

    Raises ConfigError unless the log reaches back at least one more window before one training moment.
    """
    window = label_days * DAY_S
    n_windows = (last_time - first_time) // window
    if n_windows < 3:
        days = (last_time - first_time) / DAY_S
        raise ConfigError(
            f"the log covers {days:.1f} days, and train.ranker.label_days = {label_days} needs at least {3 * label_days}: "
            "history, a training window and a window to judge by"
        )
    judging = last_time - window
    training = tuple(judging - at * window for at in range(1, min(moments, n_windows - 2) + 1))
    return Split(training, judging, last_time, label_days)
