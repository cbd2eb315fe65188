"""Lists by name: one kind of them apart from the others, so that nobody looks rows up among lists of no concern."""

from __future__ import annotations

import numpy as np

from shard.tables.lists import RankedLists
from tests.shard.worlds import LISTS, World

KEYS = np.arange(4, dtype=np.int64)


def lists_of(*names: str) -> RankedLists:
    """Each with one row more than the one before, best last."""
    rows = [np.arange(at + 1, dtype=np.int32) for at in range(len(names))]
    return RankedLists.of(KEYS, {name: (r, r.astype(np.float32)) for name, r in zip(names, rows, strict=True)})


def test_a_kind_is_what_its_names_begin_with() -> None:
    lists = lists_of("new/7d", "purchases/7d", "newest/7d", "new/7d/brand=a")
    new = lists.of_kind("new")
    assert new.names == ("new/7d", "new/7d/brand=a")
    assert [new.slice(name)[0].tolist() for name in new.names] == [[0], [3, 2, 1, 0]]
    assert new.by_row.lists.tolist() == [0, 1, 1, 1, 1]
    assert lists.of_kind("clicks").names == () and len(lists.of_kind("clicks").by_row.lists) == 0


def test_all_lists_are_of_no_kind_or_of_the_only_one() -> None:
    lists = World.drawn(3, 20).columns.lists
    assert lists.of_kind("").names == lists.of_kind("purchases").names == LISTS
