"""docs/sources.md says what is so: its examples run, its keys exist, no source is left out, its table is the measured one."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from bench.sources import CASE, markdown
from bench.tools.row import RESULTS, read_rows
from cluster.config.sections import Config
from cluster.config.sources import TOPS_SOURCES, SeedSet, TableName

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sources.md"
TEXT = PAGE.read_text()


def test_the_examples_hold() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failed == 0 and tried > 10


@pytest.mark.parametrize(
    "key", sorted(set(re.findall(r"`((?:sources|train|merge|events|catalog|users|slate)\.[\w.]+)`", TEXT)))
)
def test_every_key_exists(key: str) -> None:
    section: object = Config().model_dump()
    for part in key.split("."):
        assert isinstance(section, dict) and part in section, f"no {key}"
        section = section[part]


def test_the_configuration_examples_load() -> None:
    for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL):
        config = Config.model_validate(tomllib.loads(block))
        assert config.sources.item_lists["near_viewed"].table == "als"
        assert config.sources.item_lists["near_basket"].seeds == "basket"


def test_no_source_is_left_out() -> None:
    sources = Config().sources
    named = {*(source.name for source in TOPS_SOURCES.values()), *sources.item_lists, *get_args(SeedSet), *get_args(TableName)}
    named |= {name for name in type(sources).model_fields if name not in ("cold_users", "item_lists")}
    assert {name for name in named if f"`{name}`" not in TEXT} == set()


def test_the_table_is_the_measured_one() -> None:
    rows = [row for row in read_rows(RESULTS / "sources.jsonl") if row.case == CASE]
    assert rows and markdown(rows) in TEXT
