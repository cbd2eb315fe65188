"""Fits heavy models: CatBoost's oblivious trees, which it evaluates fastest, written so that the ranker can check them.

A model is fitted to all its trees; where it stood after every few of them is then looked up on rows of a later moment, and the
best prefix is kept. So one number, ndcg@10 as it is judged everywhere else, decides about trees and losses alike, and the curve
of it is there to be shown. Logloss asks of each row whether it was bought; QuerySoftMax which row of a request was, as one
choice among all; YetiRank (Gulin et al. 2011) and LambdaMart (Burges 2010) ask of pairs which should stand first. CatBoost has
QueryCrossEntropy on GPUs only. The file carries the hash of the schema, and the same rows, seed and settings give the same
bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from catboost import CatBoost, Pool
from numpy.typing import NDArray

from cluster.config import RankTrainSection
from cluster.spec import columns_hash
from cluster.train_sections import Loss
from ranker.features import Features
from ranker.heavy import SCHEMA_KEY
from train.metrics import ndcg_at_k

Rows = tuple[Features, NDArray[np.float32], NDArray[np.integer]]

N_THREADS = 2
CURVE_TREES = 10
K = 10


@dataclass(frozen=True, slots=True)
class FittedHeavy:
    """blob: the content of models/heavy.cbm.  n_rows, n_positive: what it learnt from.

    importances: (column, its share in per cent of what moves the score), largest first.  curve: (number of trees, ndcg@10 on
    the rows learnt from, the same on validation rows), empty without those.
    """

    blob: bytes
    n_trees: int
    n_rows: int
    n_positive: int
    importances: tuple[tuple[str, float], ...]
    curve: tuple[tuple[int, float, float], ...] = ()


def fit_heavy(
    features: Features,
    labels: NDArray[np.float32],
    groups: NDArray[np.integer],
    columns: Sequence[str],
    *,
    section: RankTrainSection,
    seed: int,
    loss: Loss = "Logloss",
    validation: Rows | None = None,
    on_tree: Callable[[int], None] = lambda n_trees: None,
) -> FittedHeavy:
    """Trees from features (n, n_columns) float32 with NaN for missing, labels (n,) of 0 and 1, and groups (n,).

    groups: equal for the rows of one request, which stand together.  validation: the same of a later moment, by which the
    number of trees is chosen; None keeps section.n_trees.  `on_tree` is told how many there are.
    """
    learning: Rows = (features, labels, groups)
    trees = CatBoost(
        {
            **settings_of(loss),
            "iterations": section.n_trees,
            "depth": section.depth,
            "learning_rate": section.learning_rate,
            "random_seed": seed,
            "thread_count": N_THREADS,
            "metadata": {SCHEMA_KEY: columns_hash(tuple(columns))},
            "logging_level": "Silent",
            "allow_writing_files": False,
        }
    )
    pool = _pool(learning, columns)
    trees.fit(pool, callbacks=[_Progress(on_tree)])
    curve = _curve(trees, learning, validation) if validation is not None and validation[1].any() else ()
    if curve:
        trees.shrink(max(curve, key=lambda point: point[2])[0])
    shares = np.asarray(trees.get_feature_importance(type="PredictionValuesChange"))
    return FittedHeavy(
        blob=_bytes_of(trees),
        n_trees=int(trees.tree_count_),
        n_rows=len(labels),
        n_positive=int(np.count_nonzero(labels)),
        importances=tuple((columns[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")),
        curve=curve,
    )


def settings_of(loss: Loss) -> dict[str, object]:
    """What CatBoost is told beside the configuration: half its defaults' time and less, for the same ndcg@10 within 0.003.

    Fewer steps to a leaf's value (10 for Logloss and 100 for QuerySoftMax), fewer orders drawn for YetiRank (10), fewer
    borders of a column (254).
    """
    steps = {"Logloss": 1, "QuerySoftMax": 10}
    fitted = {"leaf_estimation_iterations": steps[loss]} if loss in steps else {}
    return {"loss_function": "YetiRank:permutations=4" if loss == "YetiRank" else loss, "border_count": 64, **fitted}


class _Progress:
    """CatBoost's callback protocol."""

    def __init__(self, on_tree: Callable[[int], None]) -> None:
        self._on_tree = on_tree

    def after_iteration(self, info: SimpleNamespace) -> bool:
        self._on_tree(info.iteration)
        return True


def _curve(trees: CatBoost, learning: Rows, validation: Rows) -> tuple[tuple[int, float, float], ...]:
    """A point every CURVE_TREES trees, and one for all of them."""
    n_trees = int(trees.tree_count_)
    stops = [min(at, n_trees) for at in range(CURVE_TREES, n_trees + CURVE_TREES, CURVE_TREES)]
    learnt, later = (_ndcgs(trees, rows) for rows in (learning, validation))
    return tuple(zip(stops, learnt, later, strict=True))


def _ndcgs(trees: CatBoost, rows: Rows) -> list[float]:
    features, labels, groups = rows
    starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1], [True])))
    staged = trees.staged_predict(
        np.asfortranarray(features), prediction_type="RawFormulaVal", eval_period=CURVE_TREES, thread_count=N_THREADS
    )
    return [ndcg_at_k(scores, labels, starts, K) for scores in staged]


def _pool(rows: Rows, columns: Sequence[str]) -> Pool:
    features, labels, groups = rows
    assert features.shape == (len(labels), len(columns)), (
        f"{features.shape} features, {len(labels)} labels, {len(columns)} columns"
    )
    return Pool(np.asfortranarray(features), labels, group_id=np.asarray(groups, np.int64), feature_names=list(columns))


def _bytes_of(trees: CatBoost) -> bytes:
    """The .cbm, without the moment and the random id that CatBoost writes into it. It writes to paths only."""
    metadata = trees.get_metadata()
    metadata["train_finish_time"] = metadata["model_guid"] = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heavy.cbm"
        trees.save_model(str(path))
        return path.read_bytes()
