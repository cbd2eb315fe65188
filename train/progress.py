"""How a build reports its progress. The caller chooses how to show it: as a bar, a line, or not at all."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of one stage at a time: begin, then any number of advances, then end."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of `total` steps begins; 0 where the number is not known."""
        return

    def advance(self, done: int) -> None:
        """`done` steps of the current stage are behind us, counted from its beginning."""
        return

    def end(self, summary: str) -> None:
        """The current stage is complete; the summary says in a few words what came out, "reused" if an earlier build did it."""
        return


class Quiet(Progress):
    """Says nothing."""
