"""What an explained answer says of its sources must add up to what the shards sent and what was shown."""

from __future__ import annotations

from collections import Counter

import pytest

from router.request import Recommendation
from tests.router.asking import ask, router_over
from tests.router.fakes import Catalogue, DictStore, ReverseRanker, dead, fleet, user

CATALOGUE = Catalogue.random(600)
HISTORY = {int(key): 1.0 for key in CATALOGUE.keys[:30]}
STORE = DictStore(user(history=HISTORY))


def explained(n_shards: int, *, n_dead: int = 0, **changes: dict[str, object]) -> Recommendation:
    shards = CATALOGUE.shards(n_shards)
    mixed = [dead(shard) if at < n_dead else shard for at, shard in enumerate(shards)]
    return ask(router_over(fleet(CATALOGUE, mixed, ReverseRanker()), STORE, **changes), explain="funnel")


@pytest.mark.parametrize("n_shards", [1, 3])
def test_every_asked_source_is_told_of(n_shards: int) -> None:
    answer = explained(n_shards)
    traces = {trace.source: trace for trace in answer.sources}
    assert {name: (t.asked, t.found) for name, t in traces.items()} == {
        "tops": (100, 100),
        "ann": (300, 300),
        "history": (30, 30),
    }
    assert all(t.kept == t.found for t in traces.values())  # fewer than n_light candidates: nothing is cut off
    assert all(t.strategies == {"fixed": n_shards} for t in traces.values())
    assert all(t.took_ms == 0.001 for t in traces.values())


def test_exclusive_candidates_are_those_that_one_source_found() -> None:
    best = {
        name: set(order[::-1][:k].tolist())
        for name, order, k in (
            ("tops", CATALOGUE.tops.argsort(kind="stable"), 100),
            ("ann", CATALOGUE.ann.argsort(kind="stable"), 300),
        )
    }
    best["history"] = set(range(30))
    counts = Counter(row for rows in best.values() for row in rows)
    n_ties_apart = 3  # the order of equal scores is by key here and by row above
    for trace in explained(3).sources:
        alone = sum(counts[row] == 1 for row in best[trace.source])
        assert abs(trace.exclusive - alone) <= n_ties_apart


def test_what_is_cut_off_is_not_kept_and_what_is_shown_is_counted() -> None:
    answer = explained(3, merge={"n_light": 40}, ranker={"heavy": {"n_heavy": 20}})
    shown = Counter(source for item in answer.items for source in item.sources)
    assert {trace.source: trace.placed for trace in answer.sources} == {
        name: shown[name] for name in ("tops", "ann", "history")
    }
    assert sum(trace.kept for trace in answer.sources) >= 40
    assert sum(trace.exclusive for trace in answer.sources) <= 40
    assert all(trace.exclusive <= trace.kept <= trace.found <= trace.asked for trace in answer.sources)


def test_a_missing_shard_takes_its_part_of_what_is_found() -> None:
    traces = {trace.source: trace for trace in explained(3, n_dead=1).sources}
    assert traces["ann"].asked == 300
    assert 190 <= traces["ann"].found <= 210
    assert traces["ann"].strategies == {"fixed": 2}


def test_unasked_nothing_is_told() -> None:
    answer = ask(router_over(fleet(CATALOGUE, CATALOGUE.shards(2), ReverseRanker()), STORE))
    assert answer.sources == answer.shards == ()


def test_how_candidates_got_their_order_is_told_and_learnt_from() -> None:
    """A ranker that is late each time: the router asks for ever less, and says so."""
    slow = ReverseRanker(skipped="deadline")
    router = router_over(fleet(CATALOGUE, CATALOGUE.shards(2), slow), STORE)
    for _ in range(100):
        answer = ask(router, explain="funnel")
    assert answer.rank is not None and answer.degraded == ("heavy_skipped",)
    assert (answer.rank.skipped, answer.rank.n_heavy, answer.rank.n_heavy_full) == ("deadline", 0, 100)
    assert answer.rank.quality == 0.1 and slow.queries[-1].n_heavy == 10
    assert slow.queries[0].n_heavy == 100
    assert ask(router).rank is None
