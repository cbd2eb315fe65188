from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.types import ShardReply
from router.merge import Merged, merge
from router.planning.plan import Plan, plan
from router.planning.setup import Setup
from router.request import Request
from tests.router.asking import fused_truth, sections
from tests.router.fakes import Catalogue, user

RED = Filter(must=(Condition("color", "eq", ("red",)),))
CONSTANT = 60.0


def planned(catalogue: Catalogue, n_shards: int, *, filter: Filter = EVERYTHING, n_light: int = 400, tops_k: int = 100) -> Plan:
    bought = {int(catalogue.keys[i]): 1.0 + i % 3 for i in range(0, len(catalogue), 7)}
    changes = sections(merge={"n_light": n_light}, sources={"tops": {"k": tops_k}})
    return plan(Request("u", 20, filter=filter), user(history=bought), Setup.of(catalogue.spec(n_shards), changes))


def merged_over(catalogue: Catalogue, n_shards: int, in_full: bool = False, **options: object) -> Merged:
    """The certified merge of n shards of a catalogue, replies in any order."""
    p = planned(catalogue, n_shards, **options)  # type: ignore[arg-type]
    shards = catalogue.shards(n_shards)
    replies = {shard.shard: shard.answer(p.in_full() if in_full else p.query) for shard in shards}
    first = merge(list(replies.values()), p, catalogue.spec(n_shards))
    for shard in first.uncertified:
        replies[shard] = shards[shard].answer(p.in_full())
    again = merge(list(reversed(replies.values())), p, catalogue.spec(n_shards))
    assert again.uncertified == ()
    return again


def assert_same(a: Merged, b: Merged) -> None:
    """Bit for bit, except where an item lives."""
    for column in ("keys", "scores", "source_scores", "source_ranks", "match"):
        np.testing.assert_array_equal(getattr(a.candidates, column), getattr(b.candidates, column), err_msg=column)
    assert a.candidates.sources == b.candidates.sources


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 400),
    n_shards=st.integers(1, 16),
    n_levels=st.sampled_from([1, 3, 10_000]),
    filter=st.sampled_from([EVERYTHING, RED]),
    n_light=st.sampled_from([10, 400]),
    tops_k=st.sampled_from([1, 30, 500]),
)
def test_any_partition_gives_the_same_candidates(
    seed: int, n_items: int, n_shards: int, n_levels: int, filter: Filter, n_light: int, tops_k: int
) -> None:
    """Ties included: with one level every score is equal and only keys decide."""
    catalogue = Catalogue.random(n_items, seed=seed, n_levels=n_levels)
    one = merged_over(catalogue, 1, filter=filter, n_light=n_light, tops_k=tops_k)
    many = merged_over(catalogue, n_shards, filter=filter, n_light=n_light, tops_k=tops_k)
    assert_same(one, many)
    assert one.exact
    assert many.exact


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n_shards=st.integers(1, 8), n_levels=st.sampled_from([2, 10_000]))
def test_candidates_are_what_the_slow_way_finds(seed: int, n_shards: int, n_levels: int) -> None:
    catalogue = Catalogue.random(300, seed=seed, n_levels=n_levels)
    spec = catalogue.spec(n_shards)
    p = plan(Request("u", 20, filter=RED), user(), Setup.of(spec, sections()))
    merged = merge([s.answer(p.in_full()) for s in catalogue.shards(n_shards)], p, spec)
    budgets = {ask.source: k for ask, k in zip(p.query.asks, p.budgets, strict=True)}
    expected = fused_truth(catalogue, budgets, filter=RED)[: p.n_candidates]
    assert list(zip(merged.candidates.keys.tolist(), merged.candidates.scores.tolist(), strict=True)) == expected


def skewed(catalogue: Catalogue, shard: int, n_shards: int) -> Catalogue:
    """All the best items of `tops` and `ann` lie in one shard: what hash placement makes improbable."""
    mine = np.isin(np.arange(len(catalogue)), catalogue.shards(n_shards)[shard].items)
    return replace(catalogue, tops=catalogue.tops + 10 * mine.astype(np.float32), ann=catalogue.ann + mine.astype(np.float32))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n_shards=st.integers(2, 8))
