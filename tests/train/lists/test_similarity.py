"""Against dense cosines, with several blocks; stop values, appeal, re-ranking, representatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from train.input.item_values import ItemValues
from train.lists import similarity
from train.lists.item_lists import ItemLists
from train.lists.similarity import (
    AttributeSettings,
    appeal,
    representatives,
    reranked,
    similar_by_attributes,
    similar_by_vectors,
)


def best_of(scores: np.ndarray, top: int) -> list[list[int]]:
    return [[int(j) for j in np.lexsort((np.arange(len(row)), -row))[:top] if row[j] > 0] for row in scores]


def targets_of(lists: ItemLists) -> list[list[int]]:
    return [lists.targets[a:b].tolist() for a, b in zip(lists.starts[:-1], lists.starts[1:], strict=True)]


def values_of(dense: np.ndarray) -> ItemValues:
    return ItemValues(sparse.csr_array(dense.astype(np.float32)), tuple(f"v{v}" for v in range(dense.shape[1])))


@pytest.mark.parametrize("floats", [10, 1 << 20])
def test_nearest_by_cosine(monkeypatch: pytest.MonkeyPatch, floats: int) -> None:
    monkeypatch.setattr(similarity, "_BLOCK_FLOATS", floats)
    vectors = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    vectors[7] = 0
    norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    cosines = vectors @ vectors.T / norms / norms[:, None]
    np.fill_diagonal(cosines, 0)
    assert targets_of(similar_by_vectors(vectors, top=4)) == best_of(cosines, 4)


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_nearest_by_attributes(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(similarity, "_BLOCK_PAIRS", block)
    rng = np.random.default_rng(1)
    kind, tags = np.eye(12)[rng.integers(0, 12, 40)], rng.random((40, 9)) < 0.2
    tags[:, 8] = rng.random(40) < 0.9  # too frequent to mean anything
    settings = AttributeSettings({"kind": 2.0, "tags": 1.0}, frequent_share=0.5, top=40)
    parts = []
    for dense, weight in ((kind, 2.0), (tags, 1.0)):
        counts = dense.sum(axis=0)
        idf = [weight * np.log(40 / c) if 0 < c <= 20 else 0 for c in counts]
        parts.append(dense * idf)
    x = np.hstack(parts)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    expected = x @ x.T
    np.fill_diagonal(expected, 0)
    found = similar_by_attributes({"kind": values_of(kind), "tags": values_of(tags)}, settings)
    np.testing.assert_allclose(found.matrix().toarray(), expected, atol=1e-6)


def test_only_the_asked_sources_have_lists() -> None:
    vectors = np.random.default_rng(2).standard_normal((10, 3)).astype(np.float32)
    asked = np.zeros(10, bool)
    asked[[2, 5]] = True
    every, some = similar_by_vectors(vectors, top=3), similar_by_vectors(vectors, top=3, sources=asked)
    assert targets_of(some) == [targets if asked[i] else [] for i, targets in enumerate(targets_of(every))]
    kinds = {"kind": values_of(np.eye(3)[[0, 0, 1, 1, 1, 2, 2, 2, 2, 0]])}
    lists = similar_by_attributes(kinds, AttributeSettings({"kind": 1.0}, frequent_share=1.0), sources=asked)
    assert [i for i, targets in enumerate(targets_of(lists)) if targets] == [2, 5]


def test_appeal_of_the_unknown_is_that_of_its_kind() -> None:
    kinds = values_of(np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]]))
    bought = np.array([9.0, 1, 2, 0, 3])
    found = appeal(bought, kinds, prior=2.0)
    np.testing.assert_allclose(found, (bought + 2 * np.array([5, 5, 1, 1, 3])) / (3 * 3), rtol=1e-6)
    assert (appeal(np.zeros(5), kinds, prior=1.0) > 0).all()


def test_what_people_want_moves_up_and_the_list_is_cut() -> None:
    lists = ItemLists(np.array([0, 3, 3, 3, 3]), np.array([1, 2, 3], np.int32), np.array([0.9, 0.8, 0.1], np.float32))
    wanted = np.array([1.0, 0.25, 1.0, 4.0])
    found = reranked(lists, wanted, exponent=0.5, top=2)
    assert found.targets.tolist() == [2, 1]
    np.testing.assert_allclose(found.weights, [0.8, 0.45], rtol=1e-6)


def test_representatives_are_those_of_most_histories() -> None:
    assert np.flatnonzero(representatives(np.array([3, 9, 3, 0, 5]), 3)).tolist() == [0, 1, 4]
    assert representatives(np.array([1, 2]), 5).all()
