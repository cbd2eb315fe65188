"""Records worked out by hand: newest first, bounded, shares of the whole; nobody who bought nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from cluster.config.sections import UsersSection
from cluster.spec import AttributeSpec
from cluster.types import UserRecord
from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.input.catalogue import Catalogue
from train.input.event_log import EventKind, EventLog
from train.input.interactions import interactions
from train.input.item_values import item_values
from train.input.user_table import UserTable
from train.lists.quorum import user_frequencies
from train.lists.seed_sets import UserSeeds, viewed
from train.users import UserFeatures, user_features, user_records

CATALOGUE = catalogue_of(["red", "blue", None, "red"], price=[1.0, 2.0, 3.0, 4.0])
PAST = [("a", 0, NOW_DAY - 60), ("a", 1, NOW_DAY - 60), ("a", 3, NOW_DAY), ("a", 2, NOW_DAY), ("b", 1, NOW_DAY - 5)]
LATER = [("a", 1, NOW_DAY + 1), ("z", 0, NOW_DAY + 1)]
FAVOURITES = UserSeeds(np.array([0, 1, 1, 1]), np.array([3], np.int32), np.array([2.5], np.float32), np.array([1], np.float32))
VECTORS = np.array([[3, 4], [0, 2], [0, 0]], np.float32)


def records_of(log: EventLog, section: UsersSection) -> tuple[UserFeatures, list[UserRecord]]:
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    vectors = VECTORS[: log.n_users]
    features = user_features(log, pairs, CATALOGUE, vectors, windows_days=(7, 28))
    records = user_records(
        log,
        pairs,
        CATALOGUE,
        users=np.arange(log.n_users),
        generation="g",
        vectors={"als": vectors},
        features=features,
        profile=("category",),
        section=section,
        seeds={"favourites": replace(FAVOURITES, starts=FAVOURITES.starts[: log.n_users + 1])},
    )
    return features, list(records)


def test_worked_out_by_hand() -> None:
    features, (a, b) = records_of(log_of(PAST, n_items=4), UsersSection())
    assert (a.user_id, b.user_id, a.generation) == ("a", "b", "g")
    assert a.history.keys.tolist() == [2, 3, 0, 1] and a.history.ages_days.tolist() == [0, 0, 60, 60]
    assert a.history.weights.tolist() == [1, 1, 0.5, 0.5]
    assert a.profile["category"].values == ("red", "blue")
    np.testing.assert_allclose(a.profile["category"].weights, [0.5, 1 / 6], rtol=1e-6)  # the rest has no category
    assert a.vectors["als"].tolist() == [3, 4]
    seeds = a.seeds["favourites"]
    assert (seeds.keys.tolist(), seeds.weights.tolist(), seeds.ages_days.tolist()) == ([3], [2.5], [1])
    assert len(b.seeds["favourites"].keys) == 0
    named = dict(zip(features.names, a.features.tolist(), strict=True))
    assert named["user.norm"] == 5 and named["user.visit_size"] == 2 and named["user.repeat_share"] == 0
    assert named["user.tenure_days"] == 60 and named["user.idle_days"] == 0
    np.testing.assert_allclose(named["user.mean_price"], (3 + 4 + 0.5 + 1) / 3, rtol=1e-6)
    np.testing.assert_allclose(named["user.log_bought_7d"], np.log1p(2), rtol=1e-6)


def test_bounds_keep_the_newest_and_the_strongest() -> None:
    _, (a, _) = records_of(log_of(PAST, n_items=4), UsersSection(history_max_items=2, profile_max_values=1))
    assert a.history.keys.tolist() == [2, 3]
    assert a.profile["category"].values == ("red",)


def test_a_user_at_the_origin_of_a_space_has_no_vector_there() -> None:
    _, records = records_of(log_of([*PAST, ("c", 1, NOW_DAY)], n_items=4), UsersSection())
    assert [list(record.vectors) for record in records] == [["als"], ["als"], []]


def test_values_of_a_set_share_an_item_as_in_the_quorums() -> None:
    """Half a loaf is bread and half is organic; the other half of the basket is milk."""
    catalogue = Catalogue(
        keys=np.arange(2),
        ids=pa.array([0, 1], pa.int64()),
        specs=(AttributeSpec("tags", "categories"),),
        attributes={"tags": pa.array([["bread", "organic"], ["milk"]])},
    )
    log = log_of([("a", 0, NOW_DAY), ("a", 1, NOW_DAY)], n_items=2)
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    features = user_features(log, pairs, catalogue, VECTORS[:1], windows_days=(7,))
    (record,) = user_records(
        log,
        pairs,
        catalogue,
        users=np.arange(1),
        generation="g",
        vectors={},
        features=features,
        profile=("tags",),
        section=UsersSection(),
        seeds={},
    )
    assert record.profile["tags"].values == ("milk", "bread", "organic")
    assert record.profile["tags"].weights.tolist() == [0.5, 0.25, 0.25]
    uf = user_frequencies(pairs.matrix(pairs.weights), item_values(catalogue, "tags"))
    assert uf.toarray().tolist() == [[0.25, 0.5, 0.25]]


def test_what_comes_later_changes_nothing_and_makes_no_record() -> None:
    _, before = records_of(log_of(PAST, n_items=4), UsersSection())
    _, after = records_of(log_of([*PAST, *LATER], n_items=4), UsersSection())
    assert [record.user_id for record in after] == ["a", "b"]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.features, new.features) and np.array_equal(old.history.weights, new.history.weights)
        assert old.profile["category"].values == new.profile["category"].values


def test_who_bought_nothing_is_known_by_what_they_say_and_look_at() -> None:
    """Carl and Dora have no purchase: he has told his taste, she has looked at something, Emil has done neither."""
    view: EventKind = "view"
    events = [*PAST, ("dora", 1, NOW_DAY), ("emil", 0, NOW_DAY + 1), ("carl", 0, NOW_DAY + 1)]
    log = log_of(events, n_items=4, kinds=[*["purchase"] * len(PAST), view, view, view])
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    said = UserTable(
        pa.array(["a", "carl"]), (AttributeSpec("category", "category"),), {"category": pa.array(["blue", "green"])}
    )
    vectors = np.zeros((log.n_users, 2), np.float32)
    features = user_features(log, pairs, CATALOGUE, vectors, windows_days=(7,)).beside(*said.features(log.user_ids))
    looked_at = viewed(log, as_of=NOW, n_max=5, half_weight_items=10)
    assert looked_at is not None
    records = {
        record.user_id: record
        for record in user_records(
            log,
            pairs,
            CATALOGUE,
            users=np.arange(log.n_users),
            generation="g",
            vectors={"als": vectors},
            features=features,
            profile=("category",),
            section=UsersSection(),
            seeds={"viewed": looked_at},
            declared=said,
        )
    }
    assert list(records) == ["a", "b", "carl", "dora"]
    assert records["a"].profile["category"].values == ("red", "blue")  # what is done counts more than what is said
    assert records["carl"].profile["category"].values == ("green",) and len(records["carl"].history.keys) == 0
    assert records["dora"].seeds["viewed"].keys.tolist() == [1] and records["dora"].profile["category"].values == ()
    assert {"user.category=green"} <= set(features.names)
    assert records["carl"].features[features.names.index("user.category=green")] == 1
