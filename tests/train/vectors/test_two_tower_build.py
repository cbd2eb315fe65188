"""A whole generation with two towers, built and served in this process. Needs the extra `neural`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cluster.clients.local import LocalRankerClient, LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.generation import Generation, generation_path
from cluster.user_records import read_users
from ranker.ranker import Ranker
from router.request import Recommendation, Request
from router.router import Router
from router.users.user_tower import SPACE, UserTower
from router.users.user_tower_file import read_tower
from shard.shard import Shard
from tests.train.test_build import DictStore
from tests.worlds import build_tiny, tiny_config

pytestmark = pytest.mark.neural

BUDGET = {"enabled": True, "k": 30, "ef_construction": 40}
LISTS = {"near": {"table": "two_tower", "seeds": "history", "k": 20}}
SOURCES = {**tiny_config(Path("unused")).sources.model_dump(exclude_unset=True), SPACE: BUDGET, "item_lists": LISTS}
TOWER = {"dim": 8, "hidden": 8, "label_days": 7, "n_epochs_max": 2, "batch_examples": 64, "n_negatives": 64}
TRAIN = {**tiny_config(Path("unused")).train.model_dump(exclude_unset=True), SPACE: TOWER}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Generation, Config, UserTower]:
    folder = tmp_path_factory.mktemp("towers")
    config = tiny_config(folder / "store", sources=SOURCES, train=TRAIN)
    built = build_tiny(folder, config=config)
    generation = Generation.open(generation_path(folder / "store", built.spec.id))
    tower = read_tower(generation)
    assert tower is not None
    return generation, config, tower


def recommend(served: tuple[Generation, Config, UserTower], request: Request) -> Recommendation:
    generation, config, tower = served
    shards = tuple(LocalShardClient(Shard.load(generation, at)) for at in range(generation.spec.n_shards))
    fleet = Fleet(1, generation.spec, shards, LocalRankerClient(Ranker.load(generation)))
    router = Router(
        lambda: fleet,
        DictStore(read_users(generation)),
        config,
        tower_of={generation.id: tower}.get,
    )
    return asyncio.run(router.recommend(request, Deadline.after_ms(5_000)))


def test_both_known_users_and_strangers_with_a_basket_are_searched_for(served: tuple[Generation, Config, UserTower]) -> None:
    generation, _, _ = served
    known = recommend(served, Request("user-0003", 30))
    assert {source for item in known.items for source in item.sources} >= {SPACE, "near"}
    some_item = known.items[0].item_id
    stranger = recommend(served, Request("nobody", 30, basket=(some_item,)))
    assert SPACE in {source for item in stranger.items for source in item.sources}
    nothing_to_go_by = recommend(served, Request("nobody", 30))
    assert SPACE not in {source for item in nothing_to_go_by.items for source in item.sources}
    assert {f"dot.{SPACE}", f"norm.{SPACE}"} <= set(generation.spec.features.match)


def test_the_store_holds_what_the_tower_gives(served: tuple[Generation, Config, UserTower]) -> None:
    generation, _, tower = served
    n_checked = 0
    for record in read_users(generation):
        vector = tower.vector({"history": record.history}, record.features)
        assert vector is not None
        np.testing.assert_allclose(record.vectors[SPACE], vector, atol=1e-5, rtol=1e-5)
        n_checked += 1
    assert n_checked > 50
