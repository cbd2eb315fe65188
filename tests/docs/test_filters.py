"""docs/filters.md says what is so: its filters are read, its table of texts is right, its answers are those that are given."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from cluster.config.sections import Config
from cluster.filtering import GROUPS, Op
from deploy.commands.filter_text import parse_filter
from deploy.commands.slate_text import shortage
from deploy.http.convert import to_filter
from deploy.http.schema import FilterBody
from router.request import Eligibility
from shard.filter.filters import ALIKE_VALUES_MAX

TEXT = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
BLOCKS: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
FILTERS, ANSWERS = ([block for block in BLOCKS if ("eligible" in block) == is_answer] for is_answer in (False, True))
TEXTS = re.findall(r"^\| `([^`]+)` \| `(\{.*\})` \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("filter", FILTERS)
def test_the_filters_are_read(filter: dict[str, Any]) -> None:
    assert to_filter(msgspec.convert(filter, FilterBody), Config()).must


@pytest.mark.parametrize(("text", "body"), TEXTS)
def test_a_text_is_the_json_beside_it(text: str, body: str) -> None:
    assert len(TEXTS) == 11
    assert parse_filter([text]) == json.loads(body)
    to_filter(msgspec.convert(json.loads(body), FilterBody), Config())


def test_no_operator_and_no_group_is_left_out() -> None:
    assert [op for op in get_args(Op) if f"`{op}`" not in TEXT] == [] and len(FILTERS) == 2
    assert all(f"`{group}`" in TEXT for group in GROUPS)


def test_the_answer_and_what_the_command_line_says_of_it() -> None:
    (answer,) = ANSWERS
    told = msgspec.convert(answer["eligible"], Eligibility)
    assert json.loads(msgspec.json.encode(told)) == answer["eligible"]
    assert shortage({"items": [], **answer}, 10) in TEXT
    assert f"more than {ALIKE_VALUES_MAX:,} values" in TEXT
