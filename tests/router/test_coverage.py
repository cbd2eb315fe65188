from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.coverage import Coverage, ShardCounts
from cluster.errors import CoverageTooLow, DeadlineExceeded
from cluster.types import Ask, Query
from router.coverage import coverage_of, require
from router.fanout import Missed
from tests.router.fakes import GENERATION, Catalogue, fleet

CATALOGUE = Catalogue.random(200)
QUERY = Query(GENERATION, (Ask("tops", 5), Ask("ann", 5)))
OUTCOMES = ("ok", "tops only", "timeout", "failed", "loading")


def coverage(outcomes: list[str], required: float = 0.0) -> Coverage:
    shards = CATALOGUE.shards(len(outcomes))
    replies, missed = {}, {}
    for shard, outcome in zip(shards, outcomes, strict=True):
        if outcome in ("ok", "tops only"):
            asks = QUERY.asks if outcome == "ok" else QUERY.asks[:1]
            replies[shard.shard] = shard.answer(Query(GENERATION, asks))
        else:
            missed[shard.shard] = Missed(outcome, "why", 12.3456)  # type: ignore[arg-type]
    return coverage_of(fleet(CATALOGUE, shards), replies, missed, asked=["tops", "ann"], required=required)


def assert_adds_up(c: Coverage, outcomes: list[str]) -> None:
    """The checker: counted anew, from the outcomes alone."""
    items = CATALOGUE.spec(len(outcomes)).shard_items
    good = [i for i, outcome in enumerate(outcomes) if outcome in ("ok", "tops only")]
    n = c.shards
    assert n.total == len(outcomes)
    assert n.ok == len(good)
    assert (n.late, n.failed, n.loading) == tuple(outcomes.count(o) for o in ("timeout", "failed", "loading"))
    assert n.total == n.ok + n.late + n.failed + n.loading
    assert [m.shard for m in c.missing] == [i for i in range(len(outcomes)) if i not in good]
    assert [m.reason for m in c.missing] == [outcomes[m.shard] for m in c.missing]
    assert c.ratio == pytest.approx(sum(items[i] for i in good) / len(CATALOGUE))
    assert c.by_source["tops"] == pytest.approx(c.ratio)
    ann = sum(items[i] for i in good if outcomes[i] == "ok") / len(CATALOGUE)
    assert c.by_source["ann"] == pytest.approx(ann)


@settings(deadline=None, max_examples=60)
@given(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=12))
def test_the_parts_add_up_under_any_mix(outcomes: list[str]) -> None:
    assert_adds_up(coverage(outcomes), outcomes)


def test_complete_coverage_is_exactly_one() -> None:
    assert coverage(["ok"] * 7).ratio == 1.0
    assert coverage(["ok"] * 7).by_source == {"tops": 1.0, "ann": 1.0}


@pytest.mark.parametrize("planted", ["a shard is forgotten", "a reason is mistaken", "the ratio counts shards"])
def test_the_checker_catches_planted_faults(planted: str) -> None:
    outcomes = ["ok", "timeout", "ok", "failed"]
    c = coverage(outcomes)
    match planted:
        case "a shard is forgotten":
            wrong = replace(c, shards=replace(c.shards, total=3, late=0), missing=c.missing[1:])
        case "a reason is mistaken":
            wrong = replace(c, shards=replace(c.shards, late=0, failed=2))
        case _:
            wrong = replace(c, ratio=c.shards.ok / c.shards.total)
    with pytest.raises(AssertionError):
        assert_adds_up(wrong, outcomes)


def test_counts_that_do_not_add_up_cannot_even_be_made() -> None:
    with pytest.raises(AssertionError, match="add up"):
        ShardCounts(total=4, ok=3, late=0, failed=0, loading=0)
    with pytest.raises(AssertionError, match="is named"):
        Coverage(1.0, 0.0, ShardCounts(total=4, ok=3, late=1, failed=0, loading=0), missing=(), by_source={})


def test_too_little_is_an_error_that_carries_the_coverage() -> None:
    outcomes = ["ok", "timeout", "ok", "ok"]
    enough = coverage(outcomes).ratio
    require(coverage(outcomes, required=enough))
    low = coverage(outcomes, required=enough + 0.01)
    with pytest.raises(CoverageTooLow) as caught:
        require(low)
    assert caught.value.details["coverage"] == msgspec.to_builtins(low)
    with pytest.raises(CoverageTooLow, match="none of 2 shards"):
        require(coverage(["failed", "loading"], required=0.0))


def test_where_only_time_was_missing_the_time_is_to_blame() -> None:
    with pytest.raises(DeadlineExceeded, match="none of 2 shards answered in time"):
        require(coverage(["timeout", "timeout"]))
    for outcomes, required in ((["timeout", "failed"], 0.0), (["timeout", "timeout"], 0.5), (["ok", "timeout"], 1.0)):
        with pytest.raises(CoverageTooLow):
            require(coverage(outcomes, required=required))


def test_its_plain_form_is_json_in_the_shape_of_the_answer() -> None:
    plain = msgspec.json.decode(msgspec.json.encode(coverage(["ok", "timeout"], required=0.25)))
    with pytest.raises(CoverageTooLow) as caught:
        require(coverage(["ok", "timeout"], required=1.0))
    assert msgspec.json.decode(msgspec.json.encode(caught.value.details["coverage"])) == plain | {"required": 1.0}
    assert list(plain) == ["ratio", "required", "shards", "missing", "by_source"]
    assert plain["shards"] == {"total": 2, "ok": 1, "late": 1, "failed": 0, "loading": 0}
    expected = {"shard": 1, "replica": "shard-1", "reason": "timeout", "detail": "why", "waited_ms": 12.346}
    assert plain["missing"] == [expected]
