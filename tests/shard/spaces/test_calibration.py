"""What the build promises of a graph must hold for other queries, and be little where the graph is poor."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cluster.spec import Metric
from cluster.types import NO_ROWS
from shard.spaces.calibration import calibrate
from shard.spaces.hnsw import build_graph
from shard.spaces.planner import Calibration, Depth
from tests.shard.spaces.clouds import METRICS, items_and_users, space_of

ITEMS, USERS = items_and_users(n=2500)
SPACE = space_of(ITEMS, "ip", graph=build_graph(ITEMS, "ip", M=12, ef_construction=100))


def test_the_target_holds_for_other_queries_at_every_measured_depth() -> None:
    calibration = calibrate(SPACE, USERS[:200], 0.97, scans_max=float("inf"))
    assert [entry.depth for entry in calibration.depths][:4] == [10, 20, 50, 100]
    assert SPACE.graph is not None
    for entry in calibration.depths:
        found = [SPACE.graph.nearest(user, entry.depth, ef=entry.ef).astype(np.int32) for user in USERS[200:]]
        truth = [SPACE.scanner.best_of_all(user, NO_ROWS, entry.depth)[0] for user in USERS[200:]]
        recalls = np.array([len(np.intersect1d(f, t)) / entry.depth for f, t in zip(found, truth, strict=True)])
        noise = 2 * recalls.std() / np.sqrt(len(recalls))
        assert recalls.mean() + noise >= 0.97, entry


def test_ef_grows_with_the_target_and_with_depth() -> None:
    low, high = calibrate(SPACE, USERS[:100], 0.9), calibrate(SPACE, USERS[:100], 0.995)
    assert all(a.ef <= b.ef for a, b in zip(low.depths, high.depths, strict=False))
    assert [entry.ef for entry in high.depths] == sorted(entry.ef for entry in high.depths)
    assert all(entry.ef >= entry.depth for entry in low.depths)


def test_a_graph_that_does_not_get_there_promises_nothing() -> None:
    poor = space_of(ITEMS, "ip", graph=build_graph(ITEMS, "ip", M=2, ef_construction=2))
    assert calibrate(poor, USERS[:50], 1.0).depths == ()


def test_small_spaces_and_no_queries() -> None:
    tiny = space_of(ITEMS[:5], "ip", graph=build_graph(ITEMS[:5], "ip"))
    assert calibrate(tiny, USERS[:10], 0.99).depths == ()
    assert calibrate(SPACE, USERS[:0], 0.99) == Calibration(0.99, 0, ())
    assert calibrate(SPACE, np.zeros_like(USERS[:3]), 0.99) == Calibration(0.99, 0, ())


@pytest.mark.parametrize("metric", METRICS)
def test_queries_without_a_direction_do_not_count(metric: Metric) -> None:
    """A user whose last event is a hundred half-lives ago has a vector of which no square is left in float32."""
    with_graph = space_of(ITEMS, metric, graph=build_graph(space_of(ITEMS, metric).vectors, metric, M=12, ef_construction=100))
    faint = np.concatenate((USERS[:40], USERS[40:60] * np.float32(1e-30), np.zeros_like(USERS[:20])))
    alone, among = (calibrate(with_graph, queries, 0.97, scans_max=float("inf")) for queries in (USERS[:40], faint))
    assert len(among.depths) >= 4
    assert {"ip": 40, "cosine": 60, "l2": 80}[metric] == among.n_queries
    if metric == "ip":
        assert among == alone


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_items_without_a_vector_do_not_spoil_the_graph(metric: Metric) -> None:
    items = ITEMS.copy()
    items[::10] = 0
    graph = build_graph(space_of(items, metric).vectors, metric, M=12, ef_construction=100)
    calibration = calibrate(space_of(items, metric, graph=graph), USERS[:100], 0.97, scans_max=float("inf"))
    assert graph.n_points == len(items) * 9 / 10 and calibration.ef_for(100) is not None


def test_it_travels_as_json() -> None:
    calibration = Calibration(0.99, 200, (Depth(10, 20, 0.995), Depth(100, 150, 0.9925)))
    assert msgspec.json.decode(msgspec.json.encode(calibration), type=Calibration) == calibration
