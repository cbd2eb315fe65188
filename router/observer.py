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

    def stage(self, stats: StageStats) -> None: ...

    def shard_answered(self, reply: ShardReply) -> None: ...

    def shard_missing(self, missing: MissingShard) -> None: ...

    def ranked(self, trace: RankTrace) -> None: ...

    def answered(self, recommendation: Recommendation) -> None: ...

    def refused(self, error: OskolokError) -> None: ...


class Silent:
    """Observes nothing."""

    def stage(self, stats: StageStats) -> None:
        pass

    def shard_answered(self, reply: ShardReply) -> None:
        pass

    def shard_missing(self, missing: MissingShard) -> None:
        pass

    def ranked(self, trace: RankTrace) -> None:
        pass

    def answered(self, recommendation: Recommendation) -> None:
        pass

    def refused(self, error: OskolokError) -> None:
        pass
