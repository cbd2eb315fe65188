"""Lists hold every item of their segment; each kind against its definition; what a log cannot tell is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import EventsSection
from cluster.config.sources import TOPS_KINDS
from cluster.errors import ConfigError
from cluster.spec import AttributeSpec
from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.input.event_log import KINDS, EventKind, EventLog
from train.lists.rates import beta_prior, growth, growth_prior
from train.lists.tops import TopList, bought_by_window, make_tops, possible_kinds

WINDOWS = (7, 28)
CATALOGUE = catalogue_of(["red", "blue", None, "red"])
LOG = log_of([("a", 0, NOW_DAY), ("b", 0, NOW_DAY - 10), ("a", 2, NOW_DAY - 1), ("a", 3, NOW_DAY - 50)], n_items=4)
TYPED = EventsSection(type_column="type")


def tops(log: EventLog, *kinds: str, group_by: str = "", catalogue: object = CATALOGUE) -> dict[str, TopList]:
    made = make_tops(log, catalogue, as_of=NOW, kinds=kinds, windows_days=WINDOWS, group_by=group_by)  # type: ignore[arg-type]
    return {top.name: top for top in made}


def test_windows_count_what_was_bought_in_them() -> None:
    bought = bought_by_window(LOG, as_of=NOW, windows_days=WINDOWS)
    assert bought.tolist() == [[1, 0, 1, 0], [2, 0, 1, 0]]
    a_week_ago = bought_by_window(LOG, as_of=NOW - 8 * 86_400, windows_days=WINDOWS)
    assert a_week_ago.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


def test_one_global_list_and_one_per_value_each_complete() -> None:
    lists = tops(LOG, "purchases", group_by="category")
    names = ["7d", "7d/category=blue", "7d/category=red", "28d", "28d/category=blue", "28d/category=red"]
    assert list(lists) == [f"purchases/{name}" for name in names]
    assert lists["purchases/7d"].rows.tolist() == [0, 1, 2, 3]
    assert lists["purchases/7d"].scores.tolist() == [0.5, 0, 0.5, 0]
    assert lists["purchases/7d/category=red"].rows.tolist() == [0, 3]
    assert lists["purchases/28d/category=red"].scores.tolist() == [1, 0]
    assert lists["purchases/7d/category=blue"].scores.tolist() == [0]


def test_segments_may_be_sets_and_repeat_a_value() -> None:
    stores = pa.array([["n", "s"], ["s", "s"], None, []], pa.list_(pa.string()))
    specs = (*CATALOGUE.specs, AttributeSpec("stores", "categories"))
    catalogue = replace(CATALOGUE, specs=specs, attributes=CATALOGUE.attributes | {"stores": stores})
    lists = tops(LOG, "purchases", "rising", group_by="stores", catalogue=catalogue)
    assert lists["purchases/7d/stores=n"].rows.tolist() == [0] and lists["rising/28d/stores=s"].rows.tolist() == [0, 1]


events = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 3),
        st.integers(NOW_DAY - 60, NOW_DAY),
        st.sampled_from(KINDS),
        st.sampled_from([1.0, 2.5]),
    ),
    min_size=1,
    max_size=80,
)


@settings(deadline=None, max_examples=40)
@given(rows=events)
def test_every_kind_by_its_definition(rows: list[tuple[str, int, int, EventKind, float]]) -> None:
    log = log_of([row[:3] for row in rows], 4, [row[4] for row in rows], kinds=[row[3] for row in rows])
    lists = tops(log, *TOPS_KINDS, group_by="category")
    for top in lists.values():
        assert top.rows.dtype == np.int32 and top.scores.dtype == np.float32
        assert np.isfinite(top.scores).all() and (top.scores >= 0).all() and len(top.rows) == len(top.scores)

    def recent(kind: EventKind, days: int) -> list[list[tuple[int, float]]]:
        """Per item the age and weight of each event of the window."""
        return [
            [(NOW_DAY - d, w) for _, i, d, k, w in rows if i == item and k == kind and NOW_DAY - d < days] for item in range(4)
        ]

    for days in WINDOWS:
        viewed, clicked, bought = (recent(kind, days) for kind in ("view", "click", "purchase"))
        n_clicked = np.array([len(at) for at in clicked], float)
        shown = np.array([max(len(v), len(c)) for v, c in zip(viewed, clicked, strict=True)], float)
        spent = np.array([sum(w for _, w in at) for at in bought])
        decayed = [[[w * 2 ** (-2 * age / days) for age, w in at] for at in of] for of in (clicked, viewed)]
        now = np.array([len(at) for at in bought], float)
        before = np.array([len(at) for at in recent("purchase", 2 * days)], float) - now
        close = {
            "purchases": spent / max(spent.sum(), 1e-9),
            "clicks": n_clicked / max(n_clicked.sum(), 1),
            "ctr": [c / s if s else 0 for c, s in zip(n_clicked, shown, strict=True)],
            "pctr": beta_prior(n_clicked, shown).smoothed(n_clicked, shown),
            "weighted_ctr": [sum(c) / max(sum(c), sum(v)) if c else 0 for c, v in zip(*decayed, strict=True)],
            "rising": growth(now, before),
            "new": [2 ** (-max((NOW_DAY - d for _, i, d, _, _ in rows if i == item), default=1e4) / days) for item in range(4)],
        }
        for kind, scores in close.items():
            np.testing.assert_allclose(lists[f"{kind}/{days}d"].scores, scores, rtol=1e-5, atol=1e-30, err_msg=kind)
        red = lists[f"rising/{days}d/category=red"]
        np.testing.assert_allclose(red.scores, growth(now[[0, 3]], before[[0, 3]], growth_prior(now, before)), rtol=1e-5)


def test_weights_and_recency_reorder_what_counts_alone_do_not() -> None:
    rows: list[tuple[str, int, float]] = []
    kinds: list[EventKind] = []
    for item, click_day in ((0, NOW_DAY), (1, NOW_DAY - 6)):
        rows += [("a", item, NOW_DAY - 6), ("a", item, NOW_DAY), ("a", item, click_day)]
        kinds += ["view", "view", "click"]
    log = log_of(rows, n_items=4, kinds=kinds)
    lists = tops(log, "ctr", "weighted_ctr", "weighted_pctr")
    assert lists["ctr/7d"].scores.tolist() == [0.5, 0.5, 0, 0]
    for kind in ("weighted_ctr", "weighted_pctr"):
        recent, old, *_ = lists[f"{kind}/7d"].scores
        assert recent > old > 0
    typical = lists["weighted_pctr/7d"].scores[2:]
    assert (typical > 0).all() and typical[0] == typical[1], "what nobody saw has the typical rate"


def test_an_empty_moment_gives_whole_lists() -> None:
    log = log_of([("a", 0, NOW_DAY + 1)], n_items=4)
    lists = tops(log, *TOPS_KINDS)
    assert len(lists) == len(TOPS_KINDS) * len(WINDOWS) and all(len(top.rows) == 4 for top in lists.values())
    assert all(np.isfinite(top.scores).all() for top in lists.values())


def test_kinds_without_their_events_are_left_out_or_refused() -> None:
    assert possible_kinds(LOG, EventsSection()) == ("purchases", "new", "rising")
    assert possible_kinds(LOG.as_of(0), EventsSection(), asked=("rising",)) == ("rising",)
    with pytest.raises(ConfigError) as caught:
        possible_kinds(LOG, EventsSection(), asked=("purchases", "clicks", "ctr"))
    assert caught.value.message.splitlines() == [
        "sources.tops.kinds: clicks needs clicks, and events.type_column names no column that tells them apart",
        "sources.tops.kinds: ctr needs views and clicks, and events.type_column names no column that tells them apart",
    ]
    clicked = log_of([("a", 0, 1), ("a", 0, 1)], n_items=1, kinds=["click", "purchase"])
    assert possible_kinds(clicked, TYPED) == ("purchases", "clicks", "new", "rising")
    with pytest.raises(ConfigError, match=r"pctr needs views, and column 'type' has no value of events.view_types"):
        possible_kinds(clicked, TYPED, asked=("pctr",))
    viewed = log_of([("a", 0, 1), ("a", 0, 1), ("a", 0, 1)], n_items=1, kinds=list(KINDS[:3]))
    assert possible_kinds(viewed, TYPED) == TOPS_KINDS
