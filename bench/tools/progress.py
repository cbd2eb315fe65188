"""The progress of a build, for the logs of a benchmark."""

from __future__ import annotations

from collections.abc import Callable

from train.progress import Quiet


class Lines(Quiet):
    """One line a stage, for logs and pipes. `write` gets each line; `clock` counts seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._stage, self._began = "", 0.0

    def begin(self, stage: str, total: int) -> None:
        self._stage, self._began = stage, self._clock()

    def end(self, summary: str) -> None:
        self._write(f"{self._stage:<18} {self._clock() - self._began:7.1f} s  {summary}")
