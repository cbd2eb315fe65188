"""What each stage of one request did, in order, and which stages degraded."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from router.observer import Observer
from router.removal import Removed
from router.request import Degradation, Stage, StageStats


@dataclass(frozen=True, slots=True)
class Flow:
    """What went through a stage: candidates in and out, what it removed by reason, and how it made the answer worse."""

    n_in: int
    n_out: int
    removed: Removed = field(default_factory=dict)
    degraded: tuple[Degradation, ...] = ()


class StageResult(Protocol):
    """What a stage hands on to the next."""

    @property
    def flow(self) -> Flow: ...


class Funnel:
    """One request's record. Stages follow each other without gaps, so their times add up to the total."""

    __slots__ = ("_began", "_degraded", "_lap", "_observer", "stages")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._began = self._lap = time.perf_counter()
        self._degraded: dict[Degradation, None] = {}
        self.stages: list[StageStats] = []

    def done(self, stage: Stage, result: StageResult, *, degraded: Iterable[Degradation] = ()) -> None:
        """A stage has ended: everything since the last one was its time. A reason to be degraded counts once.

        degraded: what else made the answer worse meanwhile.
        """
        now, flow = time.perf_counter(), result.flow
        stats = StageStats(stage, flow.n_in, flow.n_out, round((now - self._lap) * 1000, 3), flow.removed)
        self._lap = now
        self.stages.append(stats)
        self._degraded.update(dict.fromkeys((*flow.degraded, *degraded)))
        self._observer.stage(stats)

    @property
    def degraded(self) -> tuple[Degradation, ...]:
        return tuple(self._degraded)

    def timings_ms(self) -> dict[str, float]:
        """By stage, and "total"."""
        timings: dict[str, float] = {stats.stage: stats.took_ms for stats in self.stages}
        timings["total"] = round((time.perf_counter() - self._began) * 1000, 3)
        return timings
