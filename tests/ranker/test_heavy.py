"""The heavy model: a real CatBoost fit, scored alone and in company, from any memory layout and in two threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from catboost import CatBoost, Pool

from cluster.errors import GenerationCorrupt, InternalError, SchemaMismatch
from cluster.spec import columns_hash
from ranker.heavy import SCHEMA_KEY, HeavyModel
from tests.ranker.making import COLUMNS, heavy_blob, rows_of

FEATURES = rows_of(500)


@pytest.fixture(scope="module")
def model() -> HeavyModel:
    return HeavyModel.from_bytes(heavy_blob())


def test_it_scores_float32_rows(model: HeavyModel) -> None:
    scores = model.score(FEATURES)
    assert scores.shape == (500,) and scores.dtype == np.float32 and np.isfinite(scores).all()
    assert np.corrcoef(scores, FEATURES[:, 0])[0, 1] > 0.5
    assert model.columns == COLUMNS


def test_a_row_scores_the_same_whatever_stands_beside_it(model: HeavyModel) -> None:
    whole = model.score(FEATURES)
    for size in (1, 2, 7, 128, 129):
        parts = [model.score(np.asfortranarray(FEATURES[i : i + size])) for i in range(0, 500, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(model.score(np.ascontiguousarray(FEATURES)), whole)


def test_threads_do_not_disturb_each_other(model: HeavyModel) -> None:
    whole = model.score(FEATURES)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(model.score, [FEATURES] * 40):
            np.testing.assert_array_equal(scores, whole)


def test_no_rows_is_no_scores(model: HeavyModel) -> None:
    assert model.score(FEATURES[:0]).shape == (0,)


def test_too_few_columns_are_an_error_of_ours(model: HeavyModel) -> None:
    with pytest.raises(InternalError):
        model.score(FEATURES[:, :2])


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 100])  # half a .cbm is not safe to try: see ranker/heavy.py
def test_what_is_no_model_is_corrupt(content: bytes) -> None:
    with pytest.raises(GenerationCorrupt):
        HeavyModel.from_bytes(content)


@pytest.mark.parametrize("schema_hash", [None, columns_hash(COLUMNS[::-1])])
def test_a_model_without_the_hash_of_its_columns_is_a_mismatch(schema_hash: str | None) -> None:
    with pytest.raises(SchemaMismatch):
        HeavyModel.from_bytes(heavy_blob(schema_hash=schema_hash))


def test_several_scores_a_row_are_none_of_ours(tmp_path) -> None:
    labels = np.arange(500) % 3
    trees = CatBoost(
        {
            "loss_function": "MultiClass",
            "iterations": 2,
            "logging_level": "Silent",
            "allow_writing_files": False,
            "metadata": {SCHEMA_KEY: columns_hash(COLUMNS)},
        }
    )
    trees.fit(Pool(FEATURES, labels, feature_names=list(COLUMNS)))
    trees.save_model(str(tmp_path / "m.cbm"))
    with pytest.raises(GenerationCorrupt):
        HeavyModel.from_bytes((tmp_path / "m.cbm").read_bytes())
