"""Orders are judged as they are served: the heavy model decides only among what the light one passes on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.spec import FeatureSchema
from cluster.types import RankQuery, RankReply
from ranker.features import Features
from ranker.ranker import Ranker
from tests.ranker.making import spec_of
from train.rank.judge import Judged, judge
from train.rank.ranking_rows import RankingRows, in_first_half


@dataclass(frozen=True)
class ByColumn:
    """A model that scores by one column."""

    at: int
    columns: tuple[str, ...] = ("light", "heavy")

    def score(self, features: Features) -> np.ndarray:
        return features[:, self.at]


def rows_of(light: list[float], heavy: list[float], labels: list[float], starts: list[int]) -> RankingRows:
    features = np.array([light, heavy], np.float32).T
    found = np.add.reduceat(np.array(labels), starts[:-1]).astype(np.int64)
    keys = np.arange(len(labels))
    return RankingRows(
        features, np.array(labels, np.float32), keys, np.array(starts), found + 1, np.arange(len(found))
    )  # one was not found


def test_perfect_heavy_order_within_what_light_passes_on() -> None:
    rows = rows_of(light=[1, 2, 3], heavy=[9, 1, 0], labels=[1, 0, 0], starts=[0, 3])
    everything = judge(rows, ByColumn(0), {"heavy": ByColumn(1)}, n_heavy=3).quality()
    assert everything["merged"]["ndcg@10"] == everything["heavy"]["ndcg@10"] == 1
    assert everything["light"]["ndcg@10"] == pytest.approx(0.5)
    two = judge(rows, ByColumn(0), {"heavy": ByColumn(1)}, n_heavy=2).quality()  # the relevant row stays third
    assert two["heavy"]["ndcg@10"] == pytest.approx(0.5)


@settings(deadline=None)
@given(m=st.integers(1, 12), n_levels=st.integers(1, 4), n_heavy=st.integers(0, 12), seed=st.integers(0, 2**32 - 1))
def test_orders_are_judged_as_a_ranker_makes_them_ties_included(m: int, n_levels: int, n_heavy: int, seed: int) -> None:
    """A group for each candidate, in which it alone was bought: so its place in every order is the reciprocal of a rank."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, n_levels, (m, 2)).astype(np.float32)
    keys = rng.permutation(3 * m)[:m].astype(np.int64) - m
    groups = [RankingRows.of_request(features, keys, wanted=keys[[at]], user=at) for at in range(m)]
    light, heavy = ByColumn(0), ByColumn(1)
    found = judge(RankingRows.together(groups), light, {"heavy": heavy}, n_heavy=n_heavy).per_system

    schema = FeatureSchema(match=light.columns, sources=(), user=(), context=())
    no_sources, nothing = np.empty((m, 0), np.float32), np.empty(0, np.float32)
    ranker = Ranker(spec_of(schema), light=light, heavy=heavy)
    for system, n in (("light", 0), ("heavy", n_heavy)):
        query = RankQuery("g1", schema.hash, keys, features, no_sources, no_sources, nothing, nothing, n)
        (reply,) = ranker.rank_batch([query], [10_000])
        assert isinstance(reply, RankReply)
        assert np.argsort(-found[system].reciprocal_rank).tolist() == reply.order.tolist()

    best = RankingRows.of_request(features, keys, wanted=keys, user=0).best(light, n_heavy)
    (reply,) = ranker.rank_batch([replace(query, n_heavy=0)], [10_000])
    assert isinstance(reply, RankReply)
    assert set(best.keys) == set(keys[reply.order[:n_heavy]])


def test_recall_counts_what_retrieval_missed() -> None:
    rows = rows_of(light=[1, 2, 3, 1], heavy=[0] * 4, labels=[1, 1, 0, 1], starts=[0, 3, 4])
    quality = judge(rows, ByColumn(0), {"heavy": ByColumn(1)}, n_heavy=1).quality()
    assert quality["light"]["recall@10"] == quality["candidates"]["recall"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_the_best_rows_of_a_model() -> None:
    rows = rows_of(light=[1, 3, 2, 5, 4], heavy=[0] * 5, labels=[1, 1, 0, 1, 0], starts=[0, 3, 5])
    best = rows.best(ByColumn(0), 2)
    assert best.features[:, 0].tolist() == [3, 2, 5, 4] and best.labels.tolist() == [1, 0, 1, 0]
    assert best.starts.tolist() == [0, 2, 4] and best.groups.tolist() == [0, 0, 1, 1]


def test_the_share_of_the_heavy_models_best_that_the_light_one_passes_on() -> None:
    rows = rows_of(light=[1, 2, 3, 4], heavy=[9, 1, 0, 2], labels=[1, 0, 0, 0], starts=[0, 4])
    for n_heavy, share in ((4, 1.0), (1, 0.25)):
        found = judge(rows, ByColumn(0), {"heavy": ByColumn(1)}, n_heavy=n_heavy).quality()
        assert found["heavy"]["light_share"] == share and "light_share" not in found["light"]


def test_the_interval_holds_the_mean_and_narrows_with_more_users() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = (
        judge(
            rows_of(rng.random(5 * n).tolist(), [0] * 5 * n, ([1, 0, 1, 0, 0] * n), list(range(0, 5 * n + 1, 5))),
            ByColumn(0),
            {},
            n_heavy=1,
        ).quality()["light"]
        for n in (10, 400)
    )
    for found in (wide, narrow):
        assert found["ndcg@10_lo"] < found["ndcg@10"] < found["ndcg@10_hi"]
    assert narrow["ndcg@10_hi"] - narrow["ndcg@10_lo"] < (wide["ndcg@10_hi"] - wide["ndcg@10_lo"]) / 3


def test_halves_share_no_user_and_lose_none() -> None:
    rows = rows_of(light=list(range(12)), heavy=[0] * 12, labels=[1] * 12, starts=[0, 2, 5, 6, 9, 12])
    half = in_first_half(rows.users)
    first, second = rows.of_users(half), rows.of_users(~half)
    assert first.features[:, 0].tolist() == [0, 1, 2, 3, 4, 9, 10, 11] and second.features[:, 0].tolist() == [5, 6, 7, 8]
    assert first.starts.tolist() == [0, 2, 5, 8] and second.n_bought.tolist() == [2, 4]
    both = RankingRows.together([first, second])
    assert both.starts.tolist() == [0, 2, 5, 8, 9, 12] and len(both.labels) == 12
    assert half.tolist() == [True, True, False, False, True]


def test_halves_that_judge_the_same_models_are_the_whole() -> None:
    rng = np.random.default_rng(1)
    n = 60
    rows = rows_of(rng.random(4 * n).tolist(), rng.random(4 * n).tolist(), [1, 0, 0, 0] * n, list(range(0, 4 * n + 1, 4)))
    half = in_first_half(rows.users)
    judged = [judge(rows.of_users(of), ByColumn(0), {"heavy:a": ByColumn(1)}, n_heavy=2) for of in (half, ~half)]
    parts = [part.also("heavy", "heavy:a") for part in judged]
    pooled, whole = Judged.together(parts).quality(), judge(rows, ByColumn(0), {"heavy:a": ByColumn(1)}, n_heavy=2).quality()
    assert pooled["heavy"] == pooled["heavy:a"]
    for system, metrics in whole.items():
        for name in metrics.keys() - {"ndcg@10_lo", "ndcg@10_hi"}:  # the users stand in another order, and so are drawn others
            assert pooled[system][name] == pytest.approx(metrics[name])
