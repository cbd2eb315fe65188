"""What the ranker asks of a model, whichever phase it serves: a score for every row of a feature matrix."""

from __future__ import annotations

from typing import Protocol

from cluster.types import Floats
from ranker.features import Features


class Model(Protocol):
    """Immutable once made. A row's score depends on that row alone, to the last bit, so rows may be batched at will."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it reads, in order."""
        ...

    def score(self, features: Features) -> Floats:
        """(m,) float32 from (m, n_columns) float32 in which NaN means missing. Higher is better."""
        ...
