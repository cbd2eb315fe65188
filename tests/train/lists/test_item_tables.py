"""Tables of a made-up world: whose lists they are, what is in them, and that nothing later than the moment is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.config.sections import Config
from cluster.config.train import ContentSection, EaseSection, NearSection, NpmiSection, TogetherSection
from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from tests.worlds import tiny_config
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.input.interactions import interactions
from train.lists.item_lists import ItemLists
from train.lists.item_tables import (
    content_likeness,
    content_sources,
    content_table,
    content_weights,
    ease_table,
    load_lists,
    near_table,
    npmi_table,
    save_lists,
    together_table,
)
from train.signals import Signals


def rows(lists: ItemLists, source: int) -> list[int]:
    return lists.targets[lists.starts[source] : lists.starts[source + 1]].tolist()


def content_of(catalogue: Catalogue, log: EventLog, config: Config, *, as_of: int = NOW) -> ItemLists:
    pairs = interactions(log, as_of=as_of, half_life_days=60)
    likeness = content_likeness(catalogue, content_sources(log, pairs, config.train.content), config)
    return content_table(likeness, catalogue, pairs, config)


def test_near_lists_are_among_items_that_enough_users_bought() -> None:
    events = [(user, item, NOW_DAY) for user in "abc" for item in (0, 1, 2)] + [("a", 3, NOW_DAY)]
    pairs = interactions(log_of(events, n_items=5), as_of=NOW, half_life_days=60)
    vectors = np.array([[1, 0], [1, 0.1], [0.1, 1], [1, 0], [1, 0]], np.float32)
    lists = near_table(vectors, pairs, NearSection(top=1, consumers_min=3))
    assert [rows(lists, source) for source in range(5)] == [[1], [0], [1], [], []]


def test_content_lists_are_for_items_with_consumers_and_may_hold_new_ones() -> None:
    catalogue = catalogue_of(["red", "red", "red", "blue", "blue"])
    log = log_of([("a", 0, NOW_DAY), ("a", 3, NOW_DAY), ("b", 1, NOW_DAY), ("b", 4, NOW_DAY + 1)], 5)
    config = Config.model_validate(
        {"catalog": {"category": ("category",)}, "train": {"content": {"frequent_share": 0.9, "top": 2}}}
    )
    lists = content_of(catalogue, log, config)
    assert [rows(lists, source) for source in range(5)] == [[1, 2], [0, 2], [], [4], []]  # what sells stands first
    content = ContentSection(frequent_share=0.9, n_lists_max=1)
    one = config.model_copy(update={"train": config.train.model_copy(update={"content": content})})
    assert content_of(catalogue, log, one).n_filled == 1


def test_content_vectors_come_before_attributes() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0.1], [0, 0]], np.float32)
    catalogue = replace(catalogue_of(["red", "red", "blue", None]), content=vectors)
    assert rows(content_of(catalogue, log_of([("a", 0, NOW_DAY)], 4), Config()), 0) == [2]


def test_content_is_made_of_the_configured_attributes_or_of_all_categories() -> None:
    assert content_weights(tiny_config(Path("x"))) == {"category": 1, "brand": 1}
    chosen = tiny_config(Path("x"), train={"content": {"weights": {"stores": 2.0}}})
    assert content_weights(chosen) == {"stores": 2}
    assert content_weights(Config.model_validate({"catalog": {"categories": ("tags",)}})) == {"tags": 1}


@pytest.mark.parametrize("table", ["ease", "npmi", "together", "als", "content"])
def test_a_table_of_the_past_does_not_know_the_future(table: str, tiny_signals: Signals) -> None:
    """The same from the whole log as of a moment and from one that ends there."""
    moment = tiny_signals.pairs.as_of - 20 * DAY_S
    config, catalogue = tiny_config(Path("x")), tiny_signals.catalogue

    def made(log: EventLog) -> ItemLists:
        pairs = interactions(log, as_of=moment, half_life_days=60)
        match table:
            case "ease":
                return ease_table(pairs, EaseSection())
            case "npmi":
                return npmi_table(log, NpmiSection(), as_of=moment)
            case "together":
                return together_table(log, TogetherSection(), as_of=moment)
            case "als":
                return near_table(tiny_signals.spaces["als"].items, pairs, NearSection())
            case _:
                return content_of(catalogue, log, config, as_of=moment)

    whole, ended = made(tiny_signals.log), made(tiny_signals.log.as_of(moment))
    assert len(whole.weights) > 0
    assert np.array_equal(whole.targets, ended.targets) and np.array_equal(whole.weights, ended.weights)


def test_lists_survive_the_disk(tmp_path: Path, tiny_signals: Signals) -> None:
    lists = tiny_signals.tables["npmi"]
    save_lists(lists, tmp_path)
    loaded = load_lists(tmp_path)
    assert np.array_equal(loaded.starts, lists.starts) and np.array_equal(loaded.targets, lists.targets)
    assert np.array_equal(loaded.weights, lists.weights)
