"""What ranking costs, in one process and on one core: each model alone, then whole requests, waiting together or one by one.

    python -m bench.ranker [--quick] [--json FILE]

light 1000 candidates: every column has a curve of 8 steps; beside it the same curves through np.interp, a column at a time.
heavy 100 rows: 300 trees of depth 6; beside it CatBoost as its documentation calls it, on a row-major matrix, with one thread
and with its default of all cores. 16 waiting: whole requests of 400 candidates, 100 of them for the heavy model, in one batch;
beside it one after the other, and one after the other with those plain forms of both models.
Every system's scores or orders are checked against the others' before any time is taken, and each call meets another of
N_INPUTS inputs: repeated on one, np.interp teaches the processor the outcome of its comparisons and looks twice as fast.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from catboost import CatBoost

from bench.tools.harness import Bench, Metrics, percentiles, time_calls
from bench.tools.row import OURS
from bench.tools.world import Size, World, fit_models
from cluster.spec import FeatureSchema, GenerationSpec
from cluster.types import Floats, RankQuery, RankReply
from ranker.features import Features, assemble
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.ranker import Ranker

N_WAITING = 16
N_CANDIDATES = 400
N_HEAVY = 100
N_INPUTS = 32
AMPLE_MS = 60_000.0


def main() -> None:
    bench = Bench.from_arguments("ranker", packages=("catboost", "numpy"))
    world = World.made(Size(n_items=1_000, n_users=10, dim=8))
    schema = world.schema
    with tempfile.TemporaryDirectory() as folder:
        light_file, heavy_file = fit_models(world, Path(folder))
    light, heavy = LightModel.from_json(light_file), HeavyModel.from_bytes(heavy_file)
    plain_light, plain_heavy = Interpolated(light), PlainCatBoost(heavy_file, threads=1)
    calls, repeats = bench.size(full=2_000, quick=200), bench.size(full=7, quick=3)

    if bench.wants(case := "light 1000 candidates"):
        inputs = [assemble(schema, made_query(schema, 1_000, seed)) for seed in range(N_INPUTS)]
        for features in inputs:
            np.testing.assert_allclose(light.score(features), plain_light.score(features), atol=1e-4)
        systems = {OURS: light.score, "np.interp": plain_light.score}
        bench.run(case, {name: partial(timed, score, inputs, calls) for name, score in systems.items()}, repeats=repeats)

    if bench.wants(case := "heavy 100 rows"):
        by_column = [np.asfortranarray(assemble(schema, made_query(schema, N_HEAVY, seed))) for seed in range(N_INPUTS)]
        by_row = [np.ascontiguousarray(features) for features in by_column]
        all_cores = PlainCatBoost(heavy_file, threads=-1)
        for ours, theirs in zip(by_column, by_row, strict=True):
            np.testing.assert_array_equal(heavy.score(ours), plain_heavy.score(theirs))
        systems = {
            OURS: partial(timed, heavy.score, by_column, calls),
            "row-major, 1 thread": partial(timed, plain_heavy.score, by_row, calls),
            "row-major, all cores": partial(timed, all_cores.score, by_row, calls),
        }
        bench.run(case, systems, repeats=repeats)

    if bench.wants(case := f"{N_WAITING} waiting"):
        rounds = [[made_query(schema, N_CANDIDATES, N_WAITING * r + i) for i in range(N_WAITING)] for r in range(N_INPUTS)]
        ranker = Ranker(spec_of(schema), light=light, heavy=heavy)
        plain = Ranker(spec_of(schema), light=plain_light, heavy=plain_heavy)
        for queries in rounds:
            assert orders(together(ranker, queries)) == orders(one_by_one(ranker, queries)), "batching changed an answer"
        ways = {OURS: partial(together, ranker), "one by one": partial(one_by_one, ranker), "plain": partial(one_by_one, plain)}
        bench.run(case, {name: partial(requests, way, rounds, calls // 20) for name, way in ways.items()}, repeats=repeats)


class Interpolated:
    """The light model's curves, one np.interp each."""

    def __init__(self, model: LightModel) -> None:
        self.columns = model.columns
        self.bias = model.bias
        self.curves = [
            (model.columns.index(c.column), np.array(c.knots), np.cumsum((0, *c.steps)), c.missing) for c in model.curves
        ]

    def score(self, features: Features) -> Floats:
        total = np.full(len(features), self.bias)
        for column, knots, heights, missing in self.curves:
            x = features[:, column]
            total += np.where(np.isnan(x), missing, np.interp(x, knots, heights))
        return total.astype(np.float32)


class PlainCatBoost:
    """The heavy model's file through `predict` on whatever matrix comes, made row-major. threads: -1 is CatBoost's default."""

    def __init__(self, file: bytes, *, threads: int) -> None:
        self._trees = CatBoost()
        self._trees.load_model(blob=file)
        self.columns = tuple(self._trees.feature_names_)
        self._threads = threads

    def score(self, features: Features) -> Floats:
        rows = np.ascontiguousarray(features)
        scores: Floats = self._trees.predict(rows, thread_count=self._threads).astype(np.float32)
        return scores


def made_query(schema: FeatureSchema, m: int, seed: int = 0) -> RankQuery:
    """Random candidates, 60 % of whose source cells are missing."""
    rng = np.random.default_rng(seed)
    scores, ranks = (np.abs(rng.standard_normal((m, len(schema.sources)))).astype(np.float32) for _ in range(2))
    absent = rng.random(scores.shape) < 0.6
    scores[absent] = ranks[absent] = np.nan
    return RankQuery(
        generation="bench",
        schema_hash=schema.hash,
        keys=rng.permutation(1 << 20)[:m].astype(np.int64),
        match=np.abs(rng.standard_normal((m, len(schema.match)))).astype(np.float32),
        source_scores=scores,
        source_ranks=ranks,
        user=rng.random(len(schema.user)).astype(np.float32),
        context=rng.random(len(schema.context)).astype(np.float32),
        n_heavy=N_HEAVY,
    )


def spec_of(schema: FeatureSchema) -> GenerationSpec:
    return GenerationSpec("bench", "", "string", (1,), (), (), (), (), (), schema)


def together(ranker: Ranker, queries: Sequence[RankQuery]) -> list[object]:
    return list(ranker.rank_batch(queries, [AMPLE_MS] * len(queries)))


def one_by_one(ranker: Ranker, queries: Sequence[RankQuery]) -> list[object]:
    return [outcome for query in queries for outcome in ranker.rank_batch([query], [AMPLE_MS])]


def orders(outcomes: Sequence[object]) -> list[list[int]]:
    return [outcome.order.tolist() for outcome in outcomes if isinstance(outcome, RankReply)]


def timed(score: Callable[[Features], Floats], inputs: Sequence[Features], calls: int) -> Metrics:
    taken = time_calls(score, (inputs[i % len(inputs)] for i in range(calls)))
    return percentiles(taken) | {"rows_per_s": len(inputs[0]) * calls / float(taken.sum())}


def requests(way: Callable[[Sequence[RankQuery]], list[object]], rounds: Sequence[Sequence[RankQuery]], calls: int) -> Metrics:
    """Percentiles are of rounds, since all replies of a round are waited for."""
    taken = time_calls(way, (rounds[i % len(rounds)] for i in range(calls)))
    return percentiles(taken) | {"requests_per_s": len(rounds[0]) * calls / float(taken.sum())}


if __name__ == "__main__":
    main()
