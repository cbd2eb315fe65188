"""`oskolok train-rankers` from the shell: a new generation in a line, a document, and one line for what is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cluster.generation import current_id
from deploy.cli import run
from deploy.commands.common import USAGE
from deploy.demo.synthetic import write_world
from tests.deploy.commands.test_evaluate import CONFIG
from tests.worlds import TINY


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of the build that made the generation."""
    folder = tmp_path_factory.mktemp("train-rankers")
    items, events = write_world(TINY, folder)
    config = folder / "oskolok.toml"
    config.write_text(CONFIG.format(storage=folder / "store"))
    made = ["--items", str(items), "--events", str(events), "--config", str(config)]
    assert run(["build", *made]) == 0
    return made


def current(arguments: list[str]) -> str:
    return current_id(Path(arguments[1]).parent / "store")


def test_a_generation_with_new_models(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    base = current(arguments)
    time.sleep(1.1)  # a generation is named after its second
    assert run(["train-rankers", *arguments, "--set", "train.ranker.n_trees=5"]) == 0
    said = capsys.readouterr()
    new = current(arguments)
    assert new != base and said.out.startswith(f"generation {new}: models for {base}, ndcg@10 merged 0.")
    assert "rows-judging       reused" in said.err and "heavy-Logloss      5 trees" in said.err
    time.sleep(1.1)
    assert run(["train-rankers", *arguments, "--generation", base, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["generation"] == current(arguments) and told["report"]["models_for"] == base


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--events", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--generation", "20200101-000000"], "no generation 20200101-000000 below"),
        (["--set", "storage.path=nowhere"], "no generation was published below nowhere"),
        (["--set", "catalog.number=[]"], "features, but generation"),
        (["--set", "train.ranker.label_days=30"], "the log covers"),
        (["--set", "train.ranker.depth=0"], "train.ranker.depth"),
        (["--set", 'train.ranker.losses=["QueryCrossEntropy"]'], "train.ranker.losses"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    arguments: list[str], wrong: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = current(arguments)
    assert run(["train-rankers", *arguments, *wrong]) == USAGE
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert words in line + said.err and said.out == "" and current(arguments) == before
