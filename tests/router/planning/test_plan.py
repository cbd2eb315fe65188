from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.partition import item_key, item_keys
from cluster.spec import GenerationSpec, SourceSpec
from cluster.types import Affinity
from router.planning.certificate import rows_per_shard
from router.planning.plan import Plan, deeper, demand
from router.request import Request
from tests.router.asking import planned, sections
from tests.router.fakes import Catalogue, user

CATALOGUE = Catalogue.random(5_000)
SPEC = CATALOGUE.spec(4)
HISTORY = {int(key): 1.0 for key in CATALOGUE.keys[:40]}
REQUEST = Request("u", 10)


def budgets(p: Plan) -> dict[str, int]:
    return {ask.source: k for ask, k in zip(p.query.asks, p.budgets, strict=True)}


def with_score_all(spec: GenerationSpec) -> GenerationSpec:
    everything = SourceSpec("score_all", "score_all", exact=True, promises_k=True, space="als")
    return msgspec.structs.replace(spec, sources=(*spec.sources, everything))


def test_a_known_user_is_searched_for_by_every_source() -> None:
    p = planned(REQUEST, user(history=HISTORY), SPEC, sections())
    assert budgets(p) == {"tops": 100, "ann": 300, "history": 40}
    assert p.degraded == ()
    assert p.query.vectors.keys() == {"als"}
    assert p.query.seeds.keys() == {"history"}
    assert p.n_candidates == 400


def test_shards_are_asked_for_their_certified_part() -> None:
    p = planned(REQUEST, user(history=HISTORY), SPEC, sections())
    assert {a.source: a.k for a in p.query.asks} == {
        source: rows_per_shard(k, 4, 0.9999) for source, k in {"tops": 100, "ann": 300, "history": 40}.items()
    }
    assert {a.source: a.k for a in p.in_full().asks} == budgets(p)


def test_a_stranger_gets_more_top_lists() -> None:
    p = planned(REQUEST, None, SPEC, sections())
    assert budgets(p) == {"tops": 400}
    assert p.query.asks[0].lists == (("7d", 1.0), ("28d", 1.0))
    assert p.query.vectors == p.query.seeds == p.query.profile == {}
    assert p.degraded == ()


@pytest.mark.parametrize("vector", [None, np.ones(3, np.float32), np.array([1, np.nan, 0, 0], np.float32)])
def test_a_user_without_a_usable_vector_is_searched_for_without_it(vector: np.ndarray | None) -> None:
    record = replace(user(history=HISTORY), vectors={} if vector is None else {"als": vector})
    p = planned(REQUEST, record, SPEC, sections())
    assert budgets(p) == {"tops": 400, "history": 40}
    assert p.degraded == ("no_user_vector",)


def test_the_groups_of_equal_affinity_go_by_name() -> None:
    affinity = Affinity(("red", "blue"), np.array([0.5, 0.5], np.float32))
    config = sections(sources={"tops": {"group_by": "color", "groups_per_user": 1}})
    lists = planned(REQUEST, replace(user(), profile={"color": affinity}), SPEC, config).query.asks[0].lists
    assert lists[2:] == (("7d/color=blue", 0.5),)


def test_the_users_strongest_groups_come_with_their_affinity() -> None:
    affinity = Affinity(("gold", "blue", "red"), np.array([0.5, 0.125, 0.25], np.float32))
    record = replace(user(), profile={"color": affinity})
    config = sections(sources={"tops": {"group_by": "color", "groups_per_user": 2}})
    assert planned(REQUEST, record, SPEC, config).query.asks[0].lists == (
        ("7d", 1.0),
        ("28d", 1.0),
        ("7d/color=red", 0.25),  # the strongest group, gold, has no list, and blue is the third
        ("28d/color=red", 0.25),
    )
    assert len(planned(REQUEST, record, SPEC, sections()).query.asks[0].lists) == 2


def test_a_small_catalogue_is_scored_whole_instead_of_searched() -> None:
    config = sections(sources={"score_all": {"enabled": True, "max_items": 5_000}})
    assert budgets(planned(REQUEST, user(), with_score_all(SPEC), config)) == {"tops": 100, "score_all": 300}
    below = sections(sources={"score_all": {"enabled": True, "max_items": 4_999}})
    assert budgets(planned(REQUEST, user(), with_score_all(SPEC), below)) == {"tops": 100, "ann": 300}
    assert budgets(planned(REQUEST, None, with_score_all(SPEC), config)) == {"tops": 400}


