"""How long does ALS take to reach a loss, beside the library `implicit`, and how does its time grow with the events?

Both minimise the same loss, that of Hu et al., on Gowalla, with as many threads as there are cores. The loss to reach is the
one `implicit` has after its default 15 iterations from seed 0; a run ends with the first sweep at or below it, and only sweeps
are timed, not the loss. `oskolok` and `implicit` both solve rows by three steps of conjugate gradients, `implicit`'s default;
`oskolok:exact` and `implicit:exact` solve them exactly and go for the loss of 5 such iterations. BLAS has one thread in all of
them, as `implicit` asks for. Each begins with random vectors of its own, ours of length 1, implicit's uniform up to .01, and
`implicit:our start` with ours.

    python -m bench.als_speed [--quick] [--json FILE] [--only TEXT] [--shared FOLDER]

--quick leaves out 256 dimensions and the exact solvers. Cases named by a share of the events take the events of that share of
the users, drawn at random, and time sweeps alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import implicit
import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from bench.tools.harness import Bench, Metrics, Repeat
from bench.tools.quality import gowalla
from bench.tools.row import OURS
from cluster.config.train import AlsSection
from train.vectors import als
from train.vectors.als import Factors
from train.vectors.row_blocks import Matrix

INIT_LENGTH = 1.0  # about as long as the vectors become: dim 256 needs 5 sweeps instead of 17 at the default of 0.1
CONFIDENCE, REGULARIZATION = 100.0, 1.0  # about what ranks best among losses of this form
SHARES = {"10% of the events": 0.1, "30% of the events": 0.3, "100% of the events": 1.0}
N_SWEEPS_TIMED = 3
SWEEPS_MAX = 60

Sweeps = Callable[[sparse.csr_array], Iterator[Factors]]
Start = Callable[[tuple[int, int], int], tuple[Matrix, Matrix]]


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("OSKOLOK_SHARED", "../shared")))
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("als_speed", packages=("numpy", "scipy", "implicit"), argv=rest)
    extra = sparse.csr_array(gowalla(options.shared).train * np.float32(CONFIDENCE))  # beyond the 1 of every pair
    repeats = bench.size(full=3, quick=1)
    with threadpool_limits(1, "blas"):
        for dim in bench.size(full=(64, 256), quick=(64,)):
            _to_equal_loss(bench, f"gowalla d={dim}", extra, dim, repeats)
        if not bench.quick:
            _to_equal_loss_exactly(bench, "gowalla d=64 exact", extra, 64, repeats)
        for name, share in SHARES.items():
            _growth(bench, f"d=64, {name}", extra, share, repeats)


def _to_equal_loss(bench: Bench, case: str, extra: sparse.csr_array, dim: int, repeats: int) -> None:
    if bench.wants(case):
        goal = _loss_after(_theirs(dim, use_cg=True), extra, 15, dim)
        systems = {
            OURS: _ours(dim, "cg"),
            "implicit": _theirs(dim, use_cg=True),
            "implicit:our start": _theirs(dim, use_cg=True, start=_our_start),
        }
        bench.run(case, _timed_to(goal, systems, extra, dim), repeats=repeats, warmups=0)


def _to_equal_loss_exactly(bench: Bench, case: str, extra: sparse.csr_array, dim: int, repeats: int) -> None:
    if bench.wants(case):
        goal = _loss_after(_theirs(dim, use_cg=False), extra, 5, dim)
        systems = {
            f"{OURS}:exact": _ours(dim, "exact"),
            "implicit:exact": _theirs(dim, use_cg=False),
            "implicit:exact, our start": _theirs(dim, use_cg=False, start=_our_start),
        }
        bench.run(case, _timed_to(goal, systems, extra, dim), repeats=repeats, warmups=0)


def _growth(bench: Bench, case: str, extra: sparse.csr_array, share: float, repeats: int) -> None:
    if not bench.wants(case):
        return
    n_users = extra.shape[0]
    some = np.sort(np.random.default_rng(0).choice(n_users, round(share * n_users), replace=False))
    part = sparse.csr_array(extra[some])
    systems = {OURS: _ours(64, "cg"), "implicit": _theirs(64, use_cg=True)}

    def repeat(sweeps: Sweeps) -> Metrics:
        per_sweep = min(seconds for seconds, _ in _timed(sweeps, part, N_SWEEPS_TIMED))
        return {"sweep_ms": per_sweep * 1e3, "us_per_event": per_sweep / part.nnz * 1e6}

    bench.run(case, {name: lambda sweeps=sweeps: repeat(sweeps) for name, sweeps in systems.items()}, repeats=repeats)


def _timed_to(goal: float, systems: dict[str, Sweeps], extra: sparse.csr_array, dim: int) -> dict[str, Repeat]:
    """For each system a repeat that sweeps until its loss is at most `goal`."""
    section = _section(dim, "cg")

    def repeat(sweeps: Sweeps) -> Metrics:
        total_s, n_sweeps, loss = 0.0, 0, np.inf
        for seconds, factors in _timed(sweeps, extra, SWEEPS_MAX):
            total_s, n_sweeps, loss = total_s + seconds, n_sweeps + 1, als.loss(extra, factors, section)
            if loss <= goal:
                break
        assert loss <= goal, f"loss {loss:.6g} after {n_sweeps} sweeps, wanted {goal:.6g}"
        return {"fit_s": total_s, "sweeps": n_sweeps, "sweep_ms": total_s / n_sweeps * 1e3, "loss": loss}

    return {name: lambda sweeps=sweeps: repeat(sweeps) for name, sweeps in systems.items()}


def _timed(sweeps: Sweeps, extra: sparse.csr_array, n: int) -> Iterator[tuple[float, Factors]]:
    """Seconds and factors of each of n sweeps. What is done once before the first belongs to the first."""
    began = time.perf_counter()
    for _, factors in zip(range(n), sweeps(extra), strict=False):
        yield time.perf_counter() - began, factors
        began = time.perf_counter()


def _loss_after(sweeps: Sweeps, extra: sparse.csr_array, n: int, dim: int) -> float:
    *_, last = (factors for _, factors in _timed(sweeps, extra, n))
    return als.loss(extra, last, _section(dim, "cg"))


def _section(dim: int, solver: str) -> AlsSection:
    return AlsSection(
        dim=dim,
        regularization=REGULARIZATION,
        unobserved_weight=1.0,
        frequency_exponent=0.0,
        init_length=INIT_LENGTH,
        observed="replaces",
        solver=solver,
    )


def _ours(dim: int, solver: str) -> Sweeps:
    return lambda extra: als.sweeps(extra, _section(dim, solver), seed=0)


def _theirs(dim: int, *, use_cg: bool, start: Start | None = None) -> Sweeps:
    def sweeps(extra: sparse.csr_array) -> Iterator[Factors]:
        """What `fit` of the library does, step by step, to look at the factors between its iterations."""
        model = implicit.als.AlternatingLeastSquares(factors=dim, regularization=REGULARIZATION, use_cg=use_cg)
        confidence = sparse.csr_matrix(extra)
        confidence.data = confidence.data + np.float32(1)
        transposed = confidence.T.tocsr()
        users, items = (start or _their_start)(confidence.shape, dim)
        while True:
            model.solver(confidence, users, items, REGULARIZATION, num_threads=model.num_threads)
            model.solver(transposed, items, users, REGULARIZATION, num_threads=model.num_threads)
            yield Factors(users, items)

    return sweeps


def _their_start(shape: tuple[int, int], dim: int) -> tuple[Matrix, Matrix]:
    random = np.random.RandomState(0)
    users, items = (random.uniform(size=(n, dim)).astype(np.float32) * np.float32(0.01) for n in shape)
    return users, items


def _our_start(shape: tuple[int, int], dim: int) -> tuple[Matrix, Matrix]:
    items = np.random.default_rng(0).standard_normal((shape[1], dim), np.float32)
    return np.zeros((shape[0], dim), np.float32), items * np.float32(INIT_LENGTH / np.sqrt(dim))


if __name__ == "__main__":
    main(sys.argv[1:])
