"""Was this process awake? It reads a clock often; a gap between readings is a time when it was not.

A stopped process, a frozen machine and a blocked event loop look alike from inside: the time jumps. A process that measures the
silence of others must not count such a time, in which it could neither ask nor listen.
"""

from __future__ import annotations

TICK_S = 0.25
"""How often an awake process reads the clock."""

ASLEEP_S = 2.0
"""A gap this long between two readings means that the process was not awake."""


class Wakefulness:
    """Read it at every decision, and every TICK_S besides."""

    def __init__(self, now: float) -> None:
        self._read_at = now

    def slept(self, now: float) -> bool:
        """Whether the process was not awake at some time since the last reading."""
        gap_s, self._read_at = now - self._read_at, now
        return gap_s > ASLEEP_S
