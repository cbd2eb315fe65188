"""Counts of windows against counting one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.input import event_log
from train.input.catalogue import NO_TIME
from train.input.event_log import DAY_S, KINDS, EventKind
from train.lists.item_counts import WindowCounts, count_windows, first_seen

WINDOWS = (1, 7, 28)
N_ITEMS = 3

events = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, N_ITEMS - 1),
        st.integers(NOW_DAY - 60, NOW_DAY + 3),
        st.sampled_from(KINDS),
        st.sampled_from([0.5, 1.0, 3.0]),
    ),
    min_size=1,
    max_size=60,
)


def expected(rows: list[tuple[str, int, int, EventKind, float]], item: int, days: int) -> dict[str, float]:
    mine = [(NOW_DAY - day, kind, weight) for _, at, day, kind, weight in rows if at == item]
    recent = [(age, kind, weight) for age, kind, weight in mine if 0 <= age < days]
    sums: dict[str, float] = {
        "bought": sum(weight for _, kind, weight in recent if kind == "purchase"),
        "n_bought": sum(kind == "purchase" for _, kind, _ in recent),
        "n_bought_before": sum(kind == "purchase" and days <= age < 2 * days for age, kind, _ in mine),
    }
    for kind, name in (("click", "clicked"), ("view", "viewed")):
        weights = [weight * 2 ** (-2 * age / days) for age, found, weight in recent if found == kind]
        sums |= {f"n_{name}": len(weights), f"weighted_{name}": sum(weights), f"squared_{name}": sum(w * w for w in weights)}
    return sums


@settings(deadline=None, max_examples=40)
@given(rows=events, chunk=st.integers(1, 60))
def test_windows_count_what_counting_gives(rows: list[tuple[str, int, int, EventKind, float]], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "_CHUNK_EVENTS", chunk)
        log = log_of([row[:3] for row in rows], N_ITEMS, [row[4] for row in rows], kinds=[row[3] for row in rows])
        counted = count_windows(log, as_of=NOW, windows_days=WINDOWS)
    for days, window in zip(WINDOWS, counted, strict=True):
        for item in range(N_ITEMS):
            for name, value in expected(rows, item, days).items():
                assert getattr(window, name)[item] == pytest.approx(value, rel=1e-5), name


def window_of(**columns: list[float]) -> WindowCounts:
    n = len(next(iter(columns.values())))
    zeros = np.zeros(n)
    names = WindowCounts.__dataclass_fields__
    return WindowCounts(**{name: np.array(columns.get(name, zeros), float) for name in names})


def test_a_click_implies_a_view() -> None:
    exposure = window_of(n_clicked=[2.0, 3.0, 0.0], n_viewed=[4.0, 1.0, 0.0]).exposure()
    assert exposure.clicked.tolist() == [2, 3, 0] and exposure.shown.tolist() == [4, 3, 0]


def test_weighted_trials_do_not_depend_on_the_unit_of_the_weights() -> None:
    once = window_of(
        weighted_clicked=[2.0, 1.0, 0.0],
        weighted_viewed=[8.0, 0.0, 0.0],
        squared_clicked=[4.0, 1.0, 0],
        squared_viewed=[16.0, 0, 0],
    )
    scaled = replace(
        once,
        **{name: getattr(once, name) * 10 for name in ("weighted_clicked", "weighted_viewed")},
        **{name: getattr(once, name) * 100 for name in ("squared_clicked", "squared_viewed")},
    )
    for window in (once, scaled):
        exposure = window.weighted_exposure()
        assert exposure.shown.tolist() == [4, 1, 0]  # 8²/16 equal views, and a click nobody logged a view of
        assert exposure.clicked.tolist() == [1, 1, 0]


def test_an_item_is_there_since_it_was_created_or_first_met() -> None:
    log = log_of(
        [("a", 0, 90), ("b", 0, 80), ("a", 1, 70), ("a", 2, 99)], n_items=5, kinds=["click", "view", "purchase", "view"]
    )
    catalogue = catalogue_of(["x"] * 5)
    day = [seen / DAY_S for seen in first_seen(log, catalogue, as_of=95 * DAY_S)]
    assert day[:2] == [80, 70] and np.isnan(day[2:]).all()
    created = np.array([NO_TIME, 60 * DAY_S, 50 * DAY_S, 96 * DAY_S, NO_TIME])
    day = [seen / DAY_S for seen in first_seen(log, replace(catalogue, created=created), as_of=95 * DAY_S)]
    assert day[:3] == [80, 60, 50] and np.isnan(day[3:]).all()
