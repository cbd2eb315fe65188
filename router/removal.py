"""The reasons why an item that entered a stage did not leave it. Every removal is counted, under one of these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NewType, get_args

Removal = Literal[
    "missing_shard",
    "ineligible",
    "not_proposed",
    "beyond_k",
    "below_cutoff",
    "excluded",
    "displaced",
    "stock_leak",
    "fill_failed",
    "surplus",
]
"""A closed list: metrics create all of them at start.

missing_shard: its shard did not answer.  ineligible: the filter or an exclusion stopped it.  not_proposed: no source had it
among its best.  beyond_k: not within its source's budget.  below_cutoff: too far back for the candidates, or for the slate.
excluded: the slate may not show it.  displaced: it made room for what a rule requires.  stock_leak: it became ineligible since
it was found.  fill_failed: its owner did not deliver it.  surplus: fetched in reserve and not needed.
"""

REMOVALS: tuple[Removal, ...] = get_args(Removal)

RuleName = NewType("RuleName", str)
"""A rule of the configuration that keeps items back: "cap.brand", "quota.new". The dot tells it from the others."""

Removed = Mapping[Removal | RuleName, int]


def is_reason(text: str) -> bool:
    """Whether something may be counted as removed for it.

    >>> is_reason("surplus"), is_reason("cap.brand"), is_reason("duplicate")
    (True, True, False)
    """
    return text in REMOVALS or "." in text
