"""Fits heavy models: CatBoost's oblivious trees, which it evaluates fastest, written so that the ranker can check them.

A model is fitted with all its trees. Its ndcg@10 after every few trees is then measured on rows of a later moment, user by
user, so that these users can choose the number of trees (`train/rank/choice.py`); the same metric chooses the loss. Logloss
predicts whether a row was bought; QuerySoftMax which row of a request was, as a choice among all of them; YetiRank (Gulin et
al. 2011) and LambdaMart (Burges 2010) which row of a pair comes first. CatBoost has QueryCrossEntropy on GPUs only. The file
carries the hash of the schema, and the same rows, seed and settings give the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from catboost import CatBoost, Pool
from numpy.typing import NDArray

from cluster.config.train import Loss, RankTrainSection
from cluster.spec import columns_hash
from ranker.features import Features
from ranker.heavy import SCHEMA_KEY
from train.rank.choice import Curve
from train.rank.metrics import per_group

Examples = tuple[Features, NDArray[np.float32], NDArray[np.integer]]
"""Features, labels and groups, a row each."""

N_THREADS = 2
CURVE_TREES = 10
K = 10

_BLOB, _FACTS = "heavy.cbm", "fit.npz"
_COUNTS = ("n_trees", "n_rows", "n_positive")


@dataclass(frozen=True, slots=True)
class FittedHeavy:
    """blob: the content of models/heavy.cbm.  n_rows, n_positive: of the rows it is fitted to.  curve: of its prefixes; without
    points if there are no validation rows.
    """

    blob: bytes
    n_trees: int
    n_rows: int
    n_positive: int
    curve: Curve

    @property
    def importances(self) -> tuple[tuple[str, float], ...]:
        """(column, its share in per cent of what moves the score), largest first."""
        trees = CatBoost().load_model(blob=self.blob)
        shares = np.asarray(trees.get_feature_importance(type="PredictionValuesChange"))
        return tuple((trees.feature_names_[i], float(shares[i])) for i in np.argsort(-shares, kind="stable"))

    def first(self, n_trees: int) -> FittedHeavy:
        """The model of the first n_trees."""
        trees = CatBoost().load_model(blob=self.blob)
        trees.shrink(n_trees)
        return replace(self, blob=_bytes_of(trees), n_trees=n_trees)

    def save(self, folder: Path) -> None:
        (folder / _BLOB).write_bytes(self.blob)
        np.savez(folder / _FACTS, **{name: getattr(self, name) for name in _COUNTS}, **asdict(self.curve))

    @classmethod
    def load(cls, folder: Path) -> FittedHeavy:
        with np.load(folder / _FACTS) as facts:
            counts = {name: int(facts[name]) for name in _COUNTS}
            curve = Curve(facts["stops"], facts["learnt"], facts["later"])
        return cls((folder / _BLOB).read_bytes(), curve=curve, **counts)


def fit_heavy(
    features: Features,
    labels: NDArray[np.float32],
    groups: NDArray[np.integer],
    columns: Sequence[str],
    *,
    section: RankTrainSection,
    seed: int,
    loss: Loss = "Logloss",
    validation: Examples | None = None,
    n_relevant: NDArray[np.int64] | None = None,
    on_tree: Callable[[int], None] = lambda n_trees: None,
) -> FittedHeavy:
    """Trees from features (n, n_columns) float32 with NaN for missing, labels (n,) of 0 and 1, and groups (n,).

    groups: equal for the rows of a request, which are adjacent.  validation: the same of a later moment, for the curve.
    n_relevant: (g,) of its groups, if the rows are not all of the candidates.  on_tree: called with the number of trees.
    """
    learning: Examples = (features, labels, groups)
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
    return FittedHeavy(
        blob=_bytes_of(trees),
        n_trees=int(trees.tree_count_),
        n_rows=len(labels),
        n_positive=int(np.count_nonzero(labels)),
        curve=Curve.without_points() if validation is None else _curve(trees, learning, validation, n_relevant),
    )


def settings_of(loss: Loss) -> dict[str, object]:
    """CatBoost's parameters that the configuration does not set, for half of its defaults' time or less.

    Fewer steps to a leaf's value (from 10 for Logloss, 100 for QuerySoftMax), fewer permutations for YetiRank (from 10), fewer
    borders of a column (from 254), and for Logloss a draw of the columns at each level (from all).
    """
    fitted: dict[Loss, dict[str, object]] = {
        "Logloss": {"leaf_estimation_iterations": 3, "rsm": 0.3},
        "QuerySoftMax": {"leaf_estimation_iterations": 10},
        "YetiRank": {"loss_function": "YetiRank:permutations=4"},
    }
    return {"loss_function": loss, "border_count": 64, **fitted.get(loss, {})}


class _Progress:
    """CatBoost's callback protocol."""

    def __init__(self, on_tree: Callable[[int], None]) -> None:
        self._on_tree = on_tree

    def after_iteration(self, info: SimpleNamespace) -> bool:
        self._on_tree(info.iteration)
        return True


def _curve(trees: CatBoost, learning: Examples, validation: Examples, n_relevant: NDArray[np.int64] | None) -> Curve:
    """A point every CURVE_TREES trees, and one for all of them."""
    n_trees = int(trees.tree_count_)
    stops = np.array([min(at, n_trees) for at in range(CURVE_TREES, n_trees + CURVE_TREES, CURVE_TREES)])
    learnt = _ndcgs(trees, learning)
    later = _ndcgs(trees, validation, n_relevant) if len(validation[1]) else np.empty((len(stops), 0))
    return Curve(stops, learnt, later)


def _ndcgs(trees: CatBoost, rows: Examples, n_relevant: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """(n_points, n_groups), NaN for a group without anything relevant."""
    features, labels, groups = rows
    starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1], [True])))
    staged = trees.staged_predict(
        np.asfortranarray(features), prediction_type="RawFormulaVal", eval_period=CURVE_TREES, thread_count=N_THREADS
    )
    return np.stack([per_group(scores, labels, starts, K, n_relevant=n_relevant).ndcg for scores in staged])


def _pool(rows: Examples, columns: Sequence[str]) -> Pool:
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
