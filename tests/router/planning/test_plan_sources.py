"""What each kind of source is asked for, and by whom it is replaced where it cannot answer."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.partition import item_keys
from cluster.spec import GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import Affinity, Keys, Query, Seeds, UserRecord
from router.planning.offers import Offers
from router.planning.plan import Plan, demand
from router.request import Request
from tests.router.asking import planned, sections
from tests.router.fakes import DIM, Catalogue, user
from tests.router.source_specs import item_lists, playlists, quorum, seeds_themselves, tops

N_SHARDS = 4
CATALOGUE = Catalogue.random(5_000)
HISTORY = {int(key): 1.0 for key in CATALOGUE.keys[:40]}
IDS = CATALOGUE.item_ids


EVERY_SOURCE: tuple[SourceSpec, ...] = (
    tops("tops", "purchases"),
    tops("new", "new"),
    tops("rising", "rising"),
    playlists(),
    SourceSpec("ann", "ann", exact=False, promises_k=True, space="als"),
    SourceSpec("content", "ann", exact=False, promises_k=True, space="content"),
    SourceSpec("score_all", "score_all", exact=True, promises_k=True, space="als", lists="purchases"),
    seeds_themselves("history"),
    seeds_themselves("favourites"),
    seeds_themselves("viewed"),
    item_lists("ease", "ease", "history"),
    item_lists("with_basket", "npmi", "basket"),
    item_lists("similar", "content", "positives"),
    item_lists("after_views", "npmi", "viewed"),
    quorum(),
)
SPEC: GenerationSpec = msgspec.structs.replace(
    CATALOGUE.spec(N_SHARDS),
    sources=EVERY_SOURCE,
    spaces=(SpaceSpec("als", DIM, "ip", 0.99), SpaceSpec("content", DIM + 1, "cosine", 0.99)),
    lists=(
        *(f"{kind}/{days}d{group}" for kind in ("purchases", "rising") for days in (7, 28) for group in ("", "/color=red")),
        "new/7d",
        "playlist/breakfast",
        "playlist/barbecue",
    ),
    quorum="color",
    tables=("ease", "npmi", "content"),
    seeds=("favourites", "viewed", "positives"),
)
AFTER_VIEWS = {"item_lists": {"after_views": {"table": "npmi", "seeds": "viewed"}}}
CONFIG = sections(sources=AFTER_VIEWS)
PERSONAL = {"ann", "content", "history", "favourites", "viewed", "ease", "with_basket", "similar", "after_views", "quorum"}


def seeds(*items: int, weights: list[float] | None = None) -> Seeds:
    keys = CATALOGUE.keys[list(items)]
    return Seeds(keys, np.array(weights or [1.0] * len(items), np.float32), np.full(len(items), 3, np.float32))


def known(**sets: Seeds) -> UserRecord:
    """A user with everything: both vectors, a history, a profile, and these seed sets."""
    record = user(history=HISTORY)
    return replace(
        record,
        vectors={**record.vectors, "content": np.ones(DIM + 1, np.float32)},
        profile={"color": Affinity(("red", "blue"), np.array([0.75, 0.25], np.float32))},
        seeds={"favourites": seeds(1, 2), "viewed": seeds(50, 51), "positives": seeds(3, 4, 5), **sets},
    )


def budgets(p: Plan) -> dict[str, int]:
    return {ask.source: k for ask, k in zip(p.query.asks, p.budgets, strict=True)}


def ask(record: UserRecord | None, *, config: dict[str, object] | None = None, slate: object = None, **fields: object) -> Plan:
    chosen = sections(sources={**AFTER_VIEWS, **(config or {})}, **({"slate": slate} if slate else {}))  # type: ignore[dict-item]
    return planned(Request("u", 10, **fields), record, SPEC, chosen)  # type: ignore[arg-type]


def weights_of(query: Query, name: str) -> dict[str, float]:
    mine = query.seeds[name]
    ids = {int(key): item for key, item in zip(CATALOGUE.keys, IDS, strict=True)}
    return {ids[int(key)]: float(weight) for key, weight in zip(mine.keys, mine.weights, strict=True)}


def test_who_has_everything_is_searched_for_by_everything() -> None:
    p = ask(known(), basket=IDS[:2], playlists=("barbecue",))
    assert budgets(p) == {
        "tops": 100,
        "new": 100,
        "rising": 100,
        "playlists": 100,
        "ann": 300,
        "content": 100,
        "history": 38,  # two of forty are in the basket
        "favourites": 1,
        "viewed": 2,
        "ease": 200,
        "with_basket": 100,
        "similar": 100,
        "after_views": 100,
        "quorum": 100,
    }
    assert p.degraded == ()
    assert p.query.seeds.keys() == {"history", "basket", "favourites", "viewed", "positives"}
    assert p.query.vectors.keys() == {"als", "content"}


def test_every_kind_of_top_list_is_asked_for_its_own_lists() -> None:
    config = {"tops": {"group_by": "color"}}
    lists = {a.source: a.lists for a in ask(known(), config=config, playlists=("barbecue", "breakfast", "barbecue")).query.asks}
    assert lists["tops"] == (
        ("purchases/7d", 1.0),
        ("purchases/28d", 1.0),
        ("purchases/7d/color=red", 0.75),
        ("purchases/28d/color=red", 0.75),
    )
    assert lists["new"] == (("new/7d", 1.0),)
    assert lists["rising"][-1] == ("rising/28d/color=red", 0.75)
    assert lists["playlists"] == (("playlist/barbecue", 1.0), ("playlist/breakfast", 1.0))
    assert lists["ease"] == ()


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"tops": {"kinds": ("purchases", "rising")}}, {"new"}),
        ({"tops": {"enabled": False}}, {"tops", "new", "rising"}),
        ({"content": {"enabled": False}}, {"content"}),
        ({"history": {"enabled": False}}, {"history"}),
        ({"favourites": {"enabled": False}}, {"favourites"}),
        ({"viewed": {"enabled": False}}, {"viewed"}),
        ({"quorum": {"enabled": False}}, {"quorum"}),
        ({"playlists": {"enabled": False}}, {"playlists"}),
        ({"item_lists": {"ease": {"enabled": False}}}, {"ease", "after_views"}),  # after_views is in no file now
    ],
)
def test_what_the_configuration_turns_off_is_not_asked(change: dict[str, object], gone: set[str]) -> None:
    asked = {"record": known(), "basket": IDS[:2], "playlists": ("barbecue",)}
    everything, less = ask(**asked), ask(**asked, config=change)  # type: ignore[arg-type]
    assert set(budgets(everything)) - set(budgets(less)) == gone
    assert set(budgets(less)) <= set(budgets(everything))


def test_a_stranger_gets_what_the_spaces_would_have_proposed_from_the_top_lists() -> None:
    p = ask(None)
    assert budgets(p) == {"tops": 100 + 300 + 100, "new": 100, "rising": 100}
    assert p.degraded == ()
    shared = ask(None, config={"cold_users": ("tops", "rising")})
    assert budgets(shared) == {"tops": 300, "new": 100, "rising": 300}
    assert budgets(ask(None, config={"cold_users": ()})) == {"tops": 100, "new": 100, "rising": 100}


def test_a_stranger_with_a_basket_and_a_session_is_no_stranger_to_lists() -> None:
    p = ask(None, basket=IDS[:2], viewed=IDS[5:7])
    assert budgets(p) == {
        **budgets(ask(None)),
        "viewed": 2,
        "with_basket": 100,
        "after_views": 100,
    }
    assert p.query.seeds.keys() == {"basket", "viewed"}


def test_a_space_without_the_users_vector_gives_its_budget_away_alone() -> None:
    record = replace(known(), vectors={"als": np.ones(DIM, np.float32)})
    p = ask(record)
    assert (budgets(p)["tops"], budgets(p)["ann"]) == (200, 300)
    assert "content" not in budgets(p)
    assert p.degraded == ()
    nowhere = ask(replace(known(), vectors={}))
    assert budgets(nowhere)["tops"] == 500
    assert nowhere.degraded == ("no_user_vector",)


def test_new_items_are_proposed_to_everybody() -> None:
    for record in (None, user(), known()):
        assert ("new", (("new/7d", 1.0),)) in [(a.source, a.lists) for a in ask(record).query.asks]


def test_a_small_catalogue_is_scored_whole_in_one_space_and_searched_in_the_other() -> None:
    p = ask(known(), config={"score_all": {"enabled": True, "max_items": 5_000}})
    assert {name for name in budgets(p) if name in ("ann", "score_all", "content")} == {"score_all", "content"}


def test_a_playlist_that_is_not_there_is_said() -> None:
    p = ask(known(), playlists=("barbecue", "brunch"))
    assert p.degraded == ("unknown_playlist",)
    assert {a.source: a.lists for a in p.query.asks}["playlists"] == (("playlist/barbecue", 1.0),)
    off = ask(known(), playlists=("barbecue",), config={"playlists": {"enabled": False}})
    assert off.degraded == ("unknown_playlist",)
    assert "playlists" not in budgets(ask(known(), playlists=("brunch",)))
    assert "playlists" not in budgets(ask(known()))


def test_the_session_comes_before_what_the_store_knows() -> None:
    record = known(viewed=seeds(51, 60, 61, weights=[4.0, 2.0, 1.0]))
    p = ask(record, viewed=(IDS[70], IDS[51], IDS[70]), config={"viewed": {"half_weight_items": 1.0}})
    assert list(weights_of(p.query, "viewed").items()) == [(IDS[70], 1.0), (IDS[51], 0.5), (IDS[60], 0.125), (IDS[61], 0.0625)]
    assert p.query.seeds["viewed"].ages_days.tolist() == [0, 0, 3, 3]
    assert weights_of(ask(record).query, "viewed") == {IDS[51]: 4.0, IDS[60]: 2.0, IDS[61]: 1.0}


def test_a_session_of_any_length_has_positive_weights_that_never_rise() -> None:
    p = ask(known(), viewed=IDS[:1_000], config={"viewed": {"half_weight_items": 0.5}})
    weights = p.query.seeds["viewed"].weights
    assert len(weights) == 1_000  # what the store knows of was viewed again
    assert (weights > 0).all()
    assert (np.diff(weights) <= 0).all()


def test_seeds_that_may_not_be_proposed_are_not_asked_for() -> None:
    record = known(favourites=seeds(1, 2), viewed=seeds(1, 50))
    unseen = ask(record, slate={"exclude_seen": True})
    assert "history" not in budgets(unseen)
    assert "favourites" not in budgets(unseen)  # bought before, both
    assert budgets(unseen)["viewed"] == 1
    assert {"ease", "similar"} <= set(budgets(unseen))  # what follows from them was not bought
    assert unseen.query.seeds.keys() >= {"history", "positives"}
    refused = ask(record, exclude_item_ids=(IDS[1], IDS[50], IDS[2]))
    assert {"favourites", "viewed"}.isdisjoint(budgets(refused))
    assert budgets(refused)["history"] == 38


def test_only_seeds_that_somebody_reads_are_sent() -> None:
    off = {"item_lists": {"similar": {"enabled": False}}, "favourites": {"enabled": False}}
    p = ask(known(), config=off, basket=IDS[:1])
    assert p.query.seeds.keys() == {"history", "basket", "viewed"}


def test_sources_that_nobody_here_knows_are_left_alone() -> None:
    strange = (
        item_lists("of_an_older_file", "npmi", "history"),
        SourceSpec("wished", "seeds", exact=True, promises_k=False, seeds="wishes"),
        tops("loved", "loves"),
    )
    spec = msgspec.structs.replace(SPEC, sources=(*EVERY_SOURCE, *strange))
    p = planned(Request("u", 10), known(), spec, CONFIG)
    assert {source.name for source in strange}.isdisjoint(budgets(p))


def test_offers_are_those_of_a_generation_and_a_configuration() -> None:
    other = msgspec.structs.replace(SPEC, lists=("new/7d",))
    assert Offers.of(SPEC, CONFIG.sources).tops[0].lists != ()
    assert Offers.of(other, CONFIG.sources).tops[0].lists == ()
    many = [sections(sources={"tops": {"k": k}}) for k in range(1, 5)]
    assert [Offers.of(SPEC, some.sources).tops[0].k for some in many] == list(range(1, 5))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(EVERY_SOURCE), unique=True),
    st.sampled_from([None, user(), known()]),
    st.lists(st.sampled_from(IDS[:60]), max_size=4),
    st.booleans(),
    st.integers(1, 1_000),
)
def test_whatever_a_generation_has_its_plan_is_sound(
    sources: list[SourceSpec], record: UserRecord | None, items: list[str], exclude_seen: bool, k: int
) -> None:
    spec = msgspec.structs.replace(SPEC, sources=tuple(sources))
    config = sections(sources=AFTER_VIEWS, slate={"exclude_seen": exclude_seen})
    p = planned(Request("u", k, basket=tuple(items[:2]), viewed=tuple(items[1:])), record, spec, config)
    names = [a.source for a in p.query.asks]
    assert len(set(names)) == len(names)
    assert {spec.source(name) for name in names} <= set(sources)
    assert all(0 < a.k <= budget <= spec.n_items for a, budget in zip(p.query.asks, p.budgets, strict=True))
    if any(spec.source(name).promises_k for name in names):  # type: ignore[union-attr]
        assert max(p.budgets) >= demand(k)
    for a in p.query.asks:
        source = spec.source(a.source)
        assert source is not None
        assert not source.seeds or source.seeds in p.query.seeds
        assert source.kind != "ann" or source.space in p.query.vectors
        assert (source.kind == "tops") == bool(a.lists)
    assert increasing(p.query.exclude)
    assert set(item_keys(items[:2]).tolist()) <= set(p.query.exclude.tolist())
    assert ("no_source" in p.degraded) == (not names)


def increasing(keys: Keys) -> bool:
    return bool((keys[1:] > keys[:-1]).all())


def test_a_session_has_weights_of_its_own_and_falls_back_on_the_usual_ones() -> None:
    merge = {"weights": {"with_basket": 2.0, "ann": 4.0}, "session_weights": {"ann": 3.0}, "session_tops": 0.5}
    placed = {"als": np.ones(DIM, np.float32)}
    request = Request("u", 10, basket=(CATALOGUE.item_ids[0],))
    usual, session = (
        {ask.source: weight for ask, weight in zip(planned.query.asks, planned.weights, strict=True)}
        for planned in (
            planned(request, user(), SPEC, sections(merge=merge)),
            planned(request, None, SPEC, sections(merge=merge), session=placed),
        )
    )
    assert (usual["with_basket"], usual["ann"], usual["tops"]) == (2.0, 4.0, 1.0)
    assert (session["with_basket"], session["ann"], session["tops"]) == (2.0, 3.0, 0.5)
