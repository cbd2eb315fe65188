"""A shard's files hold a graph where it reaches the recall target, and none where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.config.sources import ScoreAllSource, SourcesSection
from cluster.spec import SpaceSpec
from cluster.types import Floats
from shard.columns import ShardColumns
from shard.tables.lists import RankedLists
from train.signals import Signals
from train.stages import Made
from train.stages.shards import SNAPSHOT, entry_of, graph_queries, graph_seconds, make_shard, sample_queries

SPACES = (SpaceSpec("als", 16, "ip", 0.99),)


def columns_of(vectors: Floats) -> ShardColumns:
    keys = np.arange(len(vectors), dtype=np.int64)
    return ShardColumns(keys=keys, item_ids=None, lists=RankedLists.of(keys, {}), vectors={"als": vectors})


def vectors_of(n: int, *, norm_spread: float) -> Floats:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, 16))
    vectors *= (rng.lognormal(0, norm_spread, n) / np.linalg.norm(vectors, axis=1))[:, None]
    return vectors.astype(np.float32)


def make(folder: Path, vectors: Floats) -> str:
    queries = {"als": np.random.default_rng(1).standard_normal((40, 16)).astype(np.float32)}
    return make_shard(columns_of(vectors), folder, spaces=SPACES, section=SourcesSection(), queries=queries, seed=0).summary


def test_a_graph_that_reaches_the_target_is_kept(tmp_path: Path) -> None:
    told = make(tmp_path, vectors_of(400, norm_spread=0))
    assert (tmp_path / SNAPSHOT / "graph-als.hnsw").exists() and "graph good to depth" in told
    assert entry_of(tmp_path)["n_items"] == 400 and entry_of(tmp_path)["calibrations"]["als"]["depths"]


def test_a_graph_that_does_not_is_left_out(tmp_path: Path) -> None:
    told = make(tmp_path, np.repeat(vectors_of(2, norm_spread=0), 1500, axis=0))  # equal points: a walk sees few of them
    assert not (tmp_path / SNAPSHOT / "graph-als.hnsw").exists() and "exact scans" in told
    assert entry_of(tmp_path)["calibrations"] == {}


def test_without_queries_there_is_no_graph_and_an_empty_shard_is_fine(tmp_path: Path) -> None:
    section, columns = SourcesSection(), columns_of(vectors_of(10, norm_spread=0))
    made = make_shard(columns, tmp_path / "a", spaces=SPACES, section=section, queries={}, seed=0)
    assert made == Made("no graph", 10) and graph_seconds(tmp_path / "a") == {}
    empty, queries = columns.take(np.empty(0, np.int32)), {"als": np.ones((1, 16), np.float32)}
    made = make_shard(empty, tmp_path / "b", spaces=SPACES, section=section, queries=queries, seed=0)
    assert made == Made("no graph", 0)


@pytest.mark.parametrize(
    ("ann", "score_all", "expected"), [(True, True, []), (True, False, ["als"]), (False, True, []), (False, False, [])]
)
def test_a_catalogue_scored_in_full_needs_no_graph(
    ann: bool, score_all: bool, expected: list[str], tiny_signals: Signals
) -> None:
    n = len(tiny_signals.catalogue)
    sources = tuple(source for source in tiny_signals.sources if ann or source.kind != "ann")
    signals = replace(tiny_signals, sources=sources)
    section = SourcesSection(score_all=ScoreAllSource(enabled=score_all, max_items=n))
    assert list(graph_queries(signals, section, seed=0)) == expected
    section = SourcesSection(score_all=ScoreAllSource(enabled=score_all, max_items=n - 1))
    assert list(graph_queries(signals, section, seed=0)) == (["als"] if ann else [])


def test_where_no_user_has_a_vector_sessions_of_one_item_ask(tiny_signals: Signals) -> None:
    space = tiny_signals.spaces["als"]
    unknown = replace(tiny_signals, spaces={"als": replace(space, users=np.zeros_like(space.users))})
    asked = graph_queries(unknown, SourcesSection(score_all=ScoreAllSource(enabled=False)), seed=0)["als"]
    np.testing.assert_array_equal(asked, sample_queries(space.items, seed=0))


def test_queries_are_sampled_from_users_with_a_vector() -> None:
    users = np.zeros((500, 4), np.float32)
    users[::2] = np.arange(1, 251)[:, None]
    users[1::4] = 1e-30
    users[3] = np.nan
    queries = sample_queries(users, seed=0)
    assert queries.shape == (200, 4) and queries.min() >= 1
    assert np.array_equal(queries, sample_queries(users, seed=0))
    assert sample_queries(users[:10], seed=0).shape == (5, 4)
