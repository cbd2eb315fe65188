"""Ranks are what shards, plan and merge make of a request; a shard that breaks a promise is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.clients.local import LocalShard
from cluster.filtering import Condition, Filter
from cluster.lookup import LookupQuery, LookupReply
from cluster.types import Query, ShardReply
from deploy.demo.synthetic import write_world
from router.planning.plan import plan
from router.planning.setup import Setup
from router.request import Request
from tests.worlds import NOW, TINY, tiny_config
from train.offline_router import OfflineRouter
from train.progress import Quiet
from train.stages.read import Inputs
from train.worth.evaluation import Evaluation, EvaluationTerms, Past, evaluate, measure, past_generation

TERMS = EvaluationTerms(days=14, new_days=14, n_users=40, basket_items=2, depth=30)
STORE = Filter(must=(Condition("stores", "eq", ("store-1",)),), must_not=(Condition("organic", "eq", (True,)),))


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("evaluation")
    items, events = write_world(TINY, folder)
    with past_generation(
        tiny_config(folder / "store"), Inputs(items, events, now=NOW), days=TERMS.days, progress=Quiet()
    ) as made:
        return made  # what it mapped outlives its files


def measured(then: Past, terms: EvaluationTerms = TERMS) -> Evaluation:
    return measure(then, terms, progress=Quiet())


def test_every_asked_source_has_a_row_and_the_union_is_at_the_end(then: Past) -> None:
    found = measured(then)
    spec = then.router.spec
    assert set(found.table) | set(found.not_asked) == {*(source.name for source in spec.sources), "union"}
    assert list(found.table)[-1] == "union"
    for row in found.table.values():
        assert 0 < row["recall@30"] <= 1 and 0 < row["coverage"] <= 1 and row["ms_per_request"] > 0


def test_a_rank_is_the_position_in_the_sources_own_list(then: Past) -> None:
    found = measured(then)
    spec, config = then.router.spec, then.router.config
    user = int(found.held_out.users[0])
    record = next(iter(then.signals.records(config, spec.id, np.array([user]))))
    basket = tuple(then.signals.catalogue.ids[int(row)].as_py() for row in found.held_out.baskets[0])
    request = Request(user_id=record.user_id, k=config.slate.k_default, basket=basket)
    planned = plan(request, record, Setup.of(spec, config))
    (shard,) = OfflineRouter.over(then.signals, config, generation=spec.id).shards  # of everything: the oracle
    asks = tuple(replace(ask, k=TERMS.depth) for ask in planned.query.asks)
    reply = shard.retrieve(replace(planned.query, asks=asks))
    mine = slice(0, int(found.held_out.starts[1]))
    keys = then.signals.catalogue.keys[found.held_out.items[mine]]
    for hits in reply.sources:
        source = spec.source(hits.source)
        assert source is not None
        if source.exact:
            order = reply.keys[hits.members].tolist()
            expected = [order.index(key) + 1 if key in order else np.inf for key in keys.tolist()]
            assert found.hits.ranks[mine, found.hits.systems.index(hits.source)].tolist() == expected, hits.source


def test_under_a_filter_only_eligible_items_count(then: Past) -> None:
    found = measured(then, replace(TERMS, filter=STORE, depth=100))
    assert found.n_eligible < len(then.signals.catalogue)
    assert len(found.held_out.items) < len(measured(then).held_out.items)
    promising = [source.name for source in then.router.spec.sources if source.promises_k]
    for name in promising:
        if name in found.table:
            assert found.table[name]["recall@100"] == 1.0, "it proposes everything that is eligible"


def test_seen_items_are_not_asked_for_where_they_are_never_recommended(then: Past) -> None:
    config = then.router.config
    slate = config.slate.model_copy(update={"exclude_seen": True})
    never = replace(then.router, config=config.model_copy(update={"slate": slate}))
    found = measured(replace(then, router=never))
    assert found.held_out.new.all() and len(found.held_out.items)
    assert "history" in found.not_asked


class Unfiltered:
    """A shard that takes no notice of filters."""

    def __init__(self, shard: LocalShard) -> None:
        self.shard = shard

    def lookup(self, query: LookupQuery) -> LookupReply:
        return self.shard.lookup(query)

    def retrieve(self, query: Query) -> ShardReply:
        return self.shard.retrieve(replace(query, filter=Filter()))


class OneHitEach(Unfiltered):
    """A shard that sends one hit of each source and says that there is no more."""

    def retrieve(self, query: Query) -> ShardReply:
        reply = self.shard.retrieve(query)
        cut = (replace(hits, members=hits.members[:1], scores=hits.scores[:1], more=False) for hits in reply.sources)
        return replace(reply, sources=tuple(cut))


@pytest.mark.parametrize(("spoil", "words"), [(Unfiltered, "ineligible or excluded"), (OneHitEach, "came short")])
def test_a_broken_promise_is_caught(then: Past, spoil: type[Unfiltered], words: str) -> None:
    spoilt = replace(then.router, shards=[spoil(shard) for shard in then.router.shards])
    with pytest.raises(AssertionError, match=words):
        measured(replace(then, router=spoilt), replace(TERMS, filter=STORE))


def test_an_evaluation_leaves_no_generation_behind_and_reuses_what_it_made(tmp_path: Path) -> None:
    items, events = write_world(TINY, tmp_path)
    config = tiny_config(tmp_path / "store")
    inputs = Inputs(items, events, now=NOW)
    first = evaluate(config, inputs, TERMS)
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["build"]
    assert np.array_equal(first.hits.ranks, evaluate(config, inputs, TERMS).hits.ranks)
