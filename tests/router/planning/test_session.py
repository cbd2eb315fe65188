"""A session places whom the store has no vector of: as the build places its own users, wherever the items live."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy import sparse

from cluster.clients.protocols import Fleet
from cluster.config.train import AlsSection
from cluster.deadline import Deadline
from cluster.errors import ShardUnavailable
from cluster.lookup import LookupQuery, LookupReply
from cluster.spec import FoldIn, GenerationSpec
from cluster.types import Floats, Seeds, UserRecord
from router.planning.session import folded_in, mean_direction, session_vectors
from router.planning.setup import Setup
from router.request import Request
from tests.router.asking import ask, planned, router_over, sections
from tests.router.fakes import Catalogue, DictStore, ReverseRanker, Wrapped, user
from train.input.interactions import Interactions
from train.vectors.als import Factors, fit, in_eigenbasis, solve_rows
from train.vectors.spaces import als_space

CATALOGUE = Catalogue.random(400)
BASKET = CATALOGUE.item_ids[:3]
FOLD_IN = FoldIn(axes=(2.0, 1.0, 0.5, 0.25), confidence=1.0, observed=0.0, regularization=0.1, unobserved=10.0, exponent=0.5)


def spec(n_shards: int, *, metric: str = "ip") -> GenerationSpec:
    plain = CATALOGUE.spec(n_shards)
    (space,) = plain.spaces
    placed = msgspec.structs.replace(space, metric=metric, fold_in=FOLD_IN if metric == "ip" else None)
    return msgspec.structs.replace(plain, spaces=(placed,))


def fleet(n_shards: int, *, metric: str = "ip") -> Fleet:
    return Fleet(1, spec(n_shards, metric=metric), tuple(CATALOGUE.shards(n_shards)), ReverseRanker())


def placed(request: Request, over: Fleet, record: UserRecord | None = None, **changes: dict[str, object]) -> dict[str, Floats]:
    async def run() -> dict[str, Floats]:
        return await session_vectors(request, record, over, Setup.of(over.spec, sections(**changes)), Deadline.after_ms(5_000))

    return asyncio.run(run())


def pairs_of(confidence: sparse.csr_array) -> Interactions:
    n = confidence.nnz
    return Interactions(
        as_of=0,
        n_items=confidence.shape[1],
        starts=confidence.indptr.astype(np.int64),
        items=confidence.indices.astype(np.int32),
        weights=confidence.data,
        events=np.ones(n, np.float32),
        first_days=np.zeros(n, np.float32),
        last_days=np.zeros(n, np.float32),
    )


@pytest.mark.parametrize("observed", ["adds", "replaces"])
def test_a_session_is_folded_in_as_the_build_solves_for_a_user_with_these_items(observed: str) -> None:
    section = AlsSection(dim=8, n_sweeps=3, alpha=2.0, observed=observed)
    matrix = sparse.random_array((60, 40), density=0.2, rng=np.random.default_rng(0), dtype=np.float32)
    confidence = sparse.csr_array((np.full(matrix.nnz, 2, np.float32), matrix.tocsr().indices, matrix.tocsr().indptr), (60, 40))
    factors = in_eigenbasis(fit(confidence, section, seed=1), section)
    fold_in = als_space(factors, pairs_of(confidence), section).fold_in
    assert fold_in is not None
    bought = np.array([3, 7, 21])
    row = sparse.csr_array((np.full(3, 2, np.float32), bought, [0, 3]), (1, 40))
    expected = solve_rows(row, factors.items, section)[0]
    found = folded_in(factors.items[bought].astype(np.float64), np.ones(3), fold_in)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_the_eigenbasis_changes_no_inner_product() -> None:
    rng = np.random.default_rng(3)
    factors = Factors(*(rng.normal(size=(n, 6)).astype(np.float32) for n in (20, 30)))
    turned = in_eigenbasis(factors, AlsSection(dim=6))
    np.testing.assert_allclose(turned.users @ turned.items.T, factors.users @ factors.items.T, atol=1e-4)
    gram = turned.items.T @ turned.items
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_any_partition_gives_the_same_vector(metric: str) -> None:
    request = Request("new", 10, basket=BASKET, viewed=CATALOGUE.item_ids[5:9])
    one, *others = (placed(request, fleet(n, metric=metric))["als"] for n in (1, 2, 5))
    assert all(np.array_equal(one, other) for other in others)


def test_a_view_counts_less_than_the_basket_and_only_so_many_items_are_looked_up() -> None:
    bought, viewed = (placed(Request("new", 10, **{how: BASKET}), fleet(2))["als"] for how in ("basket", "viewed"))
    assert np.linalg.norm(viewed) < np.linalg.norm(bought)
    request = Request("new", 10, basket=BASKET[:1], viewed=CATALOGUE.item_ids[5:9])
    only_basket = placed(request, fleet(2), users={"session_items": 1})["als"]
    assert np.array_equal(only_basket, placed(Request("new", 10, basket=BASKET[:1]), fleet(2))["als"])
    assert placed(request, fleet(2), users={"session_items": 0}) == {}


def test_opposite_directions_have_no_mean() -> None:
    assert mean_direction(np.array([[1.0, 0.0], [-2.0, 0.0]]), np.ones(2)) is None


def test_a_user_with_a_vector_costs_no_look_up() -> None:
    class Silent(Wrapped):
        def lookup(self, query: LookupQuery, deadline: Deadline) -> asyncio.Future[LookupReply]:
            raise AssertionError("looked up")

    over = replace(fleet(2), shards=tuple(Silent(shard) for shard in CATALOGUE.shards(2)))
    assert placed(Request("u", 10, basket=BASKET), over, user()) == {}
    assert placed(Request("new", 10), over) == {}


def test_a_look_up_that_fails_leaves_the_user_without_a_vector_and_the_answer_honest() -> None:
    class Mute(Wrapped):
        async def lookup(self, query: LookupQuery, deadline: Deadline) -> LookupReply:
            raise ShardUnavailable("gone")

    over = replace(fleet(2), shards=tuple(Mute(shard) for shard in CATALOGUE.shards(2)))
    bare = replace(user(), vectors={})
    cold = ask(router_over(over, DictStore(bare)), basket=BASKET, explain="funnel")
    assert cold.degraded == ("no_user_vector",) and len(cold.items) == 10
    warm = ask(router_over(fleet(2), DictStore(bare)), basket=BASKET, explain="funnel")
    assert warm.degraded == () and "ann" in [source.source for source in warm.sources]


def test_a_stranger_with_a_basket_is_searched_for_and_still_a_stranger() -> None:
    answer = ask(router_over(fleet(2), DictStore()), user_id="new", basket=BASKET, explain="funnel")
    assert answer.degraded == ("unknown_user",)
    assert "ann" in [source.source for source in answer.sources]


def test_what_everybody_buys_counts_less_beside_a_session() -> None:
    request = Request("new", 10, basket=BASKET)
    session = placed(request, fleet(2))
    by_session, cold = (planned(request, None, spec(2), sections(), session=s) for s in (session, {}))
    assert dict(zip([a.source for a in by_session.query.asks], by_session.weights, strict=True)) == {"tops": 0.25, "ann": 1.0}
    assert set(cold.weights) == {1.0}


def test_who_only_viewed_is_placed_by_what_the_store_knows() -> None:
    keys = np.sort(CATALOGUE.keys[:3])
    seen = Seeds(keys, np.ones(3, np.float32), np.zeros(3, np.float32))
    record = replace(user(), vectors={}, seeds={"viewed": seen})
    assert placed(Request("u", 10), fleet(2), record).keys() == {"als"}
