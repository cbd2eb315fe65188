"""New items have the last places by default, the best of them first, and only where there are any."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cluster.config.slate import SlateSection
from cluster.spec import FeatureSchema
from cluster.types import NO_KEYS
from router.slate.compose import compose
from router.slate.rules import Rules
from tests.router.slate.making import SPEC, candidates_of, ranked

DATED = msgspec.structs.replace(SPEC, features=FeatureSchema(("stat.listed_days",), (), (), ()))


def shown(k: int, *, listed: dict[int, float], **new: float) -> list[int]:
    """The first k of 400 candidates, all listed a year ago but for some."""
    days = np.full((400, 1), 365, np.float32)
    days[list(listed), 0] = list(listed.values())
    candidates = replace(candidates_of(range(400)), match=days)
    rules = Rules.of(SlateSection.model_validate({"new": new}), DATED)
    return compose(candidates, ranked(range(400)), k, exclude=NO_KEYS, rules=rules).sequence[:k].tolist()


@pytest.mark.parametrize(("k", "places"), [(9, 0), (10, 1), (20, 1), (29, 1), (30, 2), (50, 3)])
def test_one_place_of_twenty_goes_to_the_best_ranked_of_them(k: int, places: int) -> None:
    new = [300, 310, 320, 330]
    slate = shown(k, listed=dict.fromkeys(new, 3.0))
    assert slate == [*range(k - places), *new[:places]]


def test_of_two_hundred_users_who_see_fifty_places_all_see_new_items_and_none_where_it_is_off() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        new = dict.fromkeys(rng.choice(np.arange(60, 400), 8, replace=False).tolist(), 3.0)  # 2 % of the candidates
        assert len(new.keys() & shown(50, listed=new)) == 3
        assert not new.keys() & shown(50, listed=new, every=0)


def test_who_is_there_already_counts_and_what_is_old_or_not_listed_yet_does_not() -> None:
    assert shown(20, listed={4: 0.0, 300: 0.0}) == [*range(20)]
    assert shown(20, listed={300: 14.5, 301: -1.0}) == [*range(20)]
    assert shown(20, listed={300: 14.5}, days=15.0) == [*range(19), 300]


def test_a_generation_that_does_not_know_when_items_were_listed_has_no_such_rule() -> None:
    assert Rules.of(SlateSection(), SPEC).new is None
