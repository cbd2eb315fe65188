"""Examples are users as their records would have been at the moment, and what they bought after it, and nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cluster.config.sections import UsersSection
from cluster.config.train import TwoTowerSection
from cluster.spec import AttributeSpec
from tests.train.logs import NOW, catalogue_of, log_of
from train.input.event_log import DAY_S, EventLog
from train.input.interactions import interactions
from train.input.user_table import UserTable
from train.users import user_features, user_records
from train.vectors.tower_examples import Examples, Past, joined, tower_features

N_ITEMS = 30
CATALOGUE = catalogue_of([f"c{item % 3}" for item in range(N_ITEMS)])


def random_log(seed: int, n_users: int = 12) -> EventLog:
    rng = np.random.default_rng(seed)
    return log_of(
        [
            (f"u{user:02d}", int(item), float(day))
            for user in range(n_users)
            for item, day in zip(rng.integers(0, N_ITEMS, 40), rng.uniform(0, 100, 40), strict=True)
        ],
        N_ITEMS,
    )


def at(
    log: EventLog, moment: int, *, n_history_max: int = 8, n_max: int = 1_000, declared: UserTable | None = None
) -> Examples:
    section = TwoTowerSection(label_days=10, n_history_max=n_history_max)
    past = Past(log, CATALOGUE, section, 30, (7, 28), declared)
    return past.examples(moment, n_max=n_max, rng=np.random.default_rng(0))[0]


def row(ragged_items: np.ndarray, starts: np.ndarray, at: int) -> list[int]:
    return ragged_items[starts[at] : starts[at + 1]].tolist()


def test_histories_weights_and_features_are_those_of_the_records_of_that_moment() -> None:
    log, moment = random_log(1), NOW - 20 * DAY_S
    examples = at(log, moment)
    pairs = interactions(log, as_of=moment, half_life_days=30)
    features = user_features(log, pairs, CATALOGUE, np.zeros((log.n_users, 1), np.float32), windows_days=(7, 28))
    records = list(
        user_records(
            log,
            pairs,
            CATALOGUE,
            users=examples.users,
            generation="g",
            vectors={},
            features=tower_features(features),
            profile=(),
            section=UsersSection(history_max_items=8),
            seeds={},
        )
    )
    assert len(records) == len(examples) == 12
    for g, record in enumerate(records):
        mine = slice(examples.histories.starts[g], examples.histories.starts[g + 1])
        assert record.history.keys.tolist() == CATALOGUE.keys[examples.histories.items[mine]].tolist()
        assert record.history.weights.tolist() == examples.weights[mine].tolist()
        assert record.features.tolist() == examples.features[g].tolist()


def test_labels_are_the_distinct_items_of_the_window_and_only_those() -> None:
    log = log_of([("a", 1, 80), ("a", 2, 80.5), ("a", 5, 91), ("a", 5, 92), ("a", 3, 95), ("a", 4, 99), ("b", 1, 85)], N_ITEMS)
    examples = at(log, 90 * DAY_S)
    assert examples.users.tolist() == [0], "b bought nothing in the window"
    assert row(examples.labels.items, examples.labels.starts, 0) == [3, 4, 5]
    assert row(examples.histories.items, examples.histories.starts, 0) == [2, 1], "newest first"


def test_nothing_after_the_moment_changes_what_is_known_at_it() -> None:
    log, moment = random_log(2), NOW - 20 * DAY_S
    examples = at(log, moment)
    without = at(log.as_of(moment + 10 * DAY_S), moment)
    for name in ("weights", "features", "users", "moments"):
        np.testing.assert_array_equal(getattr(examples, name), getattr(without, name))
    np.testing.assert_array_equal(examples.labels.items, without.labels.items)


def test_moments_leave_each_a_window_before_and_after() -> None:
    log = log_of([("a", 0, 40), ("a", 1, 99)], N_ITEMS)

    def moments(label_days: int, n_moments: int) -> list[int]:
        section = TwoTowerSection(label_days=label_days, n_moments=n_moments)
        return Past(log, CATALOGUE, section, 30, (7,)).moments(NOW)

    assert moments(20, 9) == [80 * DAY_S, 60 * DAY_S]
    assert moments(20, 1) == [80 * DAY_S]
    assert moments(31, 9) == []


def test_who_is_known_beside_the_log_needs_no_history() -> None:
    log = log_of([("a", 1, 80), ("a", 2, 95), ("b", 3, 95), ("c", 4, 95)], N_ITEMS)
    ages = pa.array([20.0, 60.0])
    table = UserTable(pa.array(["a", "b"]), (AttributeSpec("age", "number"),), {"age": ages})
    alone, beside = at(log, 90 * DAY_S), at(log, 90 * DAY_S, declared=table)
    assert alone.users.tolist() == [0] and beside.users.tolist() == [0, 1]
    assert np.diff(beside.histories.starts).tolist() == [1, 0]
    assert beside.features[:, -1].tolist() == [20, 60]
    assert beside.features.shape[1] == alone.features.shape[1] + 1


def test_no_more_examples_than_allowed_and_taking_keeps_rows_whole() -> None:
    log = random_log(3)
    assert len(at(log, NOW - 20 * DAY_S, n_max=5)) == 5
    both = joined([at(log, NOW - 20 * DAY_S), at(log, NOW - 30 * DAY_S)])
    order = np.random.default_rng(0).permutation(len(both))
    taken = both.take(order)
    for new, old in enumerate(order):
        for name in ("histories", "labels"):
            before, after = getattr(both, name), getattr(taken, name)
            assert row(after.items, after.starts, new) == row(before.items, before.starts, old)
        assert taken.users[new] == both.users[old] and taken.moments[new] == both.moments[old]
