"""The protocol by which the router reports what happens. Metrics plug in here; the router imports no metrics library.

Implementations must be cheap and must not raise: they run inside the request.
"""

from __future__ import annotations

from typing import Protocol

from cluster.coverage import MissingShard
from cluster.errors import OskolokError
from cluster.types import ShardReply
from router.request import RankTrace, Recommendation, StageStats


class Observer(Protocol):
    """Told about every stage, every shard's reply or absence, every call to a ranker, and how every request ended."""

    def stage(self, stats: StageStats) -> None:
        return None

    def shard_answered(self, reply: ShardReply) -> None:
        return None

    def shard_missing(self, missing: MissingShard) -> None:
        return None

    def ranked(self, trace: RankTrace) -> None:
        return None

    def answered(self, recommendation: Recommendation) -> None:
        return None

    def refused(self, error: OskolokError) -> None:
        return None


class Silent(Observer):
    """Observes nothing."""
