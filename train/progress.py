"""How a build reports its progress. The caller chooses how to show it: as a bar, a line, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Told of one stage at a time: begin, then any number of advances, then end."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of `total` steps begins; 0 where the number is not known."""

    def advance(self, done: int) -> None:
        """`done` steps of the current stage are behind us, counted from its beginning."""

    def end(self, summary: str) -> None:
        """The current stage is complete; the summary says in a few words what came out, "reused" if an earlier build did it."""


class Quiet:
    """Says nothing."""

    def begin(self, stage: str, total: int) -> None:
        pass

    def advance(self, done: int) -> None:
        pass

    def end(self, summary: str) -> None:
        pass


class Lines:
    """One line a stage, for logs and pipes. `write` gets each line; `clock` counts seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._stage, self._began = "", 0.0

    def begin(self, stage: str, total: int) -> None:
        self._stage, self._began = stage, self._clock()

    def advance(self, done: int) -> None:
        pass

    def end(self, summary: str) -> None:
        self._write(f"{self._stage:<18} {self._clock() - self._began:7.1f} s  {summary}")
