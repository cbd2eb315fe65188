"""Fits of ALS that do not begin at random: a killed one goes on from its last kept sweep, a new one from earlier vectors.

A fit's state is its factors, so both are `sweeps(start=...)` (`train/vectors/als.py`). A fit that was killed ends with the same
bits as one that was not. One that begins from earlier vectors ends elsewhere than one from scratch, with as good a loss after
fewer sweeps; from time to time everything should be fitted from scratch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.train import AlsSection
from cluster.sorted_keys import positions_in
from train.vectors.als import Factors, sweeps
from train.vectors.row_blocks import Matrix

Keys = NDArray[np.int64]

_KEPT, _ROWS = "sweep.npz", "rows.npz"
_KEEP_EVERY_S = 60.0


def fit_resumable(
    confidence: sparse.csr_array,
    section: AlsSection,
    *,
    seed: int,
    kept: Path | None,
    start: Factors | None = None,
    on_sweep: Callable[[int], None] = lambda sweep: None,
    every_s: float = _KEEP_EVERY_S,
    clock: Callable[[], float] = time.monotonic,
) -> Factors:
    """As `als.fit`. Whenever `every_s` seconds have passed, the factors so far go to the folder `kept`, and a later call with
    the same arguments goes on from there. Without a folder nothing is kept.
    """
    found = _load(kept) if kept else None
    done, begin = found or (0, start)
    if done:
        on_sweep(done)
    kept_at = clock()
    for sweep, factors in enumerate(sweeps(confidence, section, seed=seed, start=begin), start=done + 1):
        on_sweep(sweep)
        if sweep >= section.n_sweeps:
            return factors
        if kept and clock() - kept_at >= every_s:
            _keep(kept, sweep, factors)
            kept_at = clock()
    raise AssertionError("sweeps end only with their caller")


@dataclass(frozen=True, slots=True, eq=False)
class FactorRows:
    """Whose rows some factors are. as_of: Unix seconds, the moment they were fitted at.  users, items: (n,) int64 keys."""

    as_of: int
    users: Keys
    items: Keys

    def carry(self, factors: Factors, new: FactorRows) -> Factors:
        """The factors of these rows as a start for others; zeros for a user or an item that was not there."""
        users, items = carried(factors.users, self.users, new.users), carried(factors.items, self.items, new.items)
        return Factors(users, items)

    def save(self, folder: Path) -> None:
        np.savez(folder / _ROWS, as_of=self.as_of, users=self.users, items=self.items)

    @classmethod
    def load(cls, folder: Path) -> FactorRows | None:
        """None if none were saved there."""
        if not (folder / _ROWS).exists():
            return None
        with np.load(folder / _ROWS) as kept:
            return cls(int(kept["as_of"]), kept["users"], kept["items"])


def carried(vectors: Matrix, old: Keys, new: Keys) -> Matrix:
    """Rows for `new` (m,) keys: that of the same key of `old` (n,) in (n, dim) `vectors`, zeros where there is none.

    >>> carried(np.eye(2, dtype=np.float32), np.array([7, 3]), np.array([3, 5, 7])).tolist()
    [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    rows = np.zeros((len(new), vectors.shape[1]), np.float32)
    order = np.argsort(old)
    at, is_there = positions_in(old[order], new)
    rows[is_there] = vectors[order[at[is_there]]]
    return rows


def _keep(folder: Path, sweep: int, factors: Factors) -> None:
    folder.mkdir(exist_ok=True)
    aside = folder / f"next-{_KEPT}"
    np.savez(aside, sweep=sweep, users=factors.users, items=factors.items)
    aside.rename(folder / _KEPT)


def _load(folder: Path) -> tuple[int, Factors] | None:
    path = folder / _KEPT
    if not path.exists():
        return None
    with np.load(path) as kept:
        return int(kept["sweep"]), Factors(kept["users"], kept["items"])
