"""The best rows of one source in one shard, with their scores: what a space returns to a source, and a source to the shard."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.types import FLOAT32, INT32, NO_FLOATS, NO_ROWS, Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class BestRows:
    """rows: (h,) int32, unique.  scores: (h,) float32, finite.  Both in canonical order: score descending, key ascending.

    strategy: the way of the search in a word, for people and metrics.
    """

    rows: Rows
    scores: Floats
    strategy: str

    def __post_init__(self) -> None:
        assert self.rows.dtype == INT32 and self.rows.ndim == 1, f"rows must be 1-d int32, got {self.rows.dtype}"
        assert self.scores.dtype == FLOAT32 and self.scores.ndim == 1, f"scores must be 1-d float32, got {self.scores.dtype}"
        assert len(self.scores) == len(self.rows), "scores must align with rows"

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls, strategy: str) -> BestRows:
        """No rows, and why."""
        return cls(NO_ROWS, NO_FLOATS, strategy)
