"""A request's time budget: set once at the edge, passed down, checked between stages.

It is a point on this process's monotonic clock. Clocks do not travel, so what crosses a wire is `remaining_ms`, and the
receiver makes its own Deadline from it. Decisions take the clock as an argument; tests inject one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from cluster.errors import DeadlineExceeded

Clock = Callable[[], float]


class Deadline:
    """When a request must have been answered.

    >>> now = lambda: 100.0
    >>> Deadline.after_ms(50, now).remaining_ms()
    50.0
    """

    __slots__ = ("at", "clock")

    def __init__(self, at: float, clock: Clock = time.monotonic) -> None:
        self.at = at
        self.clock = clock

    @classmethod
    def after_ms(cls, budget_ms: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline that lies `budget_ms` from now."""
        return cls(clock() + budget_ms / 1000, clock)

    def remaining_ms(self) -> float:
        """Milliseconds left, never below zero."""
        return max(0.0, round((self.at - self.clock()) * 1000, 6))

    def remaining_s(self) -> float:
        """Seconds left, never below zero: what asyncio's timeouts take."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        return self.clock() >= self.at

    def part(self, share: float = 1.0, *, at_most_ms: float = inf) -> Deadline:
        """A stage's own deadline: `share` of the time left, and no more than `at_most_ms`."""
        budget_ms = min(at_most_ms, self.remaining_ms() * share)
        return Deadline(min(self.at, self.clock() + budget_ms / 1000), self.clock)

    def check(self, stage: str) -> None:
        """Raise DeadlineExceeded, naming the stage that would have begun, once the time is over."""
        if self.expired:
            raise DeadlineExceeded(f"the deadline passed before {stage}", stage=stage)
