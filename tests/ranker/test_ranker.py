"""The ranker: permutations in the right order, no request touched by another's trouble, and deadlines that decide."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DeadlineExceeded, GenerationMismatch, InternalError, InvalidQuery, OskolokError, SchemaMismatch
from cluster.types import Floats, RankQuery, RankReply
from ranker.batching import RESERVE_US
from ranker.features import Features, assemble
from ranker.heavy import HeavyModel
from ranker.ranker import Outcome, Ranker
from tests.ranker.making import (
    COLUMNS,
    SCHEMA,
    SPOILINGS,
    FakeClock,
    SumModel,
    heavy_blob,
    light_model,
    query_of,
    spec_of,
    spoilt,
)

AMPLE_MS = 10_000.0


def ranker_of(**models: object) -> Ranker:
    """Fakes whose scores tie often; heavy disagrees with light. The clock stands still."""
    made = {"light": SumModel(), "heavy": SumModel(picks=("norm.ials",))} | models
    return Ranker(spec_of(), clock=models.get("clock", FakeClock()), **{k: v for k, v in made.items() if k != "clock"})


def one(ranker: Ranker, query: RankQuery, remaining_ms: float = AMPLE_MS) -> Outcome:
    (outcome,) = ranker.rank_batch([query], [remaining_ms])
    return outcome


def by_hand(query: RankQuery, ranker: Ranker) -> tuple[list[int], int]:
    """The order that the contract describes, worked out with Python's sort."""
    features = assemble(SCHEMA, query)
    light = ranker._light.score(features) if ranker._light else -np.arange(len(query.keys))
    order = sorted(range(len(query.keys)), key=lambda i: (-light[i], query.keys[i]))
    n_heavy = min(query.n_heavy, len(order)) if ranker._heavy else 0
    if n_heavy:
        heavy = ranker._heavy.score(features)
        order[:n_heavy] = sorted(order[:n_heavy], key=lambda i: (-heavy[i], query.keys[i]))
    return order, n_heavy


queries = st.builds(query_of, st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 80))


@settings(deadline=None)
@given(queries, st.sampled_from([{}, {"light": None}, {"heavy": None}, {"light": None, "heavy": None}]))
def test_the_order_is_heavy_first_then_light_and_ties_go_to_the_smaller_key(query: RankQuery, models: dict[str, None]) -> None:
    ranker = ranker_of(**models)
    reply = one(ranker, query)
    assert isinstance(reply, RankReply)
    order, n_heavy = by_hand(query, ranker)
    assert reply.order.tolist() == order and reply.n_heavy == n_heavy and reply.skipped == ""
    assert reply.order.dtype == np.int32 and reply.scores.dtype == np.float32 and len(reply.scores) == len(order)
    for part in (reply.scores[:n_heavy], reply.scores[n_heavy:]):
        assert (np.diff(part) <= 0).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(queries, st.sampled_from([None, *sorted(SPOILINGS)])), max_size=8))
def test_any_mix_of_good_and_bad_queries_is_answered_one_by_one(batch: list[tuple[RankQuery, str | None]]) -> None:
    ranker = real_ranker()
    given_queries = [query if how is None or not len(query.keys) else spoilt(query, how) for query, how in batch]
    together = ranker.rank_batch(given_queries, [AMPLE_MS] * len(batch))
    assert len(together) == len(batch)
    for query, outcome in zip(given_queries, together, strict=True):
        alone = one(ranker, query)
        assert type(outcome) is type(alone)
        if isinstance(outcome, RankReply) and isinstance(alone, RankReply):
            np.testing.assert_array_equal(outcome.order, alone.order)
            assert outcome.scores.tobytes() == alone.scores.tobytes()
            assert (outcome.n_heavy, outcome.skipped) == (alone.n_heavy, alone.skipped)


def real_ranker() -> Ranker:
    return Ranker(spec_of(), light=light_model(), heavy=HeavyModel.from_bytes(heavy_blob()))


