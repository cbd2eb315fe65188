"""The heavy model: CatBoost's trees over the candidates the light one liked best. Reads models/heavy.cbm, trains nothing.

A .cbm is parsed by C++ that trusts it (half a file made it read past the end of the buffer), so `from_bytes` must only ever see
bytes whose hash was checked, as `cluster.generation.Generation.verified` does.

Measured for 300 trees of depth 6 over 24 columns on one core: 75 us a call, 30 us of them in CatBoost's own Python, and 0.35 us
a row from a column-major matrix: 0.11 ms for 100 rows, 0.6 ms for 1,600. A row-major one costs twice that, thread_count=2 up
to ten times. `predict` releases the GIL and may run in several threads, and a row's score does not depend on its neighbours,
to the last bit.
"""

from __future__ import annotations

import numpy as np
from catboost import CatBoost, CatBoostError

from cluster.errors import GenerationCorrupt, InternalError, SchemaMismatch
from cluster.spec import columns_hash
from cluster.types import Floats
from ranker.features import Features

SCHEMA_KEY = "oskolok.schema_hash"


class HeavyModel:
    """A `Model` over a loaded CatBoost model."""

    def __init__(self, trees: CatBoost) -> None:
        """Raises SchemaMismatch if it does not carry the hash of its own columns, CatBoostError if it cannot score floats.

        Scores two rows, because CatBoost prepares its evaluator at the first call.
        """
        self.columns: tuple[str, ...] = tuple(trees.feature_names_)
        stored = dict(trees.get_metadata()).get(SCHEMA_KEY, "none")
        if stored != columns_hash(self.columns):
            raise SchemaMismatch(f"heavy model has schema {stored}, its columns {columns_hash(self.columns)}")
        self._trees = trees
        probe = self._predict(np.zeros((len(self.columns), 2), np.float32).T)
        if probe.shape != (2,):
            raise CatBoostError(f"it gives {probe.shape} scores for 2 rows")

    @classmethod
    def from_bytes(cls, content: bytes) -> HeavyModel:
        """Raises GenerationCorrupt if CatBoost cannot read it, SchemaMismatch as above."""
        trees = CatBoost()
        try:
            trees.load_model(blob=content)
            return cls(trees)
        except CatBoostError as error:
            raise GenerationCorrupt(f"heavy model cannot be read: {str(error).splitlines()[0]}") from None

    def score(self, features: Features) -> Floats:
        """(m,) float32 raw scores from (m, n_columns) float32, column-major if it is to be fast. See `Model`."""
        if len(features) == 0:
            return np.empty(0, np.float32)
        try:
            return self._predict(features).astype(np.float32)
        except CatBoostError as error:
            raise InternalError(f"heavy model failed on {features.shape} features: {error}") from None

    def _predict(self, features: Features) -> np.ndarray:
        scores: np.ndarray = self._trees.predict(np.asfortranarray(features), prediction_type="RawFormulaVal", thread_count=1)
        return scores
