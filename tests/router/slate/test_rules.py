"""Rules made ready for a generation, and what happens where it cannot tell what they are about."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from cluster.config.slate import SlateSection
from cluster.errors import ConfigError
from router.slate.rules import Rules
from tests.router.slate.making import SPEC, rules_of


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"cap_by": "shape"}, "no category attribute 'shape', it has brand, color"),
        ({"boosts": ({"source": "hot"},)}, "no source 'hot', it has tops, new"),
        ({"quotas": ({"stat": "price", "at_most": 1.0},)}, "no stat 'price', it has age_days, log_views, log_clicks"),
        ({"quotas": ({"attribute": "shape", "values": ("round",)},)}, "no attribute 'shape'"),
        ({"quotas": ({"attribute": "brand", "values": (True,)},)}, "brand is a category attribute"),
        ({"diversity": {"method": "mmr", "space": "content"}}, "no space 'content', it has als"),
        (
            {"explore": {"method": "thompson", "positions": (1,), "source": "new", "trials": "log_shown"}},
            "no stat 'log_shown'",
        ),
    ],
)
def test_what_the_generation_does_not_have_is_one_line(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        rules_of(**section)
    assert caught.value.message.startswith("slate: generation g-1") and "\n" not in caught.value.message


def test_only_a_single_cap_over_the_whole_slate_is_plain() -> None:
    assert rules_of().plain
    assert rules_of(cap_by="brand").plain
    assert rules_of(caps=({"attribute": "brand", "max": 2},)).plain
    assert not rules_of(caps=({"attribute": "brand", "max": 2, "first": 3},)).plain
    assert not rules_of(cap_by="brand", caps=({"attribute": "color", "max": 2},)).plain
    assert not rules_of(boosts=({"source": "new"},)).plain
    assert not rules_of(diversity={"method": "dpp"}).plain


def test_where_a_generation_cannot_tell_only_caps_hold_and_answers_say_so(caplog: pytest.LogCaptureFixture) -> None:
    section = SlateSection(cap_by="brand", quotas=({"stat": "price", "at_most": 1.0},))  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        rules = Rules.in_force(section, SPEC)
    assert rules == replace(Rules.of(SlateSection(cap_by="brand"), SPEC), degraded=("slate_rule_skipped",))
    assert len(caplog.records) == 1