def test_each_bad_query_gets_the_error_that_fits() -> None:
    ranker = ranker_of()
    for how in SPOILINGS:
        outcome = one(ranker, spoilt(query_of(), how))
        expected = {"another schema": SchemaMismatch, "another generation": GenerationMismatch}.get(how, InvalidQuery)
        assert type(outcome) is expected, how


def test_all_heavy_rows_of_a_batch_go_in_one_call() -> None:
    heavy = SumModel()
    ranker = ranker_of(heavy=heavy)
    heavy.calls.clear()
    ranker.rank_batch([query_of(i, m=20, n_heavy=n) for i, n in enumerate((5, 0, 30, 7))], [AMPLE_MS] * 4)
    assert heavy.calls == [5 + 20 + 7]


def test_no_queries_and_no_candidates_are_fine() -> None:
    assert ranker_of().rank_batch([], []) == []
    reply = one(real_ranker(), query_of(m=0))
    assert isinstance(reply, RankReply) and len(reply.order) == 0 and reply.n_heavy == 0


# Deadlines: the fakes move the clock, nothing else does.


def timed(heavy_us: float, light_us: float = 0.0) -> tuple[Ranker, FakeClock]:
    clock = FakeClock()
    light = SumModel(clock=clock, fixed_us=light_us)
    heavy = SumModel(clock=clock, fixed_us=heavy_us, per_row_us=0.001)
    return Ranker(spec_of(), light=light, heavy=heavy, clock=clock), clock


def test_too_little_time_for_heavy_leaves_the_light_order() -> None:
    ranker, _ = timed(heavy_us=2_000)
    reply = one(ranker, query_of(), remaining_ms=2)
    assert isinstance(reply, RankReply) and reply.skipped == "deadline" and reply.n_heavy == 0
    light_alone = one(ranker_of(heavy=None), query_of())
    assert isinstance(light_alone, RankReply) and reply.order.tolist() == light_alone.order.tolist()
    in_time = one(ranker, query_of(), remaining_ms=2 + 1.1 * RESERVE_US / 1000)
    assert isinstance(in_time, RankReply) and in_time.n_heavy == 5


def test_a_passed_deadline_costs_only_its_own_request() -> None:
    ranker, _ = timed(heavy_us=100, light_us=3_000)
    outcomes = ranker.rank_batch([query_of(0), query_of(1), query_of(2)], [5.0, 0.0, 50.0])
    assert isinstance(outcomes[1], DeadlineExceeded)
    assert [type(outcome) for outcome in outcomes] == [RankReply, DeadlineExceeded, RankReply]


def test_the_light_phase_of_others_may_use_a_deadline_up() -> None:
    ranker, _ = timed(heavy_us=100, light_us=3_000)
    outcomes = ranker.rank_batch([query_of(i) for i in range(4)], [2.0, 2.0, 50.0, 50.0])
    assert [type(outcome) for outcome in outcomes] == [RankReply, DeadlineExceeded, RankReply, RankReply]


def test_a_hurried_request_is_answered_before_patient_ones_are_worked_on() -> None:
    ranker, clock = timed(heavy_us=5_000)
    started = clock.now
    outcomes = ranker.rank([query_of(0), query_of(1), query_of(2)], [100.0, 3.0, 7.0])
    answered = [(at, 1000 * (clock.now - started)) for at, _ in outcomes]
    assert [at for at, _ in answered] == [1, 2, 0]
    assert answered[0][1] < 3 and answered[1][1] < 7