def test_a_planted_skew_is_noticed_and_asking_again_restores_the_answer(seed: int, n_shards: int) -> None:
    shard = seed % n_shards
    catalogue = skewed(Catalogue.random(1_500, seed=seed), shard, n_shards)
    p = planned(catalogue, n_shards)
    first = merge([s.answer(p.query) for s in catalogue.shards(n_shards)], p, catalogue.spec(n_shards))
    assert first.uncertified == (shard,)
    assert not first.exact
    assert_same(merged_over(catalogue, n_shards), merged_over(catalogue, 1))


def test_without_asking_again_the_same_check_fails() -> None:
    """The negative control: the first round alone gives another answer, and the comparison sees it."""
    catalogue = skewed(Catalogue.random(1_500), 1, 4)
    p = planned(catalogue, 4)
    first = merge([s.answer(p.query) for s in catalogue.shards(4)], p, catalogue.spec(4))
    with pytest.raises(AssertionError):
        assert_same(first, merged_over(catalogue, 1))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n_shards=st.integers(1, 6), n_light=st.sampled_from([5, 50, 1_000]))
def test_nothing_disappears(seed: int, n_shards: int, n_light: int) -> None:
    merged = merged_over(Catalogue.random(200, seed=seed), n_shards, n_light=n_light)
    assert merged.n_received - sum(merged.removed.values()) == len(merged.candidates)
    assert min(merged.removed.values()) >= 0


def test_missing_columns_are_nan_and_ranks_count_from_one() -> None:
    c = merged_over(Catalogue.random(1_000), 4, n_light=1_000).candidates
    np.testing.assert_array_equal(np.isnan(c.source_ranks), np.isnan(c.source_scores))
    assert (~np.isnan(c.source_ranks)).any(axis=1).all()
    for column in range(2):
        ranks = c.source_ranks[:, column]
        assert sorted(ranks[~np.isnan(ranks)].tolist()) == list(range(1, int(np.nanmax(ranks)) + 1))


def test_a_shard_that_did_not_run_an_exact_source_makes_the_merge_inexact() -> None:
    catalogue = Catalogue.random(200)
    p = planned(catalogue, 2)

    def without(reply: ShardReply, source: str) -> ShardReply:
        return replace(reply, sources=tuple(h for h in reply.sources if h.source != source))

    replies = [s.answer(p.in_full()) for s in catalogue.shards(2)]
    spec = catalogue.spec(2)
    assert merge(replies, p, spec).exact
    assert not merge([replies[0], without(replies[1], "tops")], p, spec).exact
    assert merge([replies[0], without(replies[1], "ann")], p, spec).exact


def test_no_hits_at_all_is_an_empty_list() -> None:
    catalogue = Catalogue.random(50)
    nothing = Filter(must=(Condition("color", "eq", ("green",)),))
    merged = merged_over(catalogue, 3, filter=nothing)
    assert len(merged.candidates) == 0
    assert merged.exact
    assert merged.candidates.match.shape == (0, 2)


def test_a_source_counts_by_its_weight() -> None:
    catalogue, weights = Catalogue.random(200), {"tops": 0.25, "history": 2.5}
    record = user(history={int(key): 1.0 for key in catalogue.keys[:30]})
    p = plan(Request("u", 20), record, Setup.of(catalogue.spec(2), sections(merge={"weights": weights})))
    replies = [shard.answer(p.query) for shard in catalogue.shards(2)]
    found = merge(replies, p, catalogue.spec(2)).candidates
    by_source = np.array([weights.get(name, 1.0) for name in found.sources])
    expected = np.nansum(by_source / (CONSTANT + found.source_ranks.astype(np.float64)), axis=1)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert len(found) and (np.diff(found.scores) <= 0).all()
