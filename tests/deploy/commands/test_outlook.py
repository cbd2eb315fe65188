"""How far a build is as a whole: by expected seconds, at the pace so far."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.config.sections import Config
from deploy.commands.outlook import Outlook, outlook
from tests.train.test_build import Stages
from tests.worlds import build_tiny, tiny_config


def test_the_share_is_of_expected_seconds_and_never_falls() -> None:
    ahead = Outlook({"data": 10, "als": 30, "publish": 60})
    ahead.reach("als", 0.5)
    assert ahead.share == pytest.approx(0.25)
    for stage, part in (("unheard of", 1), ("data", 1)):
        ahead.reach(stage, part)
        assert ahead.share == pytest.approx(0.25)
    ahead.reach("publish", 1)
    assert ahead.share == pytest.approx(1)


def test_the_rest_is_at_the_pace_so_far() -> None:
    ahead = Outlook({"a": 100, "b": 100})
    assert ahead.remaining(0) == "about 3 min left"
    ahead.reach("a", 1)
    assert ahead.remaining(100) == "about 2 min left"
    assert ahead.remaining(45) == "about 50 s left"


def test_every_stage_of_a_build_was_expected(tmp_path: Path) -> None:
    """By the built-in table before the first build, by its report before the second. Further losses are not in the table."""
    config = tiny_config(tmp_path / "store")
    first, stages = outlook(config), Stages()
    build_tiny(tmp_path, progress=stages, config=config)
    optional = re.compile(r"(heavy-(?!Logloss)|two_tower|ranking)")
    for expected in (first, outlook(config)):
        unexpected = {stage for stage in stages.ends if stage not in expected._seconds and not optional.match(stage)}
        assert not unexpected - {"split"}


def test_a_storage_without_a_report_is_no_obstacle(tmp_path: Path) -> None:
    assert outlook(Config.model_validate({"storage": {"path": str(tmp_path)}})).share == 0
