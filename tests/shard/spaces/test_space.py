"""The space's promises: exactly min(k, eligible) rows, never another, in canonical order, whatever plan finds them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InternalError, InvalidQuery
from cluster.spec import Metric
from cluster.types import NO_ROWS, Floats, Rows
from shard.filter.eligible import Eligible, Mask
from shard.spaces.hnsw import Graph, build_graph
from shard.spaces.planner import Calibration, Costs, Depth
from shard.spaces.space import Space, normalised
from tests.shard.eligibility import eligible_without
from tests.shard.spaces.clouds import (
    ALWAYS_SCAN_ALL,
    ALWAYS_SCAN_LISTED,
    ALWAYS_WALK,
    DIM,
    METRICS,
    K,
    N,
    built,
    space_of,
)

Made = tuple[Floats, Floats, Graph, Calibration]
ALL_METRICS = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture(scope="module")
def made() -> Callable[[Metric], Made]:
    cache: dict[str, Made] = {}

    def of(metric: Metric) -> Made:
        if metric not in cache:
            cache[metric] = built(metric)
        return cache[metric]

    return of


def oracle(space: Space, vector: Floats, eligible: Eligible, k: int) -> Rows:
    """The answer in plain numpy, from scores in double precision."""
    items, query = space.vectors.astype(np.float64), space.scanner.prepared(vector).astype(np.float64)
    scores = -((items - query) ** 2).sum(axis=1) if space.metric == "l2" else items @ query
    allowed = np.flatnonzero(eligible.mask.bits)
    allowed = allowed[~np.isin(allowed, eligible.excluded)]
    return allowed[np.lexsort((allowed, -scores[allowed].astype(np.float32)))][:k].astype(np.int32)


def recall(space: Space, users: Floats, eligible: Eligible, k: int = K) -> float:
    """Mean recall@k of search; a result that is not exactly min(k, eligible) distinct eligible rows is an error."""
    shares = []
    for user in users:
        found = space.search(user, eligible, k)
        assert len(found) == len(set(found.rows.tolist())) == min(k, eligible.count)
        assert eligible.keep(found.rows).all()
        assert (space.scores(user, found.rows) == found.scores).all()
        shares.append(len(np.intersect1d(found.rows, oracle(space, user, eligible, k))) / min(k, eligible.count))
    return float(np.mean(shares))


def some_of(n: int, share: float, seed: int = 0) -> Eligible:
    return Eligible(Mask(np.random.default_rng(seed).random(n) < share))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 400),
    dim=st.integers(1, 20),
    metric=st.sampled_from(METRICS),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    k=st.integers(0, 500),
    ties=st.booleans(),
    graph=st.booleans(),
    zeros=st.sampled_from([0.0, 0.3, 1.0]),
    length=st.sampled_from([0.0, 1e-30, 1.0]),
)
def test_any_mask_any_k_any_metric(
    seed: int, n: int, dim: int, metric: Metric, share: float, k: int, ties: bool, graph: bool, zeros: float, length: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, dim)).astype(np.float32) if ties else rng.standard_normal((n, dim)).astype(np.float32)
    query = rng.integers(-1, 2, dim).astype(np.float32) if ties else rng.standard_normal(dim).astype(np.float32)
    vectors[rng.random(n) < zeros] = 0
    query *= np.float32(length)
    mask = Mask(rng.random(n) < share)
    eligible = eligible_without(mask, rng.integers(0, n, n // 5).astype(np.int32) if n else NO_ROWS)
    space = space_of(vectors, metric)
    assert space.exact(query, eligible, k).rows.tolist() == oracle(space, query, eligible, k).tolist()
    if graph and n:  # whatever the graph reaches, and told that it need not look hard
        hasty = Calibration(0.5, 1, (Depth(n, n, 0.5),))
        space = space_of(vectors, metric, graph=build_graph(space.vectors, metric, M=4), calibration=hasty, costs=ALWAYS_WALK)
    found = space.search(query, eligible, k)
    assert len(found) == min(k, eligible.count)
    assert eligible.keep(found.rows).all() and len(np.unique(found.rows)) == len(found)
    scores = space.scores(query, found.rows)
    assert (scores == found.scores).all()
    assert np.lexsort((found.rows, -scores)).tolist() == list(range(len(found)))


@ALL_METRICS
@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.05, 0.003])
@pytest.mark.parametrize(
    ("costs", "strategies"),
    [
        (ALWAYS_SCAN_ALL, {"exact"}),
        (ALWAYS_SCAN_LISTED, {"exact"}),
        (ALWAYS_WALK, {"hnsw", "hnsw_overfetch", "exact_fallback", "exact"}),
        (None, {"hnsw", "hnsw_overfetch", "exact_fallback", "exact"}),
    ],
    ids=["scan all", "scan listed", "walk", "as measured"],
)
def test_every_plan_reaches_the_recall_target(
    made: Callable[[Metric], Made], metric: Metric, share: float, costs: Costs | None, strategies: set[str]
) -> None:
    items, users, graph, calibration = made(metric)
    space = space_of(items, metric, graph=graph, calibration=calibration, costs=costs)
    eligible = some_of(N, share)
    assert recall(space, users[200:260], eligible) >= (1.0 if strategies == {"exact"} else 0.99)
    assert {space.search(user, eligible, K).strategy for user in users[200:210]} <= strategies


@ALL_METRICS
def test_walks_do_happen_when_they_are_cheap(made: Callable[[Metric], Made], metric: Metric) -> None:
    items, users, graph, calibration = made(metric)
    space = space_of(items, metric, graph=graph, calibration=calibration, costs=ALWAYS_WALK)
    assert space.search(users[0], some_of(N, 1), K).strategy == "hnsw"
    assert space.search(users[0], some_of(N, 0.5), K).strategy == "hnsw_overfetch"


def test_a_recall_checker_that_cannot_fail_proves_nothing(made: Callable[[Metric], Made]) -> None:
    """A planted wrong calibration: ef 1 for any depth."""
    items, users, _, _ = made("ip")
    liar = Calibration(0.99, 200, (Depth(N, 1, 0.999),))
    weak = build_graph(items, "ip", M=4, ef_construction=8)
    space = space_of(items, "ip", graph=weak, calibration=liar, costs=ALWAYS_WALK)
    assert recall(space, users[200:260], some_of(N, 1)) < 0.99


@ALL_METRICS
def test_eligible_rows_far_from_the_query_fall_back_to_an_exact_scan(made: Callable[[Metric], Made], metric: Metric) -> None:
    """A filter that correlates with the query in the worst way: only the farthest half is eligible."""
    items, users, graph, calibration = made(metric)
    space = space_of(items, metric, graph=graph, calibration=calibration, costs=ALWAYS_WALK)
    order = oracle(space, users[0], some_of(N, 1), N)
    bits = np.zeros(N, bool)
    bits[order[N // 2 :]] = True
    eligible = Eligible(Mask(bits))
    found = space.search(users[0], eligible, K)
    assert found.rows.tolist() == oracle(space, users[0], eligible, K).tolist()
    assert found.strategy == "exact_fallback"


@ALL_METRICS
def test_everything_near_was_seen(made: Callable[[Metric], Made], metric: Metric) -> None:
    items, users, graph, calibration = made(metric)
    space = space_of(items, metric, graph=graph, calibration=calibration, costs=ALWAYS_WALK)
    nearest = oracle(space, users[0], some_of(N, 1), 300)
    eligible = eligible_without(some_of(N, 1).mask, nearest)
    found = space.search(users[0], eligible, K)
    assert found.rows.tolist() == oracle(space, users[0], eligible, K).tolist()


@ALL_METRICS
def test_a_score_does_not_depend_on_the_partition(metric: Metric) -> None:
    rng = np.random.default_rng(2)
    vectors, query = rng.standard_normal((300, DIM)).astype(np.float32), rng.standard_normal(DIM).astype(np.float32)
    whole = space_of(vectors, metric).scores(query, np.arange(300, dtype=np.int32))
    for part in (np.arange(0, 300, 3), np.arange(1, 300, 7), np.array([299])):
        space = space_of(vectors[part], metric)
        assert (space.scores(query, np.arange(len(part), dtype=np.int32)) == whole[part]).all()


@ALL_METRICS
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-15, 1.0, 1e6])
def test_queries_of_any_length(made: Callable[[Metric], Made], metric: Metric, scale: float) -> None:
    items, users, graph, calibration = made(metric)
    space = space_of(items, metric, graph=graph, calibration=calibration, costs=ALWAYS_WALK)
    query = (users[300] * np.float32(scale)).astype(np.float32)
    found, eligible = space.search(query, some_of(N, 0.5), K), some_of(N, 0.5)
    assert len(found) == K and np.isfinite(found.scores).all()
    if scale in (0.0, 1e-30) and metric != "cosine":
        assert found.strategy in ("exact", "hnsw_overfetch")
    if scale == 0 and metric != "l2":
        assert found.rows.tolist() == np.flatnonzero(eligible.mask.bits)[:K].tolist(), "all tie: the smallest keys"


@ALL_METRICS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_a_query_that_is_not_finite_or_overflows_is_refused(metric: Metric, bad: float) -> None:
    space = space_of(np.ones((5, 3), np.float32), metric)
    query = np.array([1, bad, 1], np.float32)
    for ask in (
        lambda: space.search(query, some_of(5, 1), 2),
        lambda: space.exact(query, some_of(5, 1), 2),
        lambda: space.scores(query, np.array([0], np.int32)),
    ):
        with pytest.raises(InvalidQuery, match="not finite, or longer"):
            ask()


def test_a_query_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidQuery, match=r"shape \(4,\).*3 dimensions"):
        space_of(np.ones((5, 3), np.float32), "ip").search(np.ones(4, np.float32), some_of(5, 1), 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_vectors_that_cannot_be_scored_are_refused(bad: float) -> None:
    with pytest.raises(InternalError, match="finite"):
        space_of(np.array([[1, bad]], np.float32), "ip")


def test_rows_must_be_in_key_order() -> None:
    with pytest.raises(InternalError, match="ascending key order"):
        Space.from_arrays(np.ones((2, 2), np.float32), keys=np.array([3, 3]), metric="ip")


def test_cosine_normalises_and_keeps_zero_rows() -> None:
    vectors = np.array([[3, 4], [0, 0], [1e-30, 0]], np.float32)
    assert np.allclose(normalised(vectors), [[0.6, 0.8], [0, 0], [1, 0]])
    unit = normalised(vectors)
    assert normalised(unit) is unit
    assert space_of(vectors, "cosine").search(np.array([5, 0], np.float32), some_of(3, 1), 3).rows.tolist() == [2, 0, 1]


def test_an_empty_space_and_an_empty_mask_answer_nothing() -> None:
    empty = space_of(np.empty((0, 3), np.float32), "ip")
    assert empty.search(np.ones(3, np.float32), Eligible(Mask(np.empty(0, bool))), 5).strategy == "empty"
    space = space_of(np.ones((5, 3), np.float32), "ip")
    assert len(space.search(np.ones(3, np.float32), some_of(5, 0), 5)) == 0
    assert len(space.exact(np.ones(3, np.float32), some_of(5, 1), 0)) == 0
