"""`oskolok evaluate` from the shell: a table, a document, pictures, and one line for what is wrong."""

from __future__ import annotations

import doctest
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from deploy.cli import run
from deploy.commands import evaluate
from deploy.commands.common import USAGE
from deploy.demo.synthetic import write_world
from tests.pictures import faults, texts, title
from tests.train.worth.test_source_worth import beaten_union
from tests.worlds import TINY
from train.worth.evaluation import Evaluation, EvaluationTerms

CONFIG = """
config_version = 1
[cluster]
n_shards = 3
[storage]
path = "{storage}"
[catalog]
category = ["category"]
categories = ["stores"]
number = ["price"]
[sources.tops]
group_by = "category"
[sources.score_all]
max_items = 0
[train.als]
dim = 8
n_sweeps = 2
[train.ranker]
label_days = 10
n_users = 40
n_trees = 10
losses = ["Logloss", "LambdaMart"]
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("evaluate")
    items, events = write_world(TINY, folder)
    config = folder / "oskolok.toml"
    config.write_text(CONFIG.format(storage=folder / "store"))
    return ["evaluate", "--items", str(items), "--events", str(events), "--config", str(config), "--sample", "20"]


def test_a_table_with_the_union_last_and_pictures(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--plots", str(tmp_path)]) == 0
    said = capsys.readouterr()
    rows = [line.split()[0] for line in said.out.splitlines()]
    assert rows[:2] == ["source", "tops"] and "union" in rows
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activity.svg", "exclusive.svg", "recall.svg"]
    assert [fault for path in tmp_path.iterdir() for fault in faults(path)] == []
    assert "union" in {text.text for text in texts(tmp_path / "recall.svg")}
    assert title(tmp_path / "recall.svg").startswith("Recall@500 of all sources together is ")


def test_a_source_that_beats_the_union_is_told_with_what_to_set() -> None:
    hits, held_out = beaten_union()
    found = Evaluation(EvaluationTerms(depth=100), hits, held_out, activity=np.zeros(40, np.int64), n_eligible=20)
    said = (
        "note: recall@100 of tops alone is .750, of the union .250: give tops more weight, such as --set merge.weights.tops=3"
    )
    assert evaluate._notes(found) == [said]


def test_a_document(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filter = ["--filter", "stores in (store-1)", "--filter", "not price > 9"]
    assert run([*arguments, "--format", "json", "--days", "14", *filter, "--plots", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["days"], said["users"]) == (14, 20)
    assert 0 < said["items_new"] <= said["items_bought"]
    assert 0 < said["eligible_items"] < TINY.n_items
    assert list(said["sources"])[-1] == "union"
    assert {"recall@100", "recall_new@500", "coverage", "exclusive", "ms_per_request"} <= said["sources"]["tops"].keys()


def test_stages_have_a_table_a_document_and_a_picture(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--stages", "--plots", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    systems = ["merged", "light", "heavy:Logloss", "heavy:LambdaMart", "heavy", "slate"]
    assert [line.split()[0] for line in lines[:7]] == ["after", *systems]
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].startswith("ranking: no model serves, candidates stay in their merged order; ")
    assert [path.name for path in tmp_path.iterdir()] == ["stages.svg"] and faults(tmp_path / "stages.svg") == []
    assert run([*arguments, "--stages", "--format", "json", "--plots", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (
        {said["serving"], said["chosen"]} <= said["stages"].keys() and said["why"] and said["users"] == said["requests"] <= 20
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--filter", "color = red"], "no attribute 'color'"),
        (["--filter", "price = red"], "price is a number attribute"),
        (["--filter", "price <"], "cannot read the filter"),
        (["--stages", "--filter", "price > 1"], "--stages measures all items"),
        (["--days", "70"], "holding out 70 leaves nothing to learn from: hold out fewer, such as --days 35"),
        (["--events", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--set", "sources.tops.k=0"], "sources.tops.k"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    arguments: list[str], wrong: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, *wrong]) == USAGE
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert words in line + said.err and said.out == ""


def test_examples_hold() -> None:
    assert doctest.testmod(importlib.import_module("deploy.commands.evaluate")).failed == 0
