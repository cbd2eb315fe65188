"""What a request names and the catalogue does not have is told, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cluster.filtering import Condition, Filter
from router.request import Pin
from tests.router.asking import ask, router_over
from tests.router.fakes import Catalogue, DictStore, ReverseRanker, dead, fleet, user

CATALOGUE = Catalogue.random(300)
FLEET = fleet(CATALOGUE, CATALOGUE.shards(3), ReverseRanker())
KNOWN = CATALOGUE.item_ids[0]


@pytest.mark.parametrize(
    "fields", [{"basket": ("?",)}, {"exclude_item_ids": ("?",)}, {"viewed": ("?",)}, {"pins": (Pin("?", 1),)}]
)
def test_an_unknown_item_is_told_and_the_answer_is_as_without_it(fields: dict[str, object]) -> None:
    router = router_over(FLEET)
    answer, without = ask(router, **fields, explain="funnel"), ask(router, explain="funnel")
    assert answer.degraded == ("unknown_item",) and answer.unknown_items == ("?",)
    assert [item.item_id for item in answer.items] == [item.item_id for item in without.items]
    assert without.unknown_items == () == without.degraded
    assert ask(router, **fields).unknown_items == (), "which ones they are is told to whoever asks for it"


def test_known_items_are_not_told_even_if_they_may_not_be_shown() -> None:
    blue = Filter(must=(Condition("color", "eq", ("blue",)),))
    named = CATALOGUE.item_ids[:20]
    answer = ask(router_over(FLEET), basket=named[:10], exclude_item_ids=named[5:15], viewed=named[10:], filter=blue)
    assert answer.degraded == ()


def test_what_a_missing_owner_might_have_is_not_called_unknown() -> None:
    shards = CATALOGUE.shards(3)
    broken = fleet(CATALOGUE, [dead(shards[0]), *shards[1:]])
    mine = tuple(CATALOGUE.item_ids[item] for item in shards[0].items[:3])
    answer = ask(router_over(broken), basket=mine, explain="funnel", min_coverage=0.0)
    assert "unknown_item" not in answer.degraded and answer.unknown_items == ()


def test_an_unknown_item_does_not_fill_the_basket_that_models_see() -> None:
    ranker = ReverseRanker()
    features = msgspec.structs.replace(FLEET.spec.features, context=("basket_size",))
    over = replace(FLEET, ranker=ranker, spec=msgspec.structs.replace(FLEET.spec, features=features))
    ask(router_over(over), basket=(KNOWN, "?", "??"))
    assert [query.context.tolist() for query in ranker.queries] == [[1.0]]


def test_a_pin_that_may_not_be_shown_is_told() -> None:
    seen = user(history={int(CATALOGUE.keys[0]): 1.0})
    router = router_over(FLEET, DictStore(seen), slate={"exclude_seen": True})
    refused = ask(router, pins=(Pin(KNOWN, 1),))
    assert refused.degraded == ("pin_refused",)
    assert KNOWN not in [item.item_id for item in refused.items]
    assert ask(router, pins=(Pin(CATALOGUE.item_ids[1], 1),)).degraded == ()
    assert np.isin(CATALOGUE.keys[0], seen.history.keys)
