"""Lists hold every item of their segment with its share of the window."""

from __future__ import annotations

import numpy as np

from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from train.tops import bought_by_window, top_lists

WINDOWS = (7, 28)
CATALOGUE = catalogue_of(["red", "blue", None, "red"])
LOG = log_of([("a", 0, NOW_DAY), ("b", 0, NOW_DAY - 10), ("a", 2, NOW_DAY - 1), ("a", 3, NOW_DAY - 50)], n_items=4)


def test_windows_count_what_was_bought_in_them() -> None:
    bought = bought_by_window(LOG, as_of=NOW, windows_days=WINDOWS)
    assert bought.tolist() == [[1, 0, 1, 0], [2, 0, 1, 0]]
    a_week_ago = bought_by_window(LOG, as_of=NOW - 8 * 86_400, windows_days=WINDOWS)
    assert a_week_ago.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


def test_one_global_list_and_one_per_value_each_complete() -> None:
    bought = bought_by_window(LOG, as_of=NOW, windows_days=WINDOWS)
    lists = {top.name: top for top in top_lists(CATALOGUE, bought, windows_days=WINDOWS, group_by="category")}
    assert list(lists) == ["7d", "7d/category=blue", "7d/category=red", "28d", "28d/category=blue", "28d/category=red"]
    assert lists["7d"].rows.tolist() == [0, 1, 2, 3]
    assert lists["7d"].scores.tolist() == [0.5, 0, 0.5, 0]
    assert lists["7d/category=red"].rows.tolist() == [0, 3]
    assert lists["28d/category=red"].scores.tolist() == [1, 0]
    assert lists["7d/category=blue"].scores.tolist() == [0]
    assert all(top.rows.dtype == np.int32 and top.scores.dtype == np.float32 for top in lists.values())


def test_without_groups_there_are_global_lists_only() -> None:
    bought = bought_by_window(LOG, as_of=NOW, windows_days=WINDOWS)
    assert [top.name for top in top_lists(CATALOGUE, bought, windows_days=WINDOWS, group_by="")] == ["7d", "28d"]