def test_a_call_that_took_too_long_costs_the_next_its_heavy_order_and_not_its_answer() -> None:
    clock = FakeClock()
    heavy = SumModel(clock=clock, fixed_us=100, per_row_us=1_000)
    ranker = Ranker(spec_of(), light=SumModel(clock=clock), heavy=heavy, clock=clock)
    heavy.fixed_us = 25_000
    started = clock.now
    answered = {}
    for at, outcome in ranker.rank([query_of(0), query_of(1)], [7.0, 33.0]):
        assert isinstance(outcome, RankReply)
        answered[at] = (outcome.skipped, 1000 * (clock.now - started))
    assert answered[0][0] == "" and answered[1][0] == "deadline"
    assert answered[1][1] < 33


def test_a_slow_machine_is_learnt_about() -> None:
    ranker, _ = timed(heavy_us=2_000)
    assert isinstance(ranker._heavy, SumModel)
    ranker._heavy.fixed_us = 20_000
    for _ in range(12):
        one(ranker, query_of(), AMPLE_MS)
    reply = one(ranker, query_of(), remaining_ms=10)
    assert isinstance(reply, RankReply) and reply.skipped == "deadline"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-1, 12)), max_size=8))
def test_every_request_is_answered_once_and_in_time_if_at_all(batch: list[tuple[int, float]]) -> None:
    ranker, clock = timed(heavy_us=1_500, light_us=200)
    started = clock.now
    queries = [query_of(i, n_heavy=n) for i, (n, _) in enumerate(batch)]
    seen = []
    for at, outcome in ranker.rank(queries, [ms for _, ms in batch]):
        seen.append(at)
        if isinstance(outcome, RankReply) and outcome.n_heavy:
            assert (clock.now - started) * 1000 <= batch[at][1]
        elif isinstance(outcome, OskolokError):
            assert isinstance(outcome, DeadlineExceeded)
    assert sorted(seen) == list(range(len(batch)))


# Models that misbehave.


@dataclass
class Sick:
    """Like SumModel, but scores rows of one user feature as `value`, or raises."""

    value: float | None
    sick_user: float
    columns: tuple[str, ...] = COLUMNS

    def score(self, features: Features) -> Floats:
        sick = features[:, COLUMNS.index("user.buys")] == np.float32(self.sick_user)
        if self.value is None and sick.any():
            raise InternalError("trees fell over")
        return np.where(sick, self.value, features[:, 1]).astype(np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_heavy_scores_that_are_no_numbers_cost_only_that_request_its_heavy_order(value: float) -> None:
    ranker = ranker_of(heavy=Sick(value, sick_user=77))
    healthy, sick = query_of(0), replace(query_of(1), user=np.array([77], np.float32))
    first, second = ranker.rank_batch([healthy, sick], [AMPLE_MS] * 2)
    assert isinstance(first, RankReply) and first.n_heavy == 5 and first.skipped == ""
    assert isinstance(second, RankReply) and second.n_heavy == 0 and second.skipped == "nonfinite"
    light_alone = one(ranker_of(heavy=None), sick)
    assert isinstance(light_alone, RankReply) and second.order.tolist() == light_alone.order.tolist()


def test_a_heavy_model_that_fails_leaves_the_light_order() -> None:
    ranker = ranker_of(heavy=Sick(None, sick_user=77))
    replies = ranker.rank_batch([query_of(0), replace(query_of(1), user=np.array([77], np.float32))], [AMPLE_MS] * 2)
    assert [r.skipped for r in replies if isinstance(r, RankReply)] == ["failed", "failed"]


def test_light_scores_that_are_no_numbers_leave_the_order_in_which_candidates_came() -> None:
    ranker = ranker_of(light=Sick(np.nan, sick_user=77), heavy=None)
    reply = one(ranker, replace(query_of(m=9), user=np.array([77], np.float32)))
    assert isinstance(reply, RankReply) and reply.order.tolist() == list(range(9))


@pytest.mark.parametrize("which", ["light", "heavy"])
def test_a_model_of_other_columns_is_refused(which: str) -> None:
    with pytest.raises(SchemaMismatch):
        ranker_of(**{which: SumModel(columns=COLUMNS[::-1])})
