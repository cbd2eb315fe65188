"""What one source found in one shard: rows and scores, best first. The currency between a space, a source and the shard."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.types import FLOAT32, INT32, NO_FLOATS, NO_ROWS, Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """rows: (h,) int32, unique.  scores: (h,) float32, finite.  Both in canonical order: score descending, key ascending.

    strategy: how they were found, a short word for people and metrics.
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
    def nothing(cls, strategy: str) -> Found:
        """No hits, and why."""
        return cls(NO_ROWS, NO_FLOATS, strategy)
