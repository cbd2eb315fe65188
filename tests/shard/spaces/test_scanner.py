"""The scanner's contract: exact bests, in canonical order, whatever the vectors, the mask and the k."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.spec import Metric
from cluster.types import NO_ROWS, Floats, Rows
from shard._kernel import Scanner, supported


def true_scores(vectors: Floats, query: Floats, metric: Metric) -> Floats:
    wide, other = vectors.astype(np.float64), query.astype(np.float64)
    return (-((wide - other) ** 2).sum(axis=1) if metric == "l2" else wide @ other).astype(np.float32)


def vectors_of(seed: int, n: int, dim: int, shape: str) -> Floats:
    """Kinds of data that have broken scans: ties, zeros, one huge coordinate, norms over many magnitudes, few values."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    if shape == "duplicates":
        vectors = vectors[rng.integers(0, max(n // 7, 1), n)]
    elif shape == "zeros":
        vectors[rng.random(n) < 0.5] = 0
    elif shape == "outlier":
        vectors[rng.integers(n), rng.integers(dim)] = 1e4
    elif shape == "magnitudes":
        vectors *= (10.0 ** rng.uniform(-18, 12, (n, 1))).astype(np.float32)
    elif shape == "integers":
        vectors = rng.integers(-2, 3, (n, dim)).astype(np.float32)
    return vectors


SHAPES = ("normal", "duplicates", "zeros", "outlier", "magnitudes", "integers")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3000),
    dim=st.sampled_from([1, 3, 8, 50, 64, 65, 130]),
    shape=st.sampled_from(SHAPES),
    metric=st.sampled_from(["ip", "l2"]),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    n_gone=st.sampled_from([0, 1, 20, 200]),
    k=st.sampled_from([1, 7, 100, 1000]),
)
@example(seed=1, n=3000, dim=64, shape="normal", metric="ip", share=1.0, n_gone=200, k=100)
@example(seed=2, n=3000, dim=64, shape="zeros", metric="l2", share=0.9, n_gone=0, k=7)
def test_the_best_are_the_best(
    seed: int, n: int, dim: int, shape: str, metric: Metric, share: float, n_gone: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = vectors_of(seed, n, dim, shape)
    query = vectors[rng.integers(n)] if rng.random() < 0.5 else rng.standard_normal(dim).astype(np.float32)
    passes = rng.random(n) < share
    rows = np.flatnonzero(passes).astype(np.int32)
    gone = np.sort(rng.choice(rows, min(n_gone, len(rows)), replace=False)) if len(rows) else NO_ROWS
    scanner = Scanner(vectors, metric)
    scores = scanner.scores(query, np.arange(n, dtype=np.int32))
    np.testing.assert_allclose(scores, true_scores(vectors, query, metric), rtol=3e-7, atol=0 if metric == "ip" else 1e-30)

    left = np.setdiff1d(rows, gone).astype(np.int32)
    assert_canonical(scanner.best_listed(query, rows, gone, k), scores, left, k)
    assert_canonical(scanner.best_passing(query, passes, gone, k), scores, left, k)
    everyone = np.arange(n, dtype=np.int32)
    assert_canonical(scanner.best_of_all(query, gone, k), scores, np.setdiff1d(everyone, gone).astype(np.int32), k)
    labels = rng.permutation(n)[: rng.integers(n + 1)].astype(np.uint64)
    kept = labels[np.isin(labels, left)][: k + 3].astype(np.int32)
    assert_canonical(scanner.rank(query, labels, passes, gone, k, 3), scores, kept, k)


def assert_canonical(found: tuple[Rows, Floats], scores: Floats, allowed: Rows, k: int) -> None:
    """Exactly the first k of the allowed by (score descending, row ascending), with the very scores."""
    expected = allowed[np.lexsort((allowed, -scores[allowed]))][:k]
    assert found[0].tolist() == expected.tolist()
    assert found[0].dtype == np.int32 and found[1].dtype == np.float32
    assert (found[1] == scores[expected]).all()


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_score_is_the_same_beside_any_rows(metric: Metric) -> None:
    vectors = vectors_of(5, 2000, 50, "normal")
    query = vectors_of(6, 1, 50, "normal")[0]
    whole = Scanner(vectors, metric).scores(query, np.arange(2000, dtype=np.int32))
    for part in np.array_split(np.arange(2000), 7):
        alone = Scanner(vectors[part].copy(), metric).scores(query, np.arange(len(part), dtype=np.int32))
        assert (alone == whole[part]).all()


def test_the_hundreds_best_of_many_rows() -> None:
    """Long enough that groups of rows are folded, which the property's sizes hardly reach."""
    vectors = vectors_of(8, 60_000, 16, "normal")
    scanner = Scanner(vectors, "ip")
    query = vectors_of(9, 1, 16, "normal")[0]
    scores = scanner.scores(query, np.arange(60_000, dtype=np.int32))
    for k in (1, 100, 3000):
        assert_canonical(scanner.best_of_all(query, NO_ROWS, k), scores, np.arange(60_000, dtype=np.int32), k)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dim", [7, 64, 100, 128, 200])
def test_every_instruction_set_returns_the_same_bits(metric: Metric, dim: int) -> None:
    vectors, query = vectors_of(3, 5000, dim, "normal"), vectors_of(4, 1, dim, "normal")[0]
    first, *others = (Scanner(vectors, metric, name) for name in supported())
    rows = np.arange(0, 5000, 3, dtype=np.int32)
    for other in others:
        for one, same in (
            (first.best_of_all(query, rows[:9], 100), other.best_of_all(query, rows[:9], 100)),
            (first.best_listed(query, rows, NO_ROWS, 50), other.best_listed(query, rows, NO_ROWS, 50)),
        ):
            assert (one[0] == same[0]).all() and (one[1] == same[1]).all()


def test_wrong_arguments_are_refused_before_memory_is_read() -> None:
    scanner = Scanner(np.ones((5, 4), np.float32), "ip")
    every = np.ones(5, bool)
    with pytest.raises(InvalidQuery, match=r"shape \(3,\).*4 dimensions"):
        scanner.best_of_all(np.ones(3, np.float32), NO_ROWS, 2)
    with pytest.raises((ValueError, IndexError)):
        scanner.scores(np.ones(4, np.float32), np.array([5], np.int32))
    with pytest.raises((ValueError, IndexError)):
        scanner.rank(np.ones(4, np.float32), np.array([7], np.uint64), every, NO_ROWS, 1, 0)
