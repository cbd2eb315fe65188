"""What each stage of one request did, in order, and which stages degraded."""

from __future__ import annotations

import time
from collections.abc import Iterable

from router.observer import Observer
from router.removal import Removed
from router.request import Degradation, Stage, StageStats

_NOTHING: Removed = {}


class Funnel:
    """One request's record. Stages follow each other without gaps, so their times add up to the total."""

    __slots__ = ("_began", "_degraded", "_lap", "_observer", "stages")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._began = self._lap = time.perf_counter()
        self._degraded: dict[Degradation, None] = {}
        self.stages: list[StageStats] = []

    def done(
        self,
        stage: Stage,
        n_in: int,
        n_out: int,
        *,
        removed: Removed = _NOTHING,
        degraded: Iterable[Degradation] = (),
    ) -> None:
        """A stage has ended: everything since the last one was its time. A reason to be degraded counts once."""
        now = time.perf_counter()
        stats = StageStats(stage, n_in, n_out, round((now - self._lap) * 1000, 3), removed)
        self._lap = now
        self.stages.append(stats)
        self._degraded.update(dict.fromkeys(degraded))
        self._observer.stage(stats)

    @property
    def degraded(self) -> tuple[Degradation, ...]:
        return tuple(self._degraded)

    def timings_ms(self) -> dict[str, float]:
        """By stage, and "total"."""
        timings: dict[str, float] = {stats.stage: stats.took_ms for stats in self.stages}
        timings["total"] = round((time.perf_counter() - self._began) * 1000, 3)
        return timings
