"""The user tower against its formula in float64, on files and without; strangers, unknown items, wrong input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GenerationCorrupt, SchemaMismatch
from cluster.generation import GenerationWriter
from cluster.spec import FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import NO_FLOATS, NO_KEYS, Floats, Seeds
from router.request import Request
from router.users.user_tower import SPACE, TowerWeights, UserTower, with_tower
from router.users.user_tower_file import ITEMS_FILE, LAYERS_FILE, read_tower, read_weights, write_tower
from tests.router.asking import planned, sections
from tests.router.fakes import Catalogue

FEATURES = ("user.norm", "user.visits", "user.tenure")
READ = ("user.tenure", "user.visits")


def some_weights(seed: int, *, n_items: int = 40, dim_in: int = 5, hidden: int = 7, dim: int = 6) -> TowerWeights:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return rng.standard_normal(shape, np.float32)

    n_in = dim_in + len(READ) + 2
    keys = np.sort(rng.choice(10 * n_items, n_items, replace=False) * 1_000_003)
    layers = normal(n_in, hidden), normal(hidden), normal(n_in + hidden, dim), normal(dim)
    scale = np.array([0.5, 2], np.float32)
    return TowerWeights(keys, normal(n_items, dim_in), READ, normal(2), scale, *layers, weight_exponent=0.5, n_history_max=4)


def seeds_of(keys: np.ndarray, weights: np.ndarray | None = None) -> Seeds:
    weights = np.ones(len(keys)) if weights is None else weights
    return Seeds(np.asarray(keys, np.int64), np.asarray(weights, np.float32), np.zeros(len(keys), np.float32))


def textbook(weights: TowerWeights, seeds: list[tuple[int, float]], features: Floats | None) -> np.ndarray:
    """One seed at a time, in float64."""
    at = {int(key): row for row, key in enumerate(weights.keys)}
    met = [(at[key], weight**weights.weight_exponent) for key, weight in seeds if key in at and weight > 0]
    total = sum(amount for _, amount in met)
    pooled = sum((weights.table[row].astype(np.float64) * amount for row, amount in met), np.zeros(weights.table.shape[1]))
    known, z = 0.0, np.zeros(2)
    if features is not None:
        known, z = 1.0, np.clip((features[[2, 1]].astype(np.float64) - weights.mean) / weights.scale, -4, 4)
    x = np.concatenate((pooled / np.sqrt(total) if total else pooled, z, [known, np.log1p(total)]))
    hidden = np.maximum(x @ weights.w1.astype(np.float64) + weights.b1, 0)
    return np.concatenate((x, hidden)) @ weights.w2.astype(np.float64) + weights.b2


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**16), n_history=st.integers(0, 9), n_basket=st.integers(0, 5), stranger=st.booleans())
def test_it_is_the_formula(seed: int, n_history: int, n_basket: int, stranger: bool) -> None:
    rng, weights = np.random.default_rng(seed), some_weights(seed)
    tower = UserTower(weights, FEATURES)
    pool = np.concatenate((weights.keys, [5, 7]))  # two items that the tower never met
    history = seeds_of(rng.choice(pool, n_history, replace=False), rng.uniform(0, 3, n_history))
    basket = seeds_of(rng.choice(pool, n_basket, replace=False))
    features = None if stranger else rng.standard_normal(3).astype(np.float32) * 5
    vector = tower.vector({"history": history, "basket": basket, "favourites": seeds_of(weights.keys[:3])}, features)

    counted = [*zip(basket.keys.tolist(), basket.weights.tolist(), strict=True)]
    counted += [*zip(history.keys[:4].tolist(), history.weights[:4].tolist(), strict=True)]
    if stranger and not any(key in weights.keys and weight > 0 for key, weight in counted):
        assert vector is None
        return
    assert vector is not None and vector.dtype == np.float32 and vector.shape == (tower.dim,)
    np.testing.assert_allclose(vector, textbook(weights, counted, features), rtol=2e-5, atol=2e-5)


def test_a_basket_moves_the_vector_and_a_stranger_with_one_has_a_vector() -> None:
    weights = some_weights(1)
    tower, features = UserTower(weights, FEATURES), np.ones(3, np.float32)
    history = {"history": seeds_of(weights.keys[:2])}
    basket = {"basket": seeds_of(weights.keys[7:8])}
    alone, moved, stranger = (
        tower.vector(history, features),
        tower.vector(history | basket, features),
        tower.vector(basket, None),
    )
    assert alone is not None and moved is not None and stranger is not None
    assert not np.allclose(alone, moved) and not np.allclose(alone, stranger)


def test_without_anything_to_go_by_there_is_no_vector() -> None:
    tower = UserTower(some_weights(2), FEATURES)
    assert tower.vector({}, None) is None
    assert tower.vector({"basket": Seeds(NO_KEYS, NO_FLOATS, NO_FLOATS)}, None) is None
    assert tower.vector({"basket": seeds_of(np.array([5, 7]))}, None) is None, "items it never met"
    assert tower.vector({}, np.full(3, np.nan, np.float32)) is None, "features that are no numbers"
    assert tower.vector({}, np.ones(4, np.float32)) is None, "features of another generation"
    assert tower.vector({}, np.ones(3, np.float32)) is not None


def test_what_was_viewed_counts_for_those_without_a_history() -> None:
    weights = some_weights(5)
    tower = UserTower(weights, FEATURES)
    history, viewed = seeds_of(weights.keys[:2]), seeds_of(weights.keys[5:9])
    with_views, without = tower.vector({"history": history, "viewed": viewed}, None), tower.vector({"history": history}, None)
    stranger, as_basket = tower.vector({"viewed": viewed}, None), tower.vector({"basket": viewed}, None)
    assert with_views is not None and without is not None and stranger is not None and as_basket is not None
    assert with_views.tolist() == without.tolist()
    assert stranger.tolist() == as_basket.tolist()


def test_the_store_s_vector_stands_until_a_basket_changes_it() -> None:
    weights = some_weights(6)
    tower, stored = UserTower(weights, FEATURES), {SPACE: np.zeros(6, np.float32), "als": np.ones(3, np.float32)}
    basket = {"basket": seeds_of(weights.keys[:1])}
    assert with_tower(stored, None, basket, None) is stored
    assert with_tower(stored, tower, {}, None) is stored
    assert with_tower({}, tower, {}, None) == {}
    for vectors in (stored, {}):
        moved = with_tower(vectors, tower, basket, None)
        assert moved.keys() == {SPACE, *vectors}
        np.testing.assert_array_equal(moved[SPACE], tower.vector(basket, None))


def test_a_plan_searches_the_space_for_a_stranger_s_basket() -> None:
    catalogue = Catalogue.random(50)
    spec = catalogue.spec(2)
    spec = msgspec.structs.replace(
        spec,
        spaces=(*spec.spaces, SpaceSpec(SPACE, 6, "ip", 0.9)),
        sources=(*spec.sources, SourceSpec(SPACE, "ann", exact=False, promises_k=True, space=SPACE)),
    )
    config = sections(sources={"two_tower": {"enabled": True}})
    tower = UserTower(replace(some_weights(9), keys=np.sort(catalogue.keys)[:40]), FEATURES)
    met = str(catalogue.item_ids[int(np.argmin(catalogue.keys))])
    with_basket, without = Request("u", 5, basket=(met,)), Request("u", 5)

    assert "two_tower" in [ask.source for ask in planned(with_basket, None, spec, config, tower=tower).query.asks]
    assert "two_tower" not in [ask.source for ask in planned(with_basket, None, spec, config).query.asks]
    assert "two_tower" not in [ask.source for ask in planned(without, None, spec, config, tower=tower).query.asks]


def spec_of(dim: int) -> GenerationSpec:
    return GenerationSpec(
        id="g1",
        created="",
        id_type="int64",
        shard_items=(0,),
        attributes=(),
        spaces=(SpaceSpec(SPACE, dim, "ip", 0.9),),
        sources=(),
        lists=(),
        profile=(),
        features=FeatureSchema(match=(), sources=(), user=FEATURES, context=()),
    )


def test_a_generation_hands_out_its_tower_verified(tmp_path: Path) -> None:
    weights = some_weights(7)
    with GenerationWriter(tmp_path, "g1") as writer:
        write_tower(weights, items=writer.path_for(ITEMS_FILE), layers=writer.path_for(LAYERS_FILE))
        generation = writer.publish(spec_of(6), shards=[{}])
    tower, basket = read_tower(generation), {"basket": seeds_of(weights.keys[:3])}
    assert tower is not None
    np.testing.assert_array_equal(tower.vector(basket, None), UserTower(weights, FEATURES).vector(basket, None))

    file = generation.path / LAYERS_FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    with pytest.raises(GenerationCorrupt, match=LAYERS_FILE):
        read_tower(generation)


def test_a_tower_of_another_space_is_refused_and_none_is_none(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, "g1") as writer:
        write_tower(some_weights(8), items=writer.path_for(ITEMS_FILE), layers=writer.path_for(LAYERS_FILE))
        generation = writer.publish(spec_of(5), shards=[{}])
    with pytest.raises(SchemaMismatch, match="6 dimensions"):
        read_tower(generation)
    with GenerationWriter(tmp_path / "other", "g1") as writer:
        assert read_tower(writer.publish(spec_of(5), shards=[{}])) is None


def test_a_tower_for_other_features_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match=r"user\.tenure"):
        UserTower(some_weights(3), ("user.norm", "user.visits"))


def test_files_give_back_the_same_tower(tmp_path: Path) -> None:
    weights = some_weights(4)
    items, layers = tmp_path / "items", tmp_path / "layers"
    write_tower(weights, items=items, layers=layers)
    back = read_weights(items.read_bytes(), layers.read_bytes())
    for name in ("keys", "table", "mean", "scale", "w1", "b1", "w2", "b2"):
        np.testing.assert_array_equal(getattr(back, name), getattr(weights, name))
    assert (back.features, back.weight_exponent, back.n_history_max) == (READ, 0.5, 4)
    with pytest.raises(GenerationCorrupt, match="cannot be read"):
        read_weights(layers.read_bytes(), items.read_bytes())
    with pytest.raises(GenerationCorrupt, match="cannot be read"):
        read_weights(items.read_bytes(), layers.read_bytes()[:-100])
