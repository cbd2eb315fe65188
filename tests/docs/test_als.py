"""docs/als.md says what is so: its examples run, its keys and files are there, its tables are the measured ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.als import CASES, markdown
from bench.als_grid import markdown as grid
from bench.tools.row import RESULTS, read_rows
from cluster.config.train import AlsSection
from train.vectors import als

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "als.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_run(code: str) -> None:
    exec(compile(code, "docs/als.md", "exec"), {})


def test_every_knob_is_named_and_no_other() -> None:
    assert set(re.findall(r"`train\.als\.(\w+)", TEXT)) == set(AlsSection.model_fields)


@pytest.mark.parametrize("case", list(CASES))
def test_the_qualities_are_the_measured_ones(case: str) -> None:
    lines = markdown(read_rows(RESULTS / "als.jsonl"), case)
    assert lines and all(line in TEXT for line in lines.splitlines())


def test_the_grid_is_the_measured_one() -> None:
    assert grid(read_rows(RESULTS / "als_grid.jsonl")) in TEXT


def test_the_tolerances_are_those_that_are_tested() -> None:
    assert f"at most {als.ROWS_TOLERANCE:.0e}".replace("e-0", "e-") in TEXT
    assert f"within {als.SCORES_TOLERANCE:.0e}".replace("e-0", "e-") in TEXT
