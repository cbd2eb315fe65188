"""How much of the catalogue an answer was drawn from, and which shards are missing for which reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MissingReason = Literal["timeout", "failed", "loading"]


@dataclass(frozen=True, slots=True)
class MissingShard:
    """A shard whose candidates are not in the answer, and why."""

    shard: int
    replica: str
    reason: MissingReason
    detail: str
    waited_ms: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the catalogue an answer was drawn from.

    ratio: items in answering shards / all items.  by_source: source -> the same, over shards that ran it.
    total == ok + late + failed + loading, always.
    """

    ratio: float
    required: float
    total: int
    ok: int
    late: int
    failed: int
    loading: int
    missing: tuple[MissingShard, ...]
    by_source: Mapping[str, float]

    def __post_init__(self) -> None:
        assert self.total == self.ok + self.late + self.failed + self.loading, "coverage parts must add up"
        assert len(self.missing) == self.total - self.ok, "every missing shard is named"
