"""What the input does not allow is left out in silence, or refused in a line if it was asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.config.sections import Config
from cluster.errors import ConfigError
from tests.train.logs import NOW_DAY, catalogue_of, log_of
from tests.worlds import tiny_config
from train.input.event_log import EventKind, EventLog
from train.signals import Signals
from train.source_specs import source_specs

CATALOGUE = catalogue_of(["red", "blue"])
PURCHASES = log_of([("a", 0, NOW_DAY)], n_items=2)
ALL_KINDS: list[EventKind] = ["view", "click", "purchase"]
EVERYTHING = log_of([("a", 0, NOW_DAY), ("a", 1, NOW_DAY), ("a", 0, NOW_DAY)], n_items=2, kinds=ALL_KINDS)


def config_of(sources: dict[str, Any] | None = None) -> Config:
    return Config.model_validate({"catalog": {"category": ("category",)}, "sources": sources or {}})


def names(config: Config, log: EventLog = PURCHASES, *, playlists: bool = False) -> list[str]:
    return [source.name for source in source_specs(config, CATALOGUE, log, playlists=playlists)]


def test_a_log_of_purchases_has_the_sources_that_need_no_more() -> None:
    lists = ["ease", "with_basket", "completes_basket", "with_history", "similar", "near_basket"]
    assert names(config_of()) == ["tops", "new", "rising", "ann", "score_all", "history", "favourites", "viewed", *lists]


def test_more_input_more_sources() -> None:
    found = names(config_of({"quorum": {"attribute": "category"}}), EVERYTHING, playlists=True)
    assert {"clicks", "ctr", "pctr", "weighted_ctr", "weighted_pctr", "playlists", "quorum"} <= set(found)
    with_content = replace(CATALOGUE, content=np.ones((2, 3), np.float32))
    specs = source_specs(config_of(), with_content, PURCHASES, playlists=False)
    assert [source.space for source in specs if source.kind == "ann"] == ["als", "content"]


def test_what_is_switched_off_is_not_there() -> None:
    off = {"enabled": False}
    found = names(config_of({"tops": off, "ann": off, "favourites": off, "item_lists": {"ease": off}}))
    assert not {"tops", "new", "rising", "ann", "favourites", "ease"} & set(found)


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ({"tops": {"kinds": ("purchases", "ctr")}}, "sources.tops.kinds: ctr needs"),
        ({"content": {"enabled": True}}, "sources.content.enabled is true, but the source needs catalog.vector_column"),
        ({"playlists": {"enabled": True}}, "sources.playlists.enabled is true, but the source needs a table of playlists"),
        ({"quorum": {"enabled": True}}, "the source needs sources.quorum.attribute"),
    ],
)
def test_asked_for_by_name_it_is_refused(sources: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        names(config_of(sources))


def test_without_attributes_and_vectors_there_is_no_content() -> None:
    bare = Config()
    assert "similar" not in names(bare)
    asked = Config.model_validate({"sources": {"item_lists": {"alike": {"table": "content", "seeds": "basket"}}}})
    with pytest.raises(ConfigError, match=r"sources\.item_lists\.alike: table content needs"):
        names(asked)


def test_every_moment_has_the_same_sources(tiny_signals: Signals) -> None:
    """Or the ranking models of one would not fit the other."""
    log = tiny_signals.log
    config = tiny_config(Path("unused"))
    early = source_specs(config, tiny_signals.catalogue, log.as_of(int(log.times.min())), playlists=False)
    assert early == tiny_signals.sources
