"""What becomes of a matrix of TF · IDF as a shard's table, and that all shards agree on the categories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cluster.errors import InternalError
from shard.tables.quorum_table import QuorumTable

KEYS = np.array([2, 4, 6], np.int64)
WEIGHTS = np.array([[0.5, 0, 1], [0.5, -1, 2], [0.75, 0, 0]], np.float32)


def test_a_category_lists_its_items_best_first_and_ties_by_key() -> None:
    table = QuorumTable.of(KEYS, ("a", "b", "c"), sparse.csr_array(WEIGHTS))
    assert table.values == ("a", "b", "c")
    assert [rows.tolist() for rows, _ in map(table.by_value.at, range(3))] == [[2, 0, 1], [], [1, 0]]
    assert table.by_value.slice("c")[1].tolist() == [2, 1]


def test_a_shard_names_all_categories_also_those_it_has_nothing_of() -> None:
    table = QuorumTable.of(KEYS, ("a", "b", "c"), sparse.csr_array(WEIGHTS)).take(np.array([2], np.int32), 3)
    assert table.values == ("a", "b", "c")
    assert [rows.tolist() for rows, _ in map(table.by_value.at, range(3))] == [[0], [], []]


def test_a_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InternalError, match="list b: 1 of 1 scores"):
        QuorumTable.of(KEYS, ("a", "b", "c"), sparse.csr_array(np.where(WEIGHTS == -1, np.nan, WEIGHTS)))
