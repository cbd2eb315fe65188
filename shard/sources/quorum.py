"""Quorums: items whose consumers like the categories the user likes. Exact; promises no number.

    score(i) = Σ over categories c of TF·IDF(i, c) · UF(c)

with UF the query's profile of the quorum's attribute, summed in float64 by ascending category and rounded once.
"""

from __future__ import annotations

import numpy as np

from cluster.order import top_k
from cluster.types import Affinity, Ask, Floats, Keys, Query, Rows
from shard.eligible import Eligible
from shard.found import Found
from shard.quorum_table import QuorumTable


class Quorum:
    """attribute: whose profile is the user's UF."""

    def __init__(self, table: QuorumTable, keys: Keys, attribute: str) -> None:
        self._lists = table.by_value
        self._keys = keys
        self._attribute = attribute

    def retrieve(self, query: Query, ask: Ask, eligible: Eligible, k: int) -> Found:
        profile = query.profile.get(self._attribute)
        if profile is None:
            return Found.nothing("no_profile")
        rows, scores = self._scored(self._uf(profile), eligible.rows())
        best = top_k(scores, self._keys[rows], k)
        return Found(rows[best], scores[best], "rows")

    def _uf(self, profile: Affinity) -> Floats:
        """(categories,) float32: how much the user likes each, 0 where not at all."""
        uf = np.zeros(len(self._lists), np.float32)
        for value, weight in zip(profile.values, profile.weights.tolist(), strict=True):
            at = self._lists.position.get(value)
            if at is not None and weight > 0:
                uf[at] = weight
        return uf

    def _scored(self, uf: Floats, rows: Rows) -> tuple[Rows, Floats]:
        """Those of some rows that have a score above 0, and their scores."""
        rows, firsts, categories, weights = self._lists.entries_of(rows)
        lengths = np.diff(np.append(firsts, len(categories)))
        parts = uf.astype(np.float64)[categories] * weights
        scores = np.bincount(np.repeat(np.arange(len(rows)), lengths), parts, minlength=len(rows)).astype(np.float32)
        held = scores > 0
        return rows[held], scores[held]
