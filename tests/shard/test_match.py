"""Match features against plain Python, whatever the query says or leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import SchemaMismatch
from cluster.features import match_columns
from cluster.types import Query
from shard.match import MatchFeatures
from tests.shard.worlds import DIM, World, asked, worlds

COLUMNS = match_columns(spaces=["taste"], stats=["trend"], profile=["brand", "stores"])


def features_of(world: World, columns: tuple[str, ...] = COLUMNS) -> MatchFeatures:
    whole = world.whole
    return MatchFeatures(
        columns, keys=world.keys, stats=world.columns.stats, spaces=whole.spaces, attributes=world.columns.attributes
    )


def matrix_of(world: World, query: Query, rows: Sequence[int], columns: tuple[str, ...] = COLUMNS) -> np.ndarray:
    some = np.array(rows, np.int32)
    return features_of(world, columns).matrix(query, some, world.keys[some])


def expected(world: World, query: Query, row: int) -> dict[str, float]:
    vector = query.vectors.get("taste")
    brand, stores = world.attributes["brand"][row], world.attributes["stores"][row] or []
    weights = {name: dict(zip(a.values, a.weights.tolist(), strict=True)) for name, a in query.profile.items()}
    places = {name: dict(zip(seeds.keys.tolist(), range(len(seeds.keys)), strict=True)) for name, seeds in query.seeds.items()}
    key = int(world.keys[row])
    history = query.seeds.get("history")
    at = places.get("history", {}).get(key)
    return {
        "dot.taste": 0.0 if vector is None else float(np.float32(world.vectors[row].astype(np.float64) @ vector)),
        "norm.taste": float(np.sqrt(np.einsum("ij,ij->i", world.vectors[[row]], world.vectors[[row]])[0])),
        "stat.trend": float(world.stats[row]),
        "affinity.brand": weights.get("brand", {}).get(brand, 0.0),
        "affinity.stores": max([weights.get("stores", {}).get(store, 0.0) for store in stores], default=0.0),
        "history.weight": 0.0 if at is None else float(history.weights[at]),
        "history.age_days": -1.0 if at is None else float(history.ages_days[at]),
        "basket.member": float(key in places.get("basket", {})),
    }


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_feature_is_what_plain_python_says(data: st.DataObject) -> None:
    world = data.draw(worlds())
    query = data.draw(asked(world)).query
    rows = sorted(data.draw(st.sets(st.integers(0, len(world) - 1))) if len(world) else ())
    matrix = matrix_of(world, query, rows)
    assert matrix.shape == (len(rows), len(COLUMNS)) and matrix.dtype == np.float32
    for at, row in enumerate(rows):
        assert dict(zip(COLUMNS, matrix[at].tolist(), strict=True)) == expected(world, query, row)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_row_does_not_depend_on_the_rows_beside_it(data: st.DataObject) -> None:
    world = World.drawn(data.draw(st.integers(0, 1000)), 40, ties=False)
    query = data.draw(asked(world)).query
    together = matrix_of(world, query, range(40))
    alone = [matrix_of(world, query, [row])[0].tolist() for row in range(40)]
    assert together.tolist() == alone


def test_a_query_that_says_nothing() -> None:
    world = World.drawn(1, 10)
    matrix = matrix_of(world, Query("tiny-1", ()), [3])
    assert dict(zip(COLUMNS, matrix[0].tolist(), strict=True)) == expected(world, Query("tiny-1", ()), 3)


def test_columns_come_in_the_schemas_order_and_only_those() -> None:
    world = World.drawn(1, 10)
    columns = ("stat.trend", "history.age_days", "norm.taste")
    matrix = matrix_of(world, Query("tiny-1", ()), [3], columns)
    full = expected(world, Query("tiny-1", ()), 3)
    assert matrix[0].tolist() == [full[name] for name in columns]


@pytest.mark.parametrize(
    "column", ["dot.other", "stat.other", "affinity.price", "affinity.other", "history.other", "x", "dot."]
)
def test_a_column_nobody_can_compute_is_refused(column: str) -> None:
    with pytest.raises(SchemaMismatch, match=f"has {column}, which"):
        features_of(World.drawn(1, 10), (*COLUMNS, column))


def test_duplicate_members_and_order_of_seeds_do_not_matter() -> None:
    world = World.drawn(2, 30)
    query = Query("tiny-1", (), vectors={"taste": np.ones(DIM, np.float32)})
    rng = np.random.default_rng(0)
    from tests.shard.worlds import seeds

    history = seeds(rng, world)
    order = rng.permutation(len(history.keys))
    shuffled = replace(history, keys=history.keys[order], weights=history.weights[order], ages_days=history.ages_days[order])
    matrices = [matrix_of(world, replace(query, seeds={"history": h}), range(30)).tolist() for h in (history, shuffled)]
    assert matrices[0] == matrices[1]
