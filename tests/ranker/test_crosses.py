"""Cross features: what they say of known columns, and what cannot be made is refused before anybody asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.errors import SchemaMismatch
from cluster.features import cross_columns
from cluster.spec import FeatureSchema
from ranker.crosses import crosses_of
from ranker.features import assemble
from tests.ranker.making import query_of

MATCH, SOURCES, USER = ("stat.price", "stat.cycle_days", "history.age_days"), ("ann", "tops"), ("user.mean_price",)
SCHEMA = FeatureSchema(MATCH, SOURCES, USER, (), cross_columns(match=MATCH, sources=SOURCES, user=USER))
NAN = np.nan


def crossed() -> dict[str, list[float]]:
    """Of an item bought 30 days ago with a cycle of 20, a new one, and one whose cycle is below a day."""
    query = replace(
        query_of(m=3, schema=SCHEMA),
        match=np.array([[2, 20, 30], [8, 20, -1], [2, 0.1, 3]], np.float32),
        source_ranks=np.array([[4, NAN], [7, 2], [NAN, NAN]], np.float32),
        user=np.array([2], np.float32),
    )
    columns = dict(zip(SCHEMA.columns(), assemble(SCHEMA, query).T.tolist(), strict=True))
    return {name: columns[name] for name in SCHEMA.crosses}


def test_what_each_says() -> None:
    found = crossed()
    assert found["history.due"] == [1.5, -1, 3]
    assert found["level.price"] == pytest.approx([0, np.arcsinh(8) - np.arcsinh(2), 0])
    assert found["found.sources"] == [1, 2, 0]
    np.testing.assert_array_equal(found["found.rank"], [4, 2, NAN])


def test_a_schema_offers_only_what_its_columns_allow() -> None:
    assert cross_columns(match=("stat.price", "history.age_days"), sources=(), user=()) == ()
    assert cross_columns(match=("stat.year",), sources=("ann",), user=("user.mean_year",))[0] == "level.year"


@pytest.mark.parametrize("name", ["history.due", "level.price", "found.rank", "moon.phase"])
def test_what_cannot_be_made_is_refused(name: str) -> None:
    with pytest.raises(SchemaMismatch, match=name):
        crosses_of(FeatureSchema((), (), (), (), (name,)))
