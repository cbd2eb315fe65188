"""Records worked out by hand: newest first, bounded, shares of the whole; nobody who bought nothing."""

from __future__ import annotations

import numpy as np

from cluster.config import UsersSection
from cluster.types import UserRecord
from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.event_log import EventLog
from train.interactions import interactions
from train.users import UserFeatures, user_features, user_records

CATALOGUE = catalogue_of(["red", "blue", None, "red"], price=[1.0, 2.0, 3.0, 4.0])
PAST = [("a", 0, NOW_DAY - 60), ("a", 1, NOW_DAY - 60), ("a", 3, NOW_DAY), ("a", 2, NOW_DAY), ("b", 1, NOW_DAY - 5)]
LATER = [("a", 1, NOW_DAY + 1), ("z", 0, NOW_DAY + 1)]
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
    named = dict(zip(features.names, a.features.tolist(), strict=True))
    assert named["user.norm"] == 5 and named["user.visit_size"] == 2 and named["user.repeat_share"] == 0
    assert named["user.tenure_days"] == 60 and named["user.idle_days"] == 0
    np.testing.assert_allclose(named["user.mean_price"], (3 + 4 + 0.5 + 1) / 3, rtol=1e-6)
    np.testing.assert_allclose(named["user.log_bought_7d"], np.log1p(2), rtol=1e-6)


def test_bounds_keep_the_newest_and_the_strongest() -> None:
    _, (a, _) = records_of(log_of(PAST, n_items=4), UsersSection(history_max_items=2, profile_max_values=1))
    assert a.history.keys.tolist() == [2, 3]
    assert a.profile["category"].values == ("red",)


def test_what_comes_later_changes_nothing_and_makes_no_record() -> None:
    _, before = records_of(log_of(PAST, n_items=4), UsersSection())
    _, after = records_of(log_of([*PAST, *LATER], n_items=4), UsersSection())
    assert [record.user_id for record in after] == ["a", "b"]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.features, new.features) and np.array_equal(old.history.weights, new.history.weights)
        assert old.profile["category"].values == new.profile["category"].values
