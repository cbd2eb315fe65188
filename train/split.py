"""The moments at which a log is cut, so that no model is trained, chosen or scored on events it could not have known.

      ───── history ─────┬── label days ──┬── label days ──┬── label days ──┐
                  training (2)      training (1)         judging           end
                  features ▏ labels  features ▏ labels   features ▏ labels

Ranking models learn from features as of each training moment and the purchases of the window after it. The judging moment is
later than all of that: there users choose which model serves and with how many trees, and each half of them scores what the
other half chooses. The generation that serves is computed from the whole log, as of its end.

A model that cannot be judged does not serve. A log too short for history and two windows, such as play counts that all have
the same time, has no training moments: nothing is fitted, and the merged order serves.
"""

from __future__ import annotations

import msgspec

from train.input.event_log import DAY_S


class Split(msgspec.Struct, frozen=True):
    """Unix seconds. Features as of a moment see events at or before it, labels those in the `label_days` after it.

    training: newest first; empty if the log is too short, and then judging is the end.  first: the first event.
    """

    training: tuple[int, ...]
    judging: int
    end: int
    label_days: int
    first: int = 0

    @property
    def too_short(self) -> str:
        """Why no models can be fitted and judged, in a line; "" if they can."""
        if self.training:
            return ""
        days = (self.end - self.first) / DAY_S
        return (
            f"the log covers {days:.1f} days, and train.ranker.label_days = {self.label_days} needs at least"
            f" {3 * self.label_days}: history, a training window and a window to judge by"
        )


def split_log(first_time: int, last_time: int, *, label_days: int, moments: int) -> Split:
    """The moments of a log from its first to its last event. At most `moments` of them are training moments, each with at least
    one more window of history before it.
    """
    window = label_days * DAY_S
    n_windows = (last_time - first_time) // window
    if n_windows < 3:
        return Split((), last_time, last_time, label_days, first_time)
    judging = last_time - window
    training = tuple(judging - at * window for at in range(1, min(moments, n_windows - 2) + 1))
    return Split(training, judging, last_time, label_days, first_time)
