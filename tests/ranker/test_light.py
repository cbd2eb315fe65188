"""The light model against np.interp, its file against everything that may be wrong with it, and a golden file per format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GenerationCorrupt, SchemaMismatch
from ranker.light import Curve, LightModel

GOLDEN = Path(__file__).parent / "golden" / "light-1.json"
COLUMNS = ("a", "b", "c", "d")
CURVES = (
    Curve("a", knots=(-1.0, 0.0, 2.0), steps=(0.5, -2.0), missing=0.25),
    Curve("c", knots=(0.0, 1.0), steps=(1.0,)),
    Curve("d", knots=(1.0, 10.0, 100.0, 1000.0), steps=(-0.5, -1.0, 3.0), missing=-4.0),
)
MODEL = LightModel(COLUMNS, bias=-0.5, curves=CURVES)

cells = st.one_of(st.just(np.nan), st.floats(-(2.0**126), 2.0**126, width=32), st.floats(-5, 1500, width=32))
matrices = st.lists(st.tuples(cells, cells, cells, cells), max_size=40).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, 4)
)


def by_interpolation(model: LightModel, features: np.ndarray) -> np.ndarray:
    total = np.full(len(features), model.bias)
    for curve in model.curves:
        x = features[:, model.columns.index(curve.column)].astype(np.float64)
        heights = np.cumsum((0, *curve.steps))
        total += np.where(np.isnan(x), curve.missing, np.interp(np.nan_to_num(x), curve.knots, heights))
    return total


@settings(deadline=None)
@given(matrices)
def test_a_score_is_the_sum_of_the_curves(features: np.ndarray) -> None:
    scores = MODEL.score(features)
    assert scores.dtype == np.float32 and scores.shape == (len(features),)
    np.testing.assert_allclose(scores, by_interpolation(MODEL, features), atol=1e-4)


@settings(deadline=None)
@given(matrices, st.data())
def test_a_row_scores_the_same_whatever_stands_beside_it(features: np.ndarray, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(features)))
    end = data.draw(st.integers(begin, len(features)))
    alone = MODEL.score(np.asfortranarray(features[begin:end]))
    np.testing.assert_array_equal(alone, MODEL.score(np.asfortranarray(features))[begin:end])


def test_so_do_many_rows_of_a_wide_model() -> None:
    rng = np.random.default_rng(0)
    columns = [f"c{i}" for i in range(30)]
    curves = [Curve(c, tuple(np.sort(rng.normal(size=13)).tolist()), tuple(rng.normal(size=12).tolist())) for c in columns]
    model = LightModel(columns, bias=0.1, curves=curves)
    features = np.asfortranarray(rng.normal(size=(1_000, 30)).astype(np.float32))
    whole = model.score(features)
    for size in (1, 2, 3, 17, 64, 999):
        np.testing.assert_array_equal(model.score(np.asfortranarray(features[-size:])), whole[-size:])


def test_without_curves_everything_scores_the_bias() -> None:
    assert LightModel(COLUMNS, bias=1.5, curves=()).score(np.zeros((3, 4), np.float32)).tolist() == [1.5] * 3


def test_the_file_brings_the_same_model_back() -> None:
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    again = LightModel.from_json(MODEL.to_json())
    np.testing.assert_array_equal(again.score(features), MODEL.score(features))
    assert again.to_json() == MODEL.to_json()


def test_the_golden_file_still_reads_and_scores_as_it_did() -> None:
    model = LightModel.from_json(GOLDEN.read_bytes())
    features = np.array([[-0.5, 9, 0.25, 55], [np.nan, 0, 2, np.nan], [7, 0, -3, 1000]], np.float32)
    assert model.score(features).tolist() == [-1.0, -3.25, -0.5]
    assert model.to_json() == GOLDEN.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["a", "b", "c", "e"]},
        {"columns": ["b", "a", "c", "d"]},
        {"schema_hash": "0" * 16},
        {"format": 2},
    ],
)
def test_another_schema_or_format_is_a_mismatch(change: dict[str, object]) -> None:
    with pytest.raises(SchemaMismatch):
        LightModel.from_json(json.dumps(json.loads(MODEL.to_json()) | change).encode())


@pytest.mark.parametrize(
    "curve",
    [
        {"knots": [0.0, 0.0]},
        {"knots": [1.0, 0.0]},
        {"knots": [0.0]},
        {"knots": [0.0, 1e-45], "steps": [1e38]},
        {"knots": [0.0, 1e39]},
        {"steps": []},
        {"steps": [1.0, 1.0]},
        {"steps": ["1"]},
        {"steps": [1e39]},
        {"missing": 1e39},
        {"missing": None},
        {"column": "z"},
        {"column": "a"},
        {"surprise": 1},
    ],
)
def test_what_is_no_curve_is_corrupt(curve: dict[str, object]) -> None:
    file = json.loads(MODEL.to_json())
    file["curves"][1] |= curve
    with pytest.raises(GenerationCorrupt):
        LightModel.from_json(json.dumps(file).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", MODEL.to_json()[:-5], MODEL.to_json() + b"x"])
def test_what_is_no_file_of_ours_is_corrupt(content: bytes) -> None:
    with pytest.raises(GenerationCorrupt):
        LightModel.from_json(content)


@pytest.mark.parametrize("change", [{"bias": 1e39}, {"bias": None}, {"surprise": 1}, {"curves": {}}])
def test_so_is_a_file_with_an_odd_member(change: dict[str, object]) -> None:
    with pytest.raises(GenerationCorrupt):
        LightModel.from_json(json.dumps(json.loads(MODEL.to_json()) | change).encode())
