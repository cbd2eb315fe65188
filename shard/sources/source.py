"""The protocol between a shard and its candidate sources."""

from __future__ import annotations

from typing import Protocol

from cluster.types import Ask, Query
from shard.best_rows import BestRows
from shard.filter.eligible import Eligible


class CandidateSource(Protocol):
    """One kind of candidates in one shard. Immutable, and safe to use from several threads."""

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> BestRows:
        """At most k hits, all eligible, in canonical order. `ask.k` is not looked at: the shard asks for one more.

        An exact source gives the true best under its score, so the merged answer is the same for any partition. One that
        promises k gives min(k, eligible.count).
        """
        ...
