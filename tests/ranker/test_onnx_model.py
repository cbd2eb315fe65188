"""An ONNX model as the heavy one: CatBoost's own export, which must score as CatBoost does; what does not fit is refused."""

from __future__ import annotations

import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from catboost import CatBoost, Pool

from cluster.errors import ConfigError, GenerationCorrupt, InternalError, SchemaMismatch
from cluster.generation import Generation, GenerationWriter
from cluster.types import RankReply
from ranker.onnx_model import OnnxModel, stamped
from ranker.ranker import LIGHT_FILE, ONNX_FILE, Ranker
from tests.ranker.making import COLUMNS, light_model, query_of, rows_of, spec_of

FEATURES = np.nan_to_num(rows_of(500))


@cache
def trees() -> CatBoost:
    fitted = CatBoost(
        {
            "loss_function": "RMSE",
            "iterations": 20,
            "depth": 4,
            "thread_count": 1,
            "logging_level": "Silent",
            "allow_writing_files": False,
        }
    )
    return fitted.fit(Pool(FEATURES, FEATURES[:, 0] + FEATURES[:, 4], feature_names=list(COLUMNS)))


@cache
def plain_onnx() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heavy.onnx"
        trees().save_model(str(path), format="onnx")
        return path.read_bytes()


def onnx_blob() -> bytes:
    return stamped(plain_onnx(), COLUMNS)


def published(storage: Path, **models: bytes) -> Generation:
    with GenerationWriter(storage, "g1") as writer:
        for name, file in (("light", LIGHT_FILE), ("onnx", ONNX_FILE)):
            if name in models:
                writer.path_for(file).write_bytes(models[name])
        return writer.publish(spec_of(), shards=[{}, {}])


def model() -> OnnxModel:
    pytest.importorskip("onnxruntime")
    return OnnxModel.from_bytes(onnx_blob(), COLUMNS)


def test_it_scores_as_the_model_it_was_made_from() -> None:
    scores = model().score(np.asfortranarray(FEATURES))
    assert scores.shape == (500,) and scores.dtype == np.float32
    np.testing.assert_allclose(scores, trees().predict(FEATURES), atol=1e-5)
    assert model().score(FEATURES[:0]).shape == (0,)


def test_a_row_scores_the_same_whatever_stands_beside_it() -> None:
    heavy = model()
    whole = heavy.score(FEATURES)
    for size in (1, 7, 128):
        parts = [heavy.score(FEATURES[i : i + size]) for i in range(0, 500, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_generation_s_onnx_model_orders_if_the_configuration_says_so(tmp_path: Path) -> None:
    heavy = model()
    generation = published(tmp_path, light=light_model().to_json(), onnx=onnx_blob())
    (reply,) = Ranker.load(generation, heavy_model="onnx").rank_batch([query_of()], [10_000])
    (by_hand,) = Ranker(generation.spec, light=light_model(), heavy=heavy).rank_batch([query_of()], [10_000])
    assert isinstance(reply, RankReply) and isinstance(by_hand, RankReply)
    assert reply.n_heavy == 5 and reply.order.tolist() == by_hand.order.tolist()
    (light,) = Ranker.load(generation).rank_batch([query_of()], [10_000])
    assert isinstance(light, RankReply) and light.n_heavy == 0


def test_a_generation_without_one_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ranker\.heavy\.model .* generation g1 has no models/heavy\.onnx"):
        Ranker.load(published(tmp_path, light=light_model().to_json()), heavy_model="onnx")


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="onnxruntime: pip install"):
        OnnxModel.from_bytes(onnx_blob(), COLUMNS)


@pytest.mark.parametrize("how", ["unstamped", "other order"])
def test_a_model_of_other_columns_is_refused(how: str) -> None:
    pytest.importorskip("onnxruntime")
    content = plain_onnx() if how == "unstamped" else stamped(plain_onnx(), COLUMNS[::-1])
    with pytest.raises(SchemaMismatch, match=r"heavy\.onnx has schema"):
        OnnxModel.from_bytes(content, COLUMNS)


def test_the_last_stamp_counts() -> None:
    pytest.importorskip("onnxruntime")
    assert OnnxModel.from_bytes(stamped(stamped(plain_onnx(), COLUMNS[::-1]), COLUMNS), COLUMNS).columns == COLUMNS


@pytest.mark.parametrize("content", [b"", b"no graph", b"\0" * 100])
def test_what_is_no_model_is_corrupt(content: bytes) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(GenerationCorrupt):
        OnnxModel.from_bytes(content, COLUMNS)


def test_a_graph_that_wants_more_columns_than_there_are_is_corrupt() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(GenerationCorrupt):
        OnnxModel.from_bytes(stamped(plain_onnx(), COLUMNS[:1]), COLUMNS[:1])


def test_rows_that_do_not_fit_are_an_error_of_ours() -> None:
    with pytest.raises(InternalError):
        model().score(FEATURES[:, :2])
