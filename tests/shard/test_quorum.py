"""Quorums add up alike in any partition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cluster.types import Affinity, Ask, Query
from shard.filter.eligible import Eligible, Mask
from shard.sources.quorum import Quorum
from shard.tables.quorum_table import QuorumTable


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 8), st.integers(1, 300), st.booleans())
def test_quorums_add_up_alike_however_common_a_category_is(seed: int, n_shards: int, k: int, ties: bool) -> None:
    """A category may be common in one shard and rare in another, which keep it in different forms."""
    rng = np.random.default_rng(seed)
    n, values = 900, tuple(f"c{i}" for i in range(12))
    weights = (rng.integers(1, 5, (n, 12)) / 4 if ties else rng.random((n, 12))) * (rng.random((n, 12)) < 0.125)
    keys = np.arange(n, dtype=np.int64)
    table = QuorumTable.of(keys, values, sparse.csr_array(weights.astype(np.float32)))
    profile = Affinity((*values[::-2], "unknown"), rng.integers(0, 4, 7).astype(np.float32) / np.float32(3))
    query = Query("g", (), profile={"kind": profile})

    def found(rows: np.ndarray) -> list[tuple[float, int]]:
        everything = Eligible(Mask(np.ones(len(rows), np.bool_)))
        hits = Quorum(table.take(rows, n), keys[rows], "kind").retrieve(query, Ask("quorum", 0), everything, k)
        return [(-score, int(rows[row])) for score, row in zip(hits.scores.tolist(), hits.rows.tolist(), strict=True)]

    owner = rng.integers(0, n_shards, n)
    merged = sorted(hit for shard in range(n_shards) for hit in found(np.flatnonzero(owner == shard).astype(np.int32)))
    assert merged[:k] == found(np.arange(n, dtype=np.int32))
