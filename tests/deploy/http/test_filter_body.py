"""The JSON of a filter as the filter of a request: groups, ranges, and how many tests are allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cluster.config.sections import Config
from cluster.errors import InvalidQuery, LimitExceeded
from cluster.filtering import EVERYTHING, Condition, Filter
from deploy.http.convert import to_filter
from deploy.http.schema import FilterBody

CONFIG = Config()
FRESH: dict[str, Any] = {"field": "fresh", "eq": True}


def told(**clauses: Any) -> Filter:
    return to_filter(msgspec.convert(clauses, FilterBody), CONFIG)


def nested(depth: int) -> dict[str, Any]:
    condition = FRESH
    for _ in range(depth):
        condition = {"all_of": [condition]}
    return condition


def test_groups_and_ranges() -> None:
    filter = told(must=[{"any_of": [FRESH, {"none_of": [{"field": "price", "gte": 1, "lt": 2}]}]}, {"field": "a", "ne": "x"}])
    price = Condition("price", "all_of", (), (Condition("price", "gte", (1,)), Condition("price", "lt", (2,))))
    either = Condition("", "any_of", (), (Condition("fresh", "eq", (True,)), Condition("", "none_of", (), (price,))))
    assert filter == Filter(must=(either, Condition("a", "ne", ("x",))))
    assert told() is EVERYTHING and told(must=[], must_not=[]) is EVERYTHING


def test_every_test_counts_wherever_it_stands() -> None:
    limit = CONFIG.limits.filter_conditions
    fits = [{"any_of": [FRESH, FRESH]}, {"field": "price", "gt": 1, "lt": 2}, *[FRESH] * (limit - 4)]
    assert len(told(must=fits).must) == limit - 2
    for more in ({"must": [*fits, FRESH]}, {"must": fits, "must_not": [FRESH]}, {"must": [{"none_of": [*fits, FRESH]}]}):
        with pytest.raises(LimitExceeded, match=f"is {limit + 1}, the limit is {limit}"):
            told(**more)


def test_nesting_ends_somewhere() -> None:
    assert told(must=[nested(7)]).must
    with pytest.raises(InvalidQuery, match="nested too deep"):
        told(must=[nested(8)])
