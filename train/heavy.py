"""Fits the heavy model: CatBoost's trees on grouped candidates (see `ranker/heavy.py` for how they are scored).

The last tenth of the groups is held out to decide how many trees are worth keeping. Rows of a group are one request's
candidates, so a ranking loss compares only what could have stood in the same slate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from catboost import CatBoost, Pool
from numpy.typing import NDArray

from cluster.config import RankTrainSection
from cluster.spec import columns_hash
from ranker.features import Features
from ranker.heavy import SCHEMA_KEY

Loss = Literal["Logloss", "YetiRank", "QueryCrossEntropy"]

THREADS = 2
_HELD_OUT_SHARE = 0.1
_PATIENCE_TREES = 50


@dataclass(frozen=True, slots=True)
class FittedHeavy:
    """blob: the content of models/heavy.cbm.  importances: column -> share of 100, largest first."""

    blob: bytes
    n_trees: int
    loss: Loss
    importances: dict[str, float]


def fit_heavy(
    features: Features,
    labels: NDArray[np.float32],
    groups: NDArray[np.integer],
    columns: Sequence[str],
    *,
    section: RankTrainSection,
    seed: int,
    loss: Loss = "Logloss",
    on_tree: Callable[[int], None] = lambda n_trees: None,
) -> FittedHeavy:
    """The model of features (n, n_columns) float32 with NaN for missing, and labels (n,) in {0, 1}.

    groups: (n,), equal for the rows of one request, which lie together. on_tree is told how many trees there are. The same
    input, seed and number of threads give the same trees.
    """
    assert features.shape == (len(labels), len(columns)), (
        f"features {features.shape}, {len(labels)} labels, {len(columns)} columns"
    )
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    ids = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(groups))))
    n_fit = max(1, round(len(starts) * (1 - _HELD_OUT_SHARE)))
    cut = int(starts[n_fit]) if n_fit < len(starts) else len(labels)
    held_out = _pool(features[cut:], labels[cut:], ids[cut:], columns) if 0 < labels[cut:].sum() < len(labels) - cut else None
    model = CatBoost(
        {
            "loss_function": loss,
            "eval_metric": "NDCG:top=10;type=Base" if loss == "YetiRank" else loss,
            "iterations": section.n_trees,
            "depth": section.depth,
            "learning_rate": section.learning_rate,
            "random_seed": seed,
            "thread_count": THREADS,
            "allow_writing_files": False,
            "logging_level": "Silent",
            "metadata": {SCHEMA_KEY: columns_hash(tuple(columns))},
        }
    )
    model.fit(
        _pool(features[:cut], labels[:cut], ids[:cut], columns),
        eval_set=held_out,
        use_best_model=held_out is not None,
        early_stopping_rounds=_PATIENCE_TREES if held_out is not None else None,
        callbacks=[_Watch(on_tree)],
    )
    importances = sorted(zip(columns, model.get_feature_importance(), strict=True), key=lambda pair: -pair[1])
    return FittedHeavy(_serialised(model), int(model.tree_count_), loss, {name: float(share) for name, share in importances})


class _Watch:
    """CatBoost's callback protocol."""

    def __init__(self, on_tree: Callable[[int], None]) -> None:
        self._on_tree = on_tree

    def after_iteration(self, state: Any) -> bool:
        self._on_tree(state.iteration)
        return True


def _pool(features: Features, labels: NDArray[np.float32], ids: NDArray[np.intp], columns: Sequence[str]) -> Pool:
    return Pool(np.asarray(features), labels, group_id=ids, feature_names=list(columns))


def _serialised(model: CatBoost) -> bytes:
    """The .cbm, without what CatBoost writes of the moment and of this very object: the same trees are the same bytes."""
    metadata = model.get_metadata()
    for key in ("train_finish_time", "model_guid"):
        metadata[key] = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heavy.cbm"
        model.save_model(str(path), format="cbm")
        return path.read_bytes()
