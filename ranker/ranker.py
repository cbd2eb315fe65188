"""Candidates in, order out: the light model over all of them, the heavy one over the best, for all waiting requests at once.

`Ranker` holds one generation's models. It knows neither Ray nor sockets, and one thread at a time uses it. It decides which
requests get a heavy order in time (`ranker/batching.py`). Requests fail alone: a bad query, a late one or a score that is not
a number costs that request its answer or its heavy order, and costs others nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.deadline import Clock
from cluster.errors import ConfigError, DeadlineExceeded, GenerationMismatch, InvalidQuery, OskolokError, SchemaMismatch
from cluster.generation import Generation
from cluster.order import all_finite, best_first_seldom_tied, head_reordered
from cluster.spec import GenerationSpec, HeavyKind
from cluster.types import LATE, Floats, RankQuery, RankReply, Rows
from ranker.batching import plan_calls
from ranker.cost import measure
from ranker.crosses import crosses_of
from ranker.features import Features, assemble
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.model import Model

LIGHT_FILE = "models/light.json"
HEAVY_FILE = "models/heavy.cbm"
ONNX_FILE = "models/heavy.onnx"

Outcome = RankReply | OskolokError


@dataclass(frozen=True, slots=True, eq=False)
class _Lit:
    """A request after the light phase. order: (m,), best first.  scores: (m,), aligned with order."""

    at: int
    query: RankQuery
    features: Features
    order: Rows
    scores: Floats
    n_heavy: int
    light_us: float


class Ranker:
    """The models of one generation.

    Either may be missing: without a heavy one the light order stands, without a light one the order in which the candidates
    came, which is the merge's.
    """

    def __init__(
        self, spec: GenerationSpec, *, light: Model | None = None, heavy: Model | None = None, clock: Clock = time.perf_counter
    ) -> None:
        """Times the heavy model. Raises SchemaMismatch if a model reads other columns than the generation's schema has, or the
        schema has a cross feature that is not known here.
        """
        crosses_of(spec.features)
        for name, model in (("light", light), ("heavy", heavy)):
            if model is not None and model.columns != spec.features.columns():
                raise SchemaMismatch(
                    f"the {name} model reads {len(model.columns)} columns, which are not the {len(spec.features.columns())}"
                    f" of generation {spec.id}"
                )
        self.spec = spec
        self._light = light
        self._heavy = heavy
        self._clock = clock
        self._heavy_cost = measure(heavy, clock) if heavy is not None else None

    @classmethod
    def load(cls, generation: Generation, *, heavy_model: HeavyKind = "catboost") -> Ranker:
        """With the models the generation has. Raises SchemaMismatch, or GenerationCorrupt before a library sees wrong bytes;
        ConfigError if there is no ONNX model where one is wanted, or nothing to run it.
        """
        require_heavy(generation, heavy_model)
        light: Model | None = None
        heavy: Model | None = None
        if LIGHT_FILE in generation.manifest.files:
            with generation.verified(LIGHT_FILE) as file:
                light = LightModel.from_json(file.read_bytes())
        if heavy_model == "onnx" and ONNX_FILE in generation.manifest.files:
            from ranker.onnx_model import OnnxModel

            with generation.verified(ONNX_FILE) as file:
                heavy = OnnxModel.from_bytes(file.read_bytes(), generation.spec.features.columns())
        elif heavy_model == "catboost" and HEAVY_FILE in generation.manifest.files:
            with generation.verified(HEAVY_FILE) as file:
                heavy = HeavyModel.from_bytes(file.read_bytes())
        return cls(generation.spec, light=light, heavy=heavy)

    def rank_batch(self, queries: Sequence[RankQuery], remaining_ms: Sequence[float]) -> list[Outcome]:
        """The outcome of each query, in their order, once all are known. See `rank`."""
        outcomes = dict(self.rank(queries, remaining_ms))
        return [outcomes[at] for at in range(len(queries))]

    def rank(self, queries: Sequence[RankQuery], remaining_ms: Sequence[float]) -> Iterator[tuple[int, Outcome]]:
        """(position, reply or error) of every query, each as soon as it is known, so that the hurried can leave early.

        remaining_ms: until each one's deadline, counted from this call. Errors, each for its query alone: DeadlineExceeded
        if it passed before the light model could begin, SchemaMismatch, GenerationMismatch, InvalidQuery.
        """
        assert len(queries) == len(remaining_ms), f"{len(queries)} queries, {len(remaining_ms)} deadlines"
        started = self._clock()
        waiting: list[_Lit] = []
        for at in sorted(range(len(queries)), key=lambda i: remaining_ms[i]):
            try:
                if self._since_us(started) >= remaining_ms[at] * 1000:
                    raise DeadlineExceeded("the deadline passed before the light model", stage="rank")
                lit = self._rank_light(at, queries[at])
            except OskolokError as error:
                yield at, error
                continue
            if self._heavy is None or lit.n_heavy == 0:
                yield at, _light_reply(lit, skipped="")
            else:
                waiting.append(lit)
        yield from self._rank_heavy(waiting, remaining_ms, started)

    def _rank_light(self, at: int, query: RankQuery) -> _Lit:
        started = self._clock()
        if query.generation != self.spec.id:
            raise GenerationMismatch(f"the query is for generation {query.generation}, this ranker holds {self.spec.id}")
        if query.n_heavy < 0:
            raise InvalidQuery(f"n_heavy is {query.n_heavy}", field="/n_heavy", allowed=">= 0")
        features = assemble(self.spec.features, query)
        scores = self._light.score(features) if self._light is not None else _as_they_came(len(features))
        if not all_finite(scores):
            scores = _as_they_came(len(features))
        order = best_first_seldom_tied(scores, query.keys).astype(np.int32)
        n_heavy = min(query.n_heavy, len(order))
        return _Lit(at, query, features, order, scores.take(order), n_heavy, self._since_us(started))

    def _rank_heavy(
        self, waiting: Sequence[_Lit], remaining_ms: Sequence[float], started: float
    ) -> Iterator[tuple[int, Outcome]]:
        """Before each call light replies for those who have no time left for it, then the call's own.

        What waits is planned anew after every call, which may have taken longer than it should.
        """
        while waiting:
            assert self._heavy_cost is not None, "nobody waits without a heavy model"
            elapsed_us = self._since_us(started)
            remaining_us = [remaining_ms[lit.at] * 1000 - elapsed_us for lit in waiting]
            plan = plan_calls(remaining_us, [lit.n_heavy for lit in waiting], self._heavy_cost)
            for i in plan.late:
                yield waiting[i].at, _light_reply(waiting[i], skipped=LATE)
            if plan.calls:
                yield from self._call_heavy([waiting[i] for i in plan.calls[0]])
            waiting = [waiting[i] for members in plan.calls[1:] for i in members]

    def _call_heavy(self, members: Sequence[_Lit]) -> Iterator[tuple[int, Outcome]]:
        """One call for the best candidates of all members, in columns as they lie in memory: see `HeavyModel`."""
        assert self._heavy is not None and self._heavy_cost is not None
        started = self._clock()
        rows = np.concatenate([lit.features.T.take(lit.order[: lit.n_heavy], axis=1) for lit in members], axis=1).T
        try:
            scores = self._heavy.score(rows)
        except OskolokError:
            yield from ((lit.at, _light_reply(lit, skipped="failed")) for lit in members)
            return
        heavy_us = self._since_us(started)
        self._heavy_cost = self._heavy_cost.after(len(rows), heavy_us)
        begin = 0
        for lit in members:
            own = scores[begin : begin + lit.n_heavy]
            begin += lit.n_heavy
            if all_finite(own):
                yield lit.at, _heavy_reply(lit, own, heavy_us)
            else:
                yield lit.at, _light_reply(lit, skipped="nonfinite")

    def _since_us(self, started: float) -> float:
        return (self._clock() - started) * 1e6


def require_heavy(generation: Generation, heavy_model: HeavyKind) -> None:
    """Raises ConfigError if the generation lacks the ONNX model that the configuration wants. One whose build had nothing to
    rank by has no models, and needs none.
    """
    wanted = heavy_model == "onnx" and generation.spec.ranking(heavy_model).stage == "heavy"
    if wanted and ONNX_FILE not in generation.manifest.files:
        raise ConfigError(
            f'ranker.heavy.model is "onnx", but generation {generation.spec.id} has no {ONNX_FILE}:'
            " build with train.ranker.onnx_file"
        )


def _as_they_came(m: int) -> Floats:
    """Scores that keep the candidates' order: the reciprocals of their positions, counted from 1."""
    return (1 / np.arange(1, m + 1)).astype(np.float32)


def _light_reply(lit: _Lit, *, skipped: str) -> RankReply:
    return RankReply(
        order=lit.order, scores=lit.scores, n_heavy=0, skipped=skipped, light_us=lit.light_us, heavy_us=0.0, queue_us=0.0
    )


def _heavy_reply(lit: _Lit, heavy_scores: Floats, heavy_us: float) -> RankReply:
    """heavy_scores: (n_heavy,), of the light order's head. They decide the head's order; the tail stays as it is."""
    order, head_scores = head_reordered(lit.order, heavy_scores, lit.query.keys)
    return RankReply(
        order=order,
        scores=np.concatenate((head_scores, lit.scores[lit.n_heavy :])),
        n_heavy=lit.n_heavy,
        skipped="",
        light_us=lit.light_us,
        heavy_us=heavy_us,
        queue_us=0.0,
    )
