"""The graph and the traps that hnswlib leaves to its caller."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import hnswlib
import numpy as np
import pytest

from cluster.errors import GenerationCorrupt, InternalError
from cluster.generation import VerifiedFile
from cluster.spec import Metric, SpaceSpec
from shard.snapshot import _graph
from shard.spaces.hnsw import Geometry, Graph, build_graph, longest
from shard.spaces.space import normalised
from tests.shard.spaces.clouds import DIM, METRICS, items_and_users

ITEMS, USERS = items_and_users(n=2000)


def geometry_of(metric: Metric) -> Geometry:
    return Geometry(DIM, metric, longest(ITEMS))


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_points_is_the_order_of_scores(metric: Metric) -> None:
    items = normalised(ITEMS) if metric == "cosine" else ITEMS
    geometry = Geometry(DIM, metric, longest(items))
    points = geometry.points(items).astype(np.float64)
    for user in USERS[:20]:
        query = user / np.linalg.norm(user) if metric == "cosine" else user
        scores = -((items - query) ** 2).sum(axis=1) if metric == "l2" else items @ query
        distances = ((points - geometry.point(query)) ** 2).sum(axis=1)
        assert np.corrcoef(np.argsort(np.argsort(-scores)), np.argsort(np.argsort(distances)))[0, 1] > 1 - 1e-6


@pytest.mark.parametrize("metric", METRICS)
def test_a_saved_graph_answers_the_same(tmp_path: Path, metric: Metric) -> None:
    items = normalised(ITEMS) if metric == "cosine" else ITEMS
    graph = build_graph(items, metric, M=8, ef_construction=60)
    graph.save(tmp_path / "graph")
    loaded = Graph.load(tmp_path / "graph", Geometry(DIM, metric, longest(items)), n_points=len(items))
    for user in USERS[:20]:
        assert graph.nearest(user, 30, ef=50).tolist() == loaded.nearest(user, 30, ef=50).tolist()


def test_a_build_is_repeatable() -> None:
    first, second = (build_graph(ITEMS, "ip", M=8, ef_construction=60, seed=5) for _ in range(2))
    assert all(first.nearest(u, 30, ef=30).tolist() == second.nearest(u, 30, ef=30).tolist() for u in USERS[:20])


def test_a_graph_that_is_not_of_these_rows_is_refused(tmp_path: Path) -> None:
    """hnswlib checks neither count nor dimension: it would load each of these and answer nonsense."""
    path = tmp_path / "graph"
    build_graph(ITEMS, "ip", M=8, ef_construction=40).save(path)
    with pytest.raises(GenerationCorrupt, match="a graph over 2000 points of 100 bytes, expected 1999"):
        Graph.load(path, geometry_of("ip"), n_points=1999)
    with pytest.raises(GenerationCorrupt, match="expected 2000 of 96"):
        Graph.load(path, geometry_of("l2"), n_points=2000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GenerationCorrupt):
        Graph.load(path, geometry_of("ip"), n_points=2000)
    path.write_bytes(b"short")
    with pytest.raises(GenerationCorrupt, match="5 bytes are not a graph"):
        Graph.load(path, geometry_of("ip"), n_points=2000)


def test_a_graph_loads_through_a_file_descriptor(tmp_path: Path) -> None:
    """So that the bytes that were hashed are the bytes that are read."""
    build_graph(ITEMS, "ip", M=8, ef_construction=40).save(tmp_path / "graph")
    descriptor = os.open(tmp_path / "graph", os.O_RDONLY)
    try:
        assert Graph.load(f"/proc/self/fd/{descriptor}", geometry_of("ip"), n_points=2000).n_points == 2000
    finally:
        os.close(descriptor)


def test_a_write_that_fails_is_noticed(tmp_path: Path) -> None:
    """hnswlib says nothing when the folder does not exist or the disk is full."""
    with pytest.raises(OSError, match="wrote 0 of"):
        build_graph(ITEMS[:100], "ip").save(tmp_path / "nowhere" / "graph")


def test_vectors_that_are_not_finite_would_poison_the_graph() -> None:
    vectors = ITEMS[:10].copy()
    vectors[3, 1] = np.nan
    with pytest.raises(InternalError, match="not finite"):
        build_graph(vectors, "ip")


@pytest.mark.parametrize("depth", [1, 700, 2000, 10**6])
def test_more_than_a_walk_reaches_is_no_error(depth: int) -> None:
    """Thousands of equal vectors: most have no link to them. hnswlib raises when it finds fewer than asked for."""
    graph = build_graph(np.ones((2000, 4), np.float32), "l2", M=4, ef_construction=10)
    found = graph.nearest(np.ones(4, np.float32), depth, ef=1)
    assert len(np.unique(found)) == len(found) <= min(depth, 2000)


def test_an_empty_graph_finds_nothing() -> None:
    assert len(build_graph(np.empty((0, 4), np.float32), "ip").nearest(np.ones(4, np.float32), 5, ef=10)) == 0


def test_every_search_uses_its_own_ef() -> None:
    """ef is one field of the index. Searches with different ef from several threads must answer as they do alone."""
    graph = build_graph(ITEMS, "l2", M=4, ef_construction=10)
    alone = {ef: [graph.nearest(user, 10, ef=ef).tolist() for user in USERS[:40]] for ef in (10, 40, 200)}
    assert alone[10] != alone[200], "the graph must be so poor that ef matters"
    wrong: list[int] = []

    def ask(ef: int) -> None:
        rounds = ([graph.nearest(user, 10, ef=ef).tolist() for user in USERS[:40]] for _ in range(10))
        wrong.extend(ef for found in rounds if found != alone[ef])

    threads = [threading.Thread(target=ask, args=(ef,)) for ef in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_inner_products_need_the_additional_coordinate() -> None:
    """The reason for `Geometry`: the same walk over the raw inner product finds fewer of the best."""
    raw = hnswlib.Index("ip", DIM)
    raw.init_index(len(ITEMS), M=8, ef_construction=60, random_seed=0)
    raw.add_items(ITEMS, num_threads=1)
    raw.set_ef(40)
    graph = build_graph(ITEMS, "ip", M=8, ef_construction=60)
    theirs = ours = 0
    for user in USERS[:100]:
        best = np.argsort(-(ITEMS @ user))[:20]
        theirs += len(np.intersect1d(raw.knn_query(user, k=20, num_threads=1)[0][0], best))
        ours += len(np.intersect1d(graph.nearest(user, 20, ef=40), best))
    assert ours > theirs


def test_a_graph_of_an_older_build_that_gave_zeros_a_point_still_loads(tmp_path: Path) -> None:
    items = ITEMS[:100].copy()
    items[7] = 0
    geometry = Geometry(DIM, "ip", longest(items))
    index = hnswlib.Index(space="l2", dim=geometry.dim)
    index.init_index(max_elements=100, M=8, ef_construction=40)
    index.add_items(geometry.points(items), np.arange(100), num_threads=1)
    Graph(index, geometry).save(tmp_path / "old")
    build_graph(items, "ip").save(tmp_path / "new")
    for name, n_points in (("old", 100), ("new", 99)):
        file = VerifiedFile(name, os.open(tmp_path / name, os.O_RDONLY), (tmp_path / name).stat().st_size)
        assert _graph(file, SpaceSpec("taste", DIM, "ip", 0.99), items).n_points == n_points
        os.close(file.fd)
