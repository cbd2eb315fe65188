"""The types refuse what later code could not bear, where it is made."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.coverage import Coverage, MissingShard, ShardCounts
from cluster.filtering import Condition, Filter
from cluster.types import Affinity, Query, Seeds, ShardReply, SourceHits

f32 = np.float32


def hits(members: np.ndarray, scores: np.ndarray) -> SourceHits:
    return SourceHits("ann", members, scores, more=False, next_score=0.0, next_key=0, strategy="exact", took_us=1.0)


def reply(rows: np.ndarray, keys: np.ndarray, match: np.ndarray) -> ShardReply:
    return ShardReply("g", 0, rows, keys, match, (), n_items=9, n_eligible=9, took_us=1.0)


def coverage(*, total: int, ok: int, late: int, missing: int) -> Coverage:
    named = tuple(MissingShard(i, f"shard-{i}", "timeout", "", 5.0) for i in range(missing))
    return Coverage(0.5, 0.0, ShardCounts(total, ok, late, failed=0, loading=0), missing=named, by_source={})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Condition("price", "eq", ()),
        lambda: Condition("price", "lt", (1, 2)),
        lambda: Condition("price", "lt", (1,), (Condition("price", "eq", (1,)),)),
        lambda: Condition("", "any_of", (1,)),
        lambda: Condition("", "none_of"),
        lambda: Seeds(np.zeros(2, np.int32), np.zeros(2, f32), np.zeros(2, f32)),
        lambda: Seeds(np.zeros(2, np.int64), np.zeros(3, f32), np.zeros(2, f32)),
        lambda: Seeds(np.zeros(2, np.int64), np.zeros(2, f32), np.zeros((2, 1), f32)),
        lambda: Affinity(("a",), np.zeros(2, f32)),
        lambda: Query("g", (), vectors={"als": np.zeros(3)}),
        lambda: Query("g", (), exclude=np.zeros(3, f32)),
        lambda: hits(np.zeros(2, np.int32), np.zeros(1, f32)),
        lambda: hits(np.zeros(2, np.int64), np.zeros(2, f32)),
        lambda: reply(np.zeros(2, np.int32), np.zeros(1, np.int64), np.zeros((2, 3), f32)),
        lambda: reply(np.zeros(2, np.int32), np.zeros(2, np.int64), np.zeros((1, 3), f32)),
        lambda: reply(np.zeros(2, np.int32), np.zeros(2, np.int64), np.zeros(2, f32)),
        lambda: coverage(total=4, ok=2, late=1, missing=2),
        lambda: coverage(total=4, ok=2, late=2, missing=1),
    ],
)
def test_what_does_not_fit_together_is_not_made(make) -> None:
    with pytest.raises(AssertionError):
        make()


def test_what_fits_together_is() -> None:
    assert coverage(total=4, ok=2, late=2, missing=2).shards.ok == 2
    assert len(reply(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 3), f32)).rows) == 0
    assert Condition("store", "in", ()).values == ()


def test_filters_are_values() -> None:
    one, two = (Filter(must=(Condition("store", "eq", ("7",)),)) for _ in range(2))
    assert one == two
    assert len({one, two, Filter()}) == 2