def test_exclusions_basket_and_what_was_seen_are_left_out() -> None:
    request = Request("u", 10, exclude_item_ids=("a", "b", "a"), basket=("c",))
    p = planned(request, user(history=HISTORY), SPEC, sections())
    assert p.query.exclude.tolist() == sorted(item_keys(["a", "b", "c"]).tolist())
    assert p.query.seeds["basket"].keys.tolist() == [item_key("c")]

    unseen = planned(request, user(history=HISTORY), SPEC, sections(slate={"exclude_seen": True}))
    assert unseen.query.exclude.tolist() == sorted({*item_keys(["a", "b", "c"]).tolist(), *HISTORY})
    assert "history" not in budgets(unseen)
    assert "history" in unseen.query.seeds  # still a feature of the models


@pytest.mark.parametrize("field", ["exclude_item_ids", "basket", "viewed"])
def test_an_id_of_another_type_does_not_get_this_far(field: str) -> None:
    """The router has written them as the catalogue does (`tests/router/planning/test_ids.py`)."""
    with pytest.raises(AssertionError):
        planned(Request("u", 10, **{field: ("1", 2)}), None, SPEC, sections())  # type: ignore[arg-type]
    numbers = msgspec.structs.replace(SPEC, id_type="int64")
    with pytest.raises(AssertionError):
        planned(Request("u", 10, **{field: (1, True)}), None, numbers, sections())  # type: ignore[arg-type]
    assert planned(Request("u", 10, exclude_item_ids=(3, 1)), None, numbers, sections()).query.exclude.tolist() == [1, 3]


@settings(deadline=None, max_examples=80)
@given(k=st.integers(1, 1_000), tops_k=st.integers(1, 300), ann_k=st.integers(1, 300), known=st.booleans())
def test_some_source_that_promises_k_is_asked_for_enough(k: int, tops_k: int, ann_k: int, known: bool) -> None:
    config = sections(sources={"tops": {"k": tops_k}, "ann": {"k": ann_k}})
    p = planned(Request("u", k), user() if known else None, SPEC, config)
    promising = [s.name for s in SPEC.sources if s.promises_k]
    assert max(budgets(p)[name] for name in promising if name in budgets(p)) >= demand(k)
    assert p.n_candidates >= demand(k)


def test_a_plan_for_a_part_of_the_catalogue_wants_that_part_of_each_budget_but_never_a_short_slate() -> None:
    p = planned(Request("u", 40), user(history=HISTORY), SPEC, sections())
    assert p.covering(1.0) is p
    half = p.covering(0.5)
    assert budgets(half) == {"tops": 60, "ann": 150, "history": 20}  # tops promises k, and demand(40) is 60
    assert half.query is p.query
    assert budgets(p.covering(0.01)) == {"tops": 60, "ann": 60, "history": 1}


def test_nothing_is_asked_beyond_the_catalogue() -> None:
    p = planned(REQUEST, user(), Catalogue.random(20).spec(2), sections())
    assert budgets(p) == {"tops": 20, "ann": 20}


def test_no_source_at_all_is_said() -> None:
    p = planned(REQUEST, None, SPEC, sections(sources={"tops": {"enabled": False}}))
    assert p.query.asks == ()
    assert p.degraded == ("no_source",)


def test_going_deeper_asks_those_who_promise_in_full_and_leaves_out_what_is_known() -> None:
    first = planned(Request("u", 10, exclude_item_ids=("x",)), user(history=HISTORY), SPEC, sections())
    p = deeper(first, SPEC, CATALOGUE.keys[:50], shortage=7)
    assert [(a.source, a.k) for a in p.query.asks] == [("tops", demand(7)), ("ann", demand(7))]
    assert p.query.asks[0].lists == first.query.asks[0].lists
    assert set(p.query.exclude.tolist()) == {item_key("x"), *CATALOGUE.keys[:50].tolist()}
    assert (p.query.exclude[1:] > p.query.exclude[:-1]).all()
