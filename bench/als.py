"""How good are the vectors and the item-item weights, on splits with published figures?

All items outside train are ranked for every test user (`bench/tools/quality.py`); one fit a system with seed 0, `fit_s` its
wall-clock seconds. `oskolok:ease top 200` is what is served: of each item's weights the 200 largest. `implicit` runs with the
settings that its published or reproduced row names, where there is one. How our settings were found, on validation pairs
taken from train alone, and the published rows are in docs/als.md.

    python -m bench.als [--quick] [--json FILE] [--only TEXT] [--shared FOLDER]

--quick runs the first two cases. The largest case, gowalla d=1024, is the best single source there and takes two minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import implicit
import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from bench.tools.harness import Bench, Metrics, Repeat
from bench.tools.quality import Score, Split, by_factors, by_weights, citeulike_a, gowalla, mcrec, quality
from bench.tools.row import Row
from cluster.config.train import AlsSection
from train.lists.ease import EaseSettings, ease_lists, ease_weights
from train.vectors import als
from train.vectors.confidence import confidences

RECALLS = tuple(f"recall@{k}" for k in (50, 100, 150, 200, 250, 300))
GOWALLA = ("recall@20", "ndcg@20", "recall@50")


@dataclass(frozen=True, slots=True)
class Peer:
    """Settings of implicit's ALS. confidence: of an observed pair, where unobserved ones have 1."""

    dim: int
    confidence: float
    regularization: float
    iterations: int


@dataclass(frozen=True, slots=True)
class Case:
    """ease: None where the catalogue is too large for the weights of all items."""

    load: Callable[[Path], Split]
    metrics: tuple[str, ...]
    ials: AlsSection
    ease: EaseSettings | None = None
    peer: Peer | None = None


def _ials(
    dim: int, n_sweeps: int, *, regularization: float, unobserved_weight: float, exponents: tuple[float, float]
) -> AlsSection:
    """exponents: of frequency, of popularity."""
    return AlsSection(
        dim=dim,
        n_sweeps=n_sweeps,
        regularization=regularization,
        unobserved_weight=unobserved_weight,
        frequency_exponent=exponents[0],
        popularity_exponent=exponents[1],
        solver="cg",
    )


CASES = {
    "mcrec": Case(
        mcrec,
        ("p@10", "r@10"),
        _ials(64, 8, regularization=0.08, unobserved_weight=0.2, exponents=(0.75, 0)),
        EaseSettings(regularization=200, dropout=0.4, user_exponent=0.25),
        Peer(32, 2, 10, 15),
    ),
    "citeulike-a": Case(
        citeulike_a,
        RECALLS,
        _ials(64, 60, regularization=0.02, unobserved_weight=0.001, exponents=(1, 0.4)),
        EaseSettings(regularization=50, dropout=0.4, user_exponent=0.25),
        Peer(50, 1 + 50 * float(np.log1p(1000)), 1e-5, 60),
    ),
    "gowalla d=64": Case(gowalla, GOWALLA, _ials(64, 3, regularization=0.01, unobserved_weight=0.02, exponents=(0.75, 0.35))),
    "gowalla d=256": Case(gowalla, GOWALLA, _ials(256, 4, regularization=0.01, unobserved_weight=0.03, exponents=(0.75, 0.35))),
    "gowalla d=512": Case(gowalla, GOWALLA, _ials(512, 4, regularization=0.01, unobserved_weight=0.03, exponents=(0.75, 0.35))),
    "gowalla d=1024": Case(
        gowalla, GOWALLA, _ials(1024, 4, regularization=0.01, unobserved_weight=0.03, exponents=(0.75, 0.35))
    ),
}


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("OSKOLOK_SHARED", "../shared")))
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("als", packages=("numpy", "scipy", "implicit"), argv=rest)
    names = bench.size(full=list(CASES), quick=list(CASES)[:2])
    for name in names:
        if bench.wants(name):
            case = CASES[name]
            split = case.load(options.shared)
            bench.run(name, _systems(case, split), repeats=1, warmups=0)


def markdown(rows: Sequence[Row], case: str) -> str:
    """A case's rows as lines of a table: the system, its metrics, seconds of the fit."""
    _, *dim = case.split(" ")
    mine = [row for row in rows if row.case == case]
    return "\n".join(f"| `{' '.join([row.system, *dim])}` | {' | '.join(map(_cell, row.metrics.items()))} |" for row in mine)


def _cell(metric: tuple[str, float]) -> str:
    name, value = metric
    return f"{value:.1f} s" if name == "fit_s" else f"{value:.4f}".removeprefix("0")


def _systems(case: Case, split: Split) -> dict[str, Repeat]:
    systems: dict[str, Repeat] = {"oskolok:ials": lambda: _measure(lambda: _fit_ials(case.ials, split), split, case.metrics)}
    ease, peer = case.ease, case.peer
    if ease:
        systems["oskolok:ease"] = lambda: _measure(lambda: _fit_ease(ease, split), split, case.metrics)
        systems[f"oskolok:ease top {ease.top}"] = lambda: _measure(
            lambda: by_weights(split.train, ease_lists(split.train, ease).matrix()), split, case.metrics
        )
    if peer:
        systems["implicit"] = lambda: _measure(lambda: _fit_peer(peer, split), split, case.metrics)
    return systems


def _measure(fit: Callable[[], Score], split: Split, metrics: Sequence[str]) -> Metrics:
    began = time.perf_counter()
    score = fit()
    fit_s = time.perf_counter() - began
    return quality(score, split, metrics) | {"fit_s": fit_s}


def _fit_ials(section: AlsSection, split: Split) -> Score:
    factors = als.fit(confidences(split.train, section), section, seed=0)
    return by_factors(factors.users, factors.items)


def _fit_ease(settings: EaseSettings, split: Split) -> Score:
    """All weights, of all items that anybody has; the others are ranked last, as they are when they have no list."""
    have = np.flatnonzero(np.bincount(split.train.indices, minlength=split.train.shape[1]))
    train = split.train[:, have]
    weights = ease_weights(train, settings).rows(slice(None))

    def score(users: np.ndarray) -> np.ndarray:
        scores = np.full((len(users), split.train.shape[1]), np.float32(-1e9))
        scores[:, have] = train[users] @ weights
        return scores

    return score


def _fit_peer(peer: Peer, split: Split) -> Score:
    with threadpool_limits(1, "blas"):  # as implicit asks for: its own threads do the work
        model = implicit.als.AlternatingLeastSquares(
            factors=peer.dim, regularization=peer.regularization, iterations=peer.iterations, random_state=0
        )
        model.fit(sparse.csr_matrix(split.train * np.float32(peer.confidence)), show_progress=False)
    return by_factors(model.user_factors, model.item_factors)


if __name__ == "__main__":
    main(sys.argv[1:])
