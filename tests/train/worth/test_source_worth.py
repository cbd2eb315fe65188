"""The table's numbers, counted by hand on ranks written down by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.rank.held_out import HeldOut
from train.worth.hits import Hits
from train.worth.source_worth import ahead_of_union, by_activity, curve, per_user_recall, table

NO = np.inf
HELD_OUT = HeldOut(
    users=np.array([3, 5, 9]),
    starts=np.array([0, 2, 2, 5]),
    items=np.array([1, 4, 0, 2, 3], np.int32),
    new=np.array([True, False, True, True, False]),
    baskets=(np.empty(0, np.int32),) * 3,
    asked_at=np.zeros(3, np.int64),
)
HITS = Hits(
    systems=("tops", "ann", "score_all", "union"),
    depth=100,
    n_requests=3,
    ranks=np.array(
        [
            [1, 40, NO, 2],
            [NO, 10, NO, 30],
            [60, NO, NO, 90],
            [NO, NO, NO, NO],
            [NO, 3, NO, NO],
        ],
        np.float32,
    ),
    proposed=np.array([4, 10, 0, 12]),
    asked=np.array([3, 2, 0, 3]),
    shard_ms=np.array([0.5, 2.0, 0.0, 3.0]),
)


def test_recall_is_a_mean_over_users_who_bought_what_counts() -> None:
    assert per_user_recall(HITS, HELD_OUT, "tops", 100).tolist() == pytest.approx([1 / 2, np.nan, 1 / 3], nan_ok=True)
    assert curve(HITS, HELD_OUT, "tops", (50, 100)) == pytest.approx([1 / 4, 5 / 12])
    assert curve(HITS, HELD_OUT, "ann", (100,), new=True) == pytest.approx([1 / 2])


def test_the_table() -> None:
    rows = table(HITS, HELD_OUT, n_eligible=20, ks=(50, 100))
    assert list(rows) == ["tops", "ann", "union"], "what nobody asked has no row"
    assert rows["tops"] == pytest.approx(
        {
            "recall@50": 1 / 4,
            "recall@100": 5 / 12,
            "recall_new@50": 1 / 2,
            "recall_new@100": 3 / 4,
            "coverage": 0.2,
            "exclusive": 1 / 4,
            "exclusive_new": 1 / 2,
            "asked": 1.0,
            "ms_per_request": 0.5,
        }
    )
    assert rows["ann"]["exclusive"] == 1 / 2 and rows["ann"]["asked"] == pytest.approx(2 / 3)
    assert "exclusive" not in rows["union"] and rows["union"]["recall@100"] == pytest.approx((1 + 1 / 3) / 2)


def test_a_cut_below_the_lists_is_refused() -> None:
    with pytest.raises(AssertionError, match="recall at 500 of lists that end at 100"):
        per_user_recall(HITS, HELD_OUT, "tops", 500)


def test_recall_by_activity_keeps_strangers_apart() -> None:
    groups = by_activity(HITS, HELD_OUT, "ann", np.array([0, 7, 12]), k=100)
    assert groups == [("0", 1.0), ("12", pytest.approx(1 / 3))]


def test_nothing_bought_is_no_recall() -> None:
    nobody = HELD_OUT.kept(np.zeros(5, bool))
    nothing = replace(HITS, ranks=HITS.ranks[:0])
    row = table(nothing, nobody, n_eligible=0, ks=(100,))["tops"]
    assert (row["recall@100"], row["exclusive"]) == (0.0, 0.0)


def beaten_union() -> tuple[Hits, HeldOut]:
    """Forty users who bought a thing each: tops finds thirty, the union ten of them, ann one more than the union."""
    n = 40
    held_out = replace(
        HELD_OUT,
        users=np.arange(n),
        starts=np.arange(n + 1),
        items=np.zeros(n, np.int32),
        new=np.ones(n, bool),
        baskets=(np.empty(0, np.int32),) * n,
        asked_at=np.zeros(n, np.int64),
    )
    ranks = np.full((n, 4), NO, np.float32)
    ranks[:30, 0] = ranks[:11, 1] = ranks[:10, 3] = 1
    return replace(HITS, ranks=ranks, n_requests=n, asked=np.array([n, n, 0, n])), held_out


def test_a_source_that_beats_the_union_is_named_if_users_agree() -> None:
    hits, held_out = beaten_union()
    assert ahead_of_union(hits, held_out, 100) == {"tops": 0.75}
    assert ahead_of_union(replace(hits, ranks=np.full((40, 4), NO, np.float32)), held_out, 100) == {}
