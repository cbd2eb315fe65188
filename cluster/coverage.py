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
class ShardCounts:
    """total = ok + late + failed + loading, always."""

    total: int
    ok: int
    late: int
    failed: int
    loading: int

    def __post_init__(self) -> None:
        assert self.total == self.ok + self.late + self.failed + self.loading, "coverage parts must add up"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the catalogue an answer was drawn from; HTTP answers it as it is.

    ratio: items in answering shards / all items.  by_source: source -> the same, over shards that ran it.
    """

    ratio: float
    required: float
    shards: ShardCounts
    missing: tuple[MissingShard, ...]
    by_source: Mapping[str, float]

    def __post_init__(self) -> None:
        assert len(self.missing) == self.shards.total - self.shards.ok, "every missing shard is named"
