"""The score against the brief's formula summed by hand, new items, several categories an item, and what a cut leaves."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from cluster.config.sections import CatalogSection
from cluster.partition import item_keys
from train.input.attribute_columns import attribute_specs
from train.input.catalogue import Catalogue
from train.input.item_values import ItemValues, item_values
from train.lists.quorum import Quorum, QuorumSettings, quorum, user_frequencies

PLAIN = QuorumSettings(gamma=2.0)


def values_of(rows: list[list[int]], n_values: int) -> ItemValues:
    matrix = np.zeros((len(rows), n_values), np.float32)
    for row, columns in enumerate(rows):
        matrix[row, columns] = 1
    return ItemValues(sparse.csr_array(matrix), tuple(f"c{c}" for c in range(n_values)))


def by_hand(pairs: np.ndarray, shares: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UF, TF of consumed items (others NaN), IDF: loops, as the brief writes them."""
    uf = np.array([(user @ shares) / user.sum() if user.any() else shares[0] * 0 for user in pairs])
    tf = np.full(shares.shape, np.nan)
    for item in range(len(shares)):
        consumers = np.flatnonzero(pairs[:, item])
        if len(consumers):
            tf[item] = np.mean([uf[user] for user in consumers], axis=0)
    mean = uf[pairs.any(axis=1)].mean(axis=0)
    idf = np.array([min(-math.log(m), gamma) if m > 0 else gamma for m in mean])
    return uf, tf, idf


def random_world(seed: int) -> tuple[np.ndarray, ItemValues]:
    rng = np.random.default_rng(seed)
    pairs = np.where(rng.random((20, 15)) < 0.3, rng.uniform(0.1, 5, (20, 15)), 0).astype(np.float32)
    pairs[4] = 0
    pairs[:, 13:] = 0
    rows = [list(rng.choice(5, rng.integers(0, 3), replace=False)) for _ in range(13)]
    return pairs, values_of([*rows, [1, 2], []], 6)


@pytest.mark.parametrize("seed", range(5))
def test_terms_are_those_of_the_formula(seed: int) -> None:
    pairs, values = random_world(seed)
    uf, tf, idf = by_hand(pairs, values.shares().toarray(), PLAIN.gamma)
    found = quorum(sparse.csr_array(pairs), values, PLAIN)
    np.testing.assert_allclose(user_frequencies(sparse.csr_array(pairs), values).toarray(), uf, atol=1e-6)
    np.testing.assert_allclose(found.idf, idf, atol=1e-5)
    consumed = ~np.isnan(tf).any(axis=1)
    np.testing.assert_allclose(found.tf.toarray()[consumed], tf[consumed], atol=1e-6)
    scores = uf @ found.weights().toarray().T
    np.testing.assert_allclose(scores[:, consumed], uf @ (np.nan_to_num(tf) * idf).T[:, consumed], atol=1e-5)


def test_a_new_item_has_the_typical_consumers_of_its_categories() -> None:
    pairs, values = random_world(3)
    shares = values.shares().toarray()
    _, tf, _ = by_hand(pairs, shares, PLAIN.gamma)
    consumed = ~np.isnan(tf).any(axis=1)
    typical = [np.average(tf[consumed], axis=0, weights=shares[consumed][:, c]) for c in (1, 2)]
    found = quorum(sparse.csr_array(pairs), values, PLAIN).tf.toarray()
    np.testing.assert_allclose(found[13], np.mean(typical, axis=0), atol=1e-6)
    assert not found[14].any()  # no category, nothing to go by


def test_the_prior_counts_as_that_many_typical_consumers() -> None:
    pairs, values = random_world(2)
    plain, drawn = (quorum(sparse.csr_array(pairs), values, QuorumSettings(2.0, m)).tf.toarray() for m in (0.0, 3.0))
    consumed = pairs.any(axis=0)
    consumers = (pairs > 0).sum(axis=0)
    shares = values.shares().toarray()
    weights = shares * consumed[:, None]
    members = weights.sum(axis=0)
    typical = np.divide(weights.T @ plain, members[:, None], out=np.zeros((6, 6)), where=members[:, None] > 0)
    expected = (consumers[:, None] * plain + 3 * (shares @ typical)) / (consumers + 3)[:, None]
    np.testing.assert_allclose(drawn[consumed], expected[consumed], atol=1e-5)


def test_a_cut_keeps_what_contributes_most() -> None:
    pairs, values = random_world(3)
    full, cut = (quorum(sparse.csr_array(pairs), values, QuorumSettings(2.0, 0.0, n)).weights().toarray() for n in (6, 2))
    for whole, kept in zip(full, cut, strict=True):
        assert np.count_nonzero(kept) == min(2, np.count_nonzero(whole))
        np.testing.assert_allclose(np.sort(kept)[-2:], np.sort(whole)[-2:], rtol=1e-5)


def test_tops_are_by_tf_within_a_category() -> None:
    found: Quorum = quorum(sparse.csr_array(random_world(4)[0]), random_world(4)[1], PLAIN)
    for (name, rows, weights), column in zip(found.tops(4), found.tf.toarray().T, strict=True):
        assert name in found.values
        assert rows.tolist() == sorted(np.flatnonzero(column), key=lambda row: (-column[row], row))[:4]
        assert (np.diff(weights) <= 0).all()


def test_values_of_sets_and_of_single_categories() -> None:
    section = CatalogSection(id_type="int64", category=("kind",), categories=("shops",))
    ids = pa.array([1, 2, 3])
    attributes = {
        "kind": pa.array(["b", None, "a"]),
        "shops": pa.array([["x", "y", "x"], [], None], pa.list_(pa.string())),
    }
    catalogue = Catalogue(item_keys(ids.to_pylist()), ids, attribute_specs(section), attributes)
    kind, shops = item_values(catalogue, "kind"), item_values(catalogue, "shops")
    assert kind.values == ("a", "b") and kind.matrix.toarray().tolist() == [[0, 1], [0, 0], [1, 0]]
    assert shops.values == ("x", "y") and shops.matrix.toarray().tolist() == [[1, 1], [0, 0], [0, 0]]
    assert shops.shares().toarray().tolist() == [[0.5, 0.5], [0, 0], [0, 0]]
