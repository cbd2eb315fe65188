"""Assembly: every value in its column, missing stays missing, and nothing that does not fit gets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.errors import InvalidQuery, SchemaMismatch
from cluster.spec import FeatureSchema
from ranker.features import assemble
from tests.ranker.making import COLUMNS, SCHEMA, SPOILINGS, query_of, spoilt


def test_every_value_stands_in_its_column() -> None:
    query = query_of(m=4)
    features = dict(zip(COLUMNS, assemble(SCHEMA, query).T, strict=True))
    for at, name in enumerate(SCHEMA.match):
        np.testing.assert_array_equal(features[name], query.match[:, at])
    for at, name in enumerate(SCHEMA.sources):
        np.testing.assert_array_equal(features[f"{name}.score"], query.source_scores[:, at])
        np.testing.assert_array_equal(features[f"{name}.rank"], query.source_ranks[:, at])
    np.testing.assert_array_equal(features["user.buys"], np.repeat(query.user[0], 4))
    np.testing.assert_array_equal(features["ctx.basket"], np.repeat(query.context[0], 4))


def test_it_is_float32_and_column_major() -> None:
    features = assemble(SCHEMA, query_of(m=7))
    assert features.shape == (7, len(COLUMNS)) and features.dtype == np.float32 and features.flags.f_contiguous


def test_missing_stays_missing() -> None:
    query = replace(query_of(), user=np.array([np.nan], np.float32))
    features = assemble(SCHEMA, query)
    assert np.isnan(features[:, COLUMNS.index("user.buys")]).all()
    assert np.isnan(features).sum() == len(features) + np.isnan(query.source_scores).sum() + np.isnan(query.source_ranks).sum()


def test_no_candidates_and_no_groups_of_columns_are_fine() -> None:
    assert assemble(SCHEMA, query_of(m=0)).shape == (0, len(COLUMNS))
    bare = FeatureSchema(match=("dot.ials",), sources=(), user=(), context=())
    assert assemble(bare, query_of(m=3, schema=bare)).shape == (3, 1)


@pytest.mark.parametrize("how", sorted(SPOILINGS.keys() - {"another generation", "negative n_heavy"}))
def test_what_does_not_fit_is_refused(how: str) -> None:
    with pytest.raises(SchemaMismatch if how == "another schema" else InvalidQuery):
        assemble(SCHEMA, spoilt(query_of(), how))
