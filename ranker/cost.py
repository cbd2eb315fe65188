"""How long a model will take for so many rows: what a deadline is compared with before the work begins.

Time is fixed + per_row * rows, both measured on this machine when the model is loaded. A busy machine stretches both, so
what is learnt while serving is one factor, `stretch`. It rises quickly and falls slowly: a guess too low breaks a
deadline, a guess too high only costs one request its heavy order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ranker.model import Model

RISE, FALL = 0.3, 0.05
STRETCH_MIN, STRETCH_MAX = 0.5, 50.0
PROBE_ROWS = 512
PROBE_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one call."""

    fixed_us: float
    per_row_us: float
    stretch: float = 1.0

    def of(self, rows: int) -> float:
        """The estimate for one call with so many rows."""
        return self.stretch * (self.fixed_us + self.per_row_us * rows)

    def after(self, rows: int, took_us: float) -> Cost:
        """The cost model that has also seen this call."""
        seen = took_us / (self.fixed_us + self.per_row_us * rows)
        weight = RISE if seen > self.stretch else FALL
        stretch = self.stretch + weight * (min(seen, STRETCH_MAX) - self.stretch)
        return replace(self, stretch=max(STRETCH_MIN, stretch))


def measure(model: Model, clock: Callable[[], float]) -> Cost:
    """Time the model on one row and on many. clock: seconds, monotonic."""

    def best_us(rows: int) -> float:
        features = np.zeros((len(model.columns), rows), np.float32).T
        taken = []
        for _ in range(PROBE_REPEATS):
            started = clock()
            model.score(features)
            taken.append(clock() - started)
        return min(taken) * 1e6

    one, many = best_us(1), best_us(PROBE_ROWS)
    per_row_us = max((many - one) / (PROBE_ROWS - 1), 1e-3)
    return Cost(fixed_us=max(one - per_row_us, 1.0), per_row_us=per_row_us)
