"""A heavy model of one's own: built into a generation, and served if the configuration says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from catboost import CatBoost, Pool

from cluster.config.sections import Config
from cluster.errors import ConfigError, SchemaMismatch
from cluster.generation import Generation, generation_path
from cluster.ranking import ranking_of
from ranker.onnx_model import OnnxModel, stamped
from ranker.ranker import HEAVY_FILE, ONNX_FILE, Ranker
from tests.worlds import NOW, build_tiny, tiny_config

pytest.importorskip("onnxruntime")


def trees_of(columns: tuple[str, ...], folder: Path) -> bytes:
    """Trees that like what the first column says, as ONNX."""
    rows = np.random.default_rng(0).normal(size=(300, len(columns))).astype(np.float32)
    settings = {"iterations": 5, "depth": 2, "thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}
    trees = CatBoost(settings).fit(Pool(rows, rows[:, 0], feature_names=list(columns)))
    trees.save_model(str(folder / "plain.onnx"), format="onnx")
    return (folder / "plain.onnx").read_bytes()


@pytest.fixture
def world(tiny_generation: Generation, tmp_path: Path) -> Path:
    """The tiny world with its finished build, to build on."""
    return Path(shutil.copytree(tiny_generation.path.parents[2], tmp_path / "world"))


def config(world: Path, file: Path, **sections: dict[str, object]) -> Config:
    ranker = {"label_days": 10, "n_users": 60, "n_trees": 20, "depth": 4, "onnx_file": str(file)}
    return tiny_config(
        world / "store",
        train={
            "profile": ("category", "brand"),
            "als": {"dim": 8, "n_sweeps": 3},
            "content": {"frequent_share": 0.5},
            "ranker": ranker,
        },
        **sections,
    )


def test_a_build_takes_it_in_beside_the_trees(world: Path, tiny_generation: Generation, tmp_path: Path) -> None:
    columns = tiny_generation.spec.features.columns()
    file = tmp_path / "own.onnx"
    file.write_bytes(stamped(trees_of(columns, tmp_path), columns))
    built = build_tiny(world, config=config(world, file), now=NOW + 1)
    generation = Generation.open(generation_path(world / "store", built.spec.id))
    assert {HEAVY_FILE, ONNX_FILE} <= set(generation.manifest.files)
    with generation.verified(ONNX_FILE) as own:
        assert own.read_bytes() == file.read_bytes()
    assert isinstance(Ranker.load(generation, heavy_model="onnx")._heavy, OnnxModel)
    assert not isinstance(Ranker.load(generation)._heavy, OnnxModel)


def test_it_is_judged_like_the_trees(world: Path, tiny_generation: Generation, tmp_path: Path) -> None:
    columns = tiny_generation.spec.features.columns()
    file = tmp_path / "own.onnx"
    file.write_bytes(stamped(trees_of(columns, tmp_path), columns))
    named = config(world, file, ranker={"heavy": {"model": "onnx"}, "light": {"enabled": "auto"}})
    built = build_tiny(world, config=named, now=NOW + 1)
    quality = built.report.quality
    assert quality["heavy"] == quality["heavy:onnx"] != quality["heavy:Logloss"]
    assert [ranking.heavy for ranking in built.spec.rankings] == ["catboost", "onnx"]
    assert ranking_of(built.spec, named.ranker) == built.spec.ranking("onnx")
    generation = Generation.open(generation_path(world / "store", built.spec.id))
    with generation.verified("models/card.md") as card:
        text = card.read_bytes().decode()
    assert "heavy:onnx" in text and f"With ranker.heavy.model = catboost, {built.spec.ranking('catboost').line}." in text


def test_one_that_does_not_fit_ends_the_build(world: Path, tiny_generation: Generation, tmp_path: Path) -> None:
    columns, file = tiny_generation.spec.features.columns(), tmp_path / "own.onnx"
    with pytest.raises(ConfigError, match=r"train\.ranker\.onnx_file: .*own\.onnx cannot be read: No such file"):
        build_tiny(world, config=config(world, file), now=NOW + 1)
    file.write_bytes(trees_of(columns, tmp_path))
    with pytest.raises(SchemaMismatch, match=r"heavy\.onnx has schema none"):
        build_tiny(world, config=config(world, file), now=NOW + 1)
