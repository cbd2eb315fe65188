"""Small schemas, queries and models for the ranker's tests, and the model fakes: arithmetic instead of learning."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from catboost import CatBoost, Pool

from cluster.generation import Generation, GenerationWriter
from cluster.spec import FeatureSchema, GenerationSpec, columns_hash
from cluster.types import Floats, RankQuery
from ranker.features import Features
from ranker.heavy import SCHEMA_KEY
from ranker.light import Curve, LightModel
from ranker.ranker import HEAVY_FILE, LIGHT_FILE

SCHEMA = FeatureSchema(
    match=("dot.ials", "norm.ials", "stat.buyers"), sources=("tops", "ann"), user=("user.buys",), context=("ctx.basket",)
)
COLUMNS = SCHEMA.columns()


def spec_of(features: FeatureSchema = SCHEMA, generation: str = "g1") -> GenerationSpec:
    return GenerationSpec(
        id=generation,
        created="2026-11-24T00:00:00Z",
        id_type="string",
        shard_items=(10, 10),
        attributes=(),
        spaces=(),
        sources=(),
        lists=(),
        profile=(),
        features=features,
    )


def query_of(seed: int = 0, m: int = 20, n_heavy: int = 5, schema: FeatureSchema = SCHEMA) -> RankQuery:
    """Random candidates; a third of the source cells is missing, and features are coarse enough to tie."""
    rng = np.random.default_rng(seed)

    def coarse(*shape: int) -> np.ndarray:
        return (rng.integers(-8, 8, shape) / 4).astype(np.float32)

    scores, ranks = coarse(m, len(schema.sources)), coarse(m, len(schema.sources))
    absent = rng.random(scores.shape) < 1 / 3
    scores[absent] = ranks[absent] = np.nan
    return RankQuery(
        generation="g1",
        schema_hash=schema.hash,
        keys=rng.permutation(4 * m + 1)[:m].astype(np.int64) - m,
        match=coarse(m, len(schema.match)),
        source_scores=scores,
        source_ranks=ranks,
        user=coarse(len(schema.user)),
        context=coarse(len(schema.context)),
        n_heavy=n_heavy,
    )


def spoilt(query: RankQuery, how: str) -> RankQuery:
    """The query with one thing wrong. `SPOILINGS` lists them."""
    return SPOILINGS[how](query)


def _poisoned(array: np.ndarray, value: float) -> np.ndarray:
    copy = array.copy()
    copy.flat[-1] = value
    return copy


SPOILINGS: dict[str, Callable[[RankQuery], RankQuery]] = {
    "another schema": lambda q: replace(q, schema_hash="0" * 16),
    "another generation": lambda q: replace(q, generation="g0"),
    "negative n_heavy": lambda q: replace(q, n_heavy=-1),
    "match too narrow": lambda q: replace(q, match=q.match[:, :-1]),
    "match too short": lambda q: replace(q, match=q.match[:-1]),
    "match of float64": lambda q: replace(q, match=q.match.astype(np.float64)),
    "keys of int32": lambda q: replace(q, keys=q.keys.astype(np.int32)),
    "ranks too short": lambda q: replace(q, source_ranks=q.source_ranks[:-1]),
    "flat scores": lambda q: replace(q, source_scores=q.source_scores.ravel()),
    "user too long": lambda q: replace(q, user=np.append(q.user, np.float32(0))),
    "no context": lambda q: replace(q, context=q.context[:0]),
    "NaN in match": lambda q: replace(q, match=_poisoned(q.match, np.nan)),
    "infinite match": lambda q: replace(q, match=_poisoned(q.match, np.inf)),
    "infinite score": lambda q: replace(q, source_scores=_poisoned(q.source_scores, -np.inf)),
    "infinite user feature": lambda q: replace(q, user=_poisoned(q.user, np.inf)),
}


@dataclass
class FakeClock:
    """Stands still unless told otherwise."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SumModel:
    """Scores a row by its sum over some columns, missing counting 0; takes so long on the clock, and keeps its call sizes."""

    picks: tuple[str, ...] = ("dot.ials", "ann.score")
    columns: tuple[str, ...] = COLUMNS
    clock: FakeClock | None = None
    fixed_us: float = 0.0
    per_row_us: float = 0.0

    def __post_init__(self) -> None:
        self.calls: list[int] = []

    def score(self, features: Features) -> Floats:
        self.calls.append(len(features))
        if self.clock is not None:
            self.clock.now += (self.fixed_us + self.per_row_us * len(features)) / 1e6
        picked = features[:, [self.columns.index(name) for name in self.picks]]
        return np.add.reduce(np.nan_to_num(picked.T), axis=0)


def rows_of(m: int, seed: int = 1) -> Features:
    """Random rows of SCHEMA, column-major, a fifth of the source cells missing."""
    rng = np.random.default_rng(seed)
    features = np.asfortranarray(rng.normal(size=(m, len(COLUMNS))).astype(np.float32))
    sources = slice(len(SCHEMA.match), len(SCHEMA.match) + 2 * len(SCHEMA.sources))
    features[:, sources][rng.random((m, 2 * len(SCHEMA.sources))) < 0.2] = np.nan
    return features


@cache
def heavy_blob(schema_hash: str | None = columns_hash(COLUMNS)) -> bytes:
    """A .cbm of 20 trees over SCHEMA, fitted on 500 rows that like the first column."""
    features = rows_of(500)
    labels = (features[:, 0] + np.nan_to_num(features[:, 4]) > 0.5).astype(np.float32)
    metadata = {} if schema_hash is None else {SCHEMA_KEY: schema_hash}
    trees = CatBoost(
        {
            "loss_function": "Logloss",
            "iterations": 20,
            "depth": 4,
            "learning_rate": 0.2,
            "thread_count": 1,
            "logging_level": "Silent",
            "allow_writing_files": False,
            "metadata": metadata,
        }
    )
    trees.fit(Pool(features, labels, feature_names=list(COLUMNS)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heavy.cbm"
        trees.save_model(str(path))
        return path.read_bytes()


def light_model(columns: tuple[str, ...] = COLUMNS) -> LightModel:
    curves = (
        Curve(columns[0], knots=(-2.0, 0.0, 2.0), steps=(1.0, 2.0)),
        Curve(columns[4], knots=(-1.0, 1.0), steps=(0.5,), missing=-0.25),
    )
    return LightModel(columns, bias=-1.0, curves=curves)


def publish(storage: Path, *, features: FeatureSchema = SCHEMA, **models: bytes) -> Generation:
    """A generation "g1" without shards' files: light and heavy are the contents of the model files, left out if not given."""
    with GenerationWriter(storage, "g1") as writer:
        for name, file in (("light", LIGHT_FILE), ("heavy", HEAVY_FILE)):
            if name in models:
                writer.path_for(file).write_bytes(models[name])
        return writer.publish(spec_of(features), shards=[{}, {}])
