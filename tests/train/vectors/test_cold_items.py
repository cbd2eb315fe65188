"""Items nobody bought get a place near their kind; items somebody bought keep theirs to the bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cluster.config.sections import CatalogSection
from cluster.partition import item_keys
from tests.train.logs import catalogue_of
from train.input.attribute_columns import attribute_specs
from train.input.catalogue import Catalogue
from train.vectors.cold_items import place_cold_items

ITEMS = np.array([[4, 0], [2, 0], [0, 0], [0, 6], [0, 0], [0, 0]], np.float32)


def two_levels() -> Catalogue:
    attributes = {
        "coarse": pa.array(["food", "food", "food", "drink", "drink", None]),
        "fine": pa.array(["bread", "bread", "bread", "tea", "coffee", None]),
    }
    ids = pa.array(range(6), pa.int64())
    section = CatalogSection(id_type="int64", category=("coarse", "fine"))
    return Catalogue(item_keys(ids.to_pylist()), ids, attribute_specs(section), attributes)


def test_the_finest_kind_with_company_decides() -> None:
    placed = place_cold_items(ITEMS, two_levels(), ("coarse", "fine"), seed=0)
    assert np.array_equal(placed[[0, 1, 3]], ITEMS[[0, 1, 3]])
    np.testing.assert_allclose(placed[2], [1.5, 0], atol=0.1)  # half the mean of the breads
    np.testing.assert_allclose(placed[4], [0, 3], atol=0.1)  # no coffee was sold, but drinks were
    np.testing.assert_allclose(placed[5], [1, 1], atol=0.1)  # of no kind: half the mean of all


def test_no_two_are_equal_and_the_seed_decides() -> None:
    items = np.zeros((500, 8), np.float32)
    items[0] = 1
    catalogue = catalogue_of(["x"] * 500)
    placed = place_cold_items(items, catalogue, ("category",), seed=1)
    assert len(np.unique(placed, axis=0)) == 500 and placed.any(axis=1).all()
    assert np.array_equal(placed, place_cold_items(items, catalogue, ("category",), seed=1))
    assert not np.array_equal(placed, place_cold_items(items, catalogue, ("category",), seed=2))


def test_a_catalogue_that_never_sold_anything_stays_zero() -> None:
    nothing = np.zeros((3, 2), np.float32)
    assert not place_cold_items(nothing, catalogue_of(["x"] * 3), ("category",), seed=0).any()
