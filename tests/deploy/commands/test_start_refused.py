"""What `oskolok serve` does not start with: told in a line, before Ray or anything else has begun."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.config.sections import Config
from cluster.config.text import render
from cluster.generation import Generation, GenerationWriter
from deploy.cli import run
from deploy.commands.common import USAGE
from ranker.light import Curve, LightModel
from tests.worlds import tiny_config

OTHER = LightModel(("dot.als",), bias=0.0, curves=[Curve("dot.als", (0.0, 1.0), (1.0,))])


def republished(generation: Generation, storage: Path, files: Mapping[str, bytes]) -> None:
    """The same with other content in some of its files."""
    with GenerationWriter(storage, generation.id) as writer:
        for name in generation.manifest.files:
            shutil.copyfile(generation.path / name, writer.path_for(name))
        for name, content in files.items():
            writer.path_for(name).write_bytes(content)
        writer.publish(generation.spec, shards=generation.manifest.shards)


def refusal(config: Config, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    file = folder / "oskolok.toml"
    file.write_text(render(config))
    assert run(["serve", "--config", str(file)]) == USAGE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_a_model_of_another_schema(tiny_generation: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    republished(tiny_generation, tmp_path / "store", {"models/light.json": OTHER.to_json()})
    said = refusal(tiny_config(tmp_path / "store"), tmp_path, capsys)
    n_columns = len(tiny_generation.spec.features.columns())
    assert f"the light model reads 1 columns, which are not the {n_columns} of generation {tiny_generation.id}" in said


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"slate": {"quotas": ({"stat": "log_shown", "at_most": 3.0, "min": 1},)}}, "has no stat 'log_shown'"),
        ({"slate": {"boosts": ({"source": "two_tower", "multiply": 2.0},)}}, "has no source 'two_tower'"),
        ({"ranker": {"heavy": {"model": "onnx"}}}, "has no models/heavy.onnx"),
        ({"cluster": {"n_shards": 5}}, "has 3 shards, cluster.n_shards is 5"),
    ],
)
def test_what_the_generation_does_not_have(
    tiny_generation: Generation,
    tmp_path: Path,
    sections: dict[str, dict[str, object]],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = tiny_generation.path.parents[1]
    assert words in refusal(tiny_config(storage, **sections), tmp_path, capsys)
