"""Fits the light model: a logistic regression over piecewise-linear curves, one per column (see `ranker/light.py`).

Knots are quantiles of the column among its present values, half of the weight on positive rows and half on negative ones:
orders are decided where the positives are, and plain quantiles spend most knots elsewhere. A Gaussian prior keeps every value
small and, above all, every step like the one before it, so that few rows give straight lines and many give curves. Newton's
method finds the maximum in a few passes over the rows, in blocks, so memory does not grow with them. A block is float32,
which halves the time; what is summed over blocks is float64.

Measured before N_ROWS_MAX was halved, on Complete Journey's candidates (590,560 rows, judged four weeks later), ndcg@10 and,
since that is what the heavy model gets to see, recall@100: .375 and .679; with 16 steps a curve .378 and .681; without the
prior's second part .370 and .677; with positive rows weighted up, as is usual for rare labels, .365 and .678; distilled from
the heavy model .379 and .680.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import expit

from ranker.features import Features
from ranker.light import Curve, LightModel
from train.threads import on_threads

N_STEPS = 8
PRIOR_STD = 1.0  # of a step's log-odds
BEND_STD = 0.05  # of the difference between two neighbouring steps
N_CURVES_MAX = 32
N_ROWS_MAX = 150_000
N_ROWS_TRIED = 15_000
PASSES_MAX = 30
TOLERANCE = 1e-7  # of the mean loss: what one more step promises to take off
_BLOCK_ROWS = 4_096
_EVERY = 8


def fit_light(
    features: Features,
    labels: NDArray[np.float32],
    groups: NDArray[np.integer],
    columns: Sequence[str],
    *,
    seed: int,
    n_curves_max: int = N_CURVES_MAX,
    on_pass: Callable[[int], None] = lambda n_passes: None,
) -> LightModel:
    """The model of features (n, n_columns) float32 with NaN for missing, and labels (n,) in [0, 1].

    groups: (n,), equal for the rows of one request. A column that is the same in all rows of each group gets no curve, since
    it cannot change their order. Of more than n_curves_max others, those whose curves move the score most in a fit to
    N_ROWS_TRIED of the rows are kept. To distil a heavier model, give its probabilities as labels. Beyond N_ROWS_MAX rows,
    those with a label below one half are sampled and weighted accordingly.
    """
    expected = (len(labels), len(columns))
    assert features.shape == expected, f"features are {features.shape}, labels and columns {expected}"
    chosen = _varying(features, groups)

    def fit(
        at: NDArray[np.intp], rows: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[_Basis, NDArray[np.float64], NDArray[np.float32]]:
        x, y = np.ascontiguousarray(features[rows].T), labels[rows].astype(np.float64)
        basis = _Basis.of(x, y * weights, (1 - y) * weights, at)
        return basis, _maximise(basis, x, y, weights, on_pass), x

    if len(chosen) > n_curves_max:
        n_tried = min(N_ROWS_TRIED, len(labels))
        tried = np.sort(np.random.default_rng(seed).choice(len(labels), n_tried, replace=False))
        basis, solution, x = fit(chosen, tried, np.ones(n_tried))
        strongest = np.argsort(-basis.spreads(solution, x), kind="stable")[:n_curves_max]
        chosen = np.sort(basis.at[strongest])
    basis, solution, _ = fit(chosen, *_sample(labels, seed))
    return LightModel(columns, bias=float(solution[-1]), curves=basis.curves(solution, columns))


@dataclass(frozen=True, slots=True, eq=False)
class _Basis:
    """The regression's columns: for each curve its steps, then 1 where its column is missing; last, a constant 1."""

    at: NDArray[np.intp]
    knots: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(
        cls, x: NDArray[np.float32], positive: NDArray[np.float64], negative: NDArray[np.float64], at: NDArray[np.intp]
    ) -> _Basis:
        """x: (n_columns, n).  positive, negative: (n,) weight of each row in either class.  at: the columns to use."""
        balanced = positive / max(positive.sum(), 1e-9) + negative / max(negative.sum(), 1e-9)
        knots = {int(c): _quantiles(x[c], balanced) for c in at}
        used = [c for c, k in knots.items() if len(k) >= 2]
        return cls(np.array(used, np.intp), tuple(knots[c] for c in used))

    @property
    def width(self) -> int:
        return sum(len(k) for k in self.knots) + 1

    def block(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(width, n) of rows x (n_columns, n)."""
        block = np.ones((self.width, x.shape[1]), np.float32)
        to = 0
        for column, knots in zip(self.at, self.knots, strict=True):
            values = x[column]
            steps = block[to : to + len(knots) - 1]
            np.divide(values - knots[:-1, None], np.diff(knots)[:, None], out=steps)
            np.fmin(np.fmax(steps, 0, out=steps), 1, out=steps)
            block[to + len(knots) - 1] = np.isnan(values)
            to += len(knots)
        return block

    def precision(self) -> NDArray[np.float64]:
        """(width, width), of the prior: each value near 0, and each step, more so, near the step before it."""
        precision = np.diag(np.full(self.width, PRIOR_STD**-2))
        precision[-1, -1] = 1e-6  # the bias is free
        begin = 0
        for knots in self.knots:
            for step in range(begin, begin + len(knots) - 2):
                precision[step : step + 2, step : step + 2] += np.array([[1, -1], [-1, 1]]) * BEND_STD**-2
            begin += len(knots)
        return precision

    def spreads(self, solution: NDArray[np.float64], x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The standard deviation over rows of what each curve adds to the score. x: (n_columns, n)."""
        begins = np.cumsum([0, *(len(knots) for knots in self.knots)])[:-1]
        added = np.add.reduceat(solution[:-1, None] * self.block(x)[:-1], begins, axis=0)
        return np.asarray(added.std(axis=1))

    def curves(self, solution: NDArray[np.float64], columns: Sequence[str]) -> list[Curve]:
        """The curves whose values `solution`, (width,), holds."""
        made, begin = [], 0
        for column, knots in zip(self.at, self.knots, strict=True):
            *steps, missing = solution[begin : begin + len(knots)].tolist()
            made.append(Curve(columns[column], tuple(knots.tolist()), tuple(steps), missing))
            begin += len(knots)
        return made


def _maximise(
    basis: _Basis,
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    on_pass: Callable[[int], None],
) -> NDArray[np.float64]:
    """(width,) posterior mode. Newton steps, halved while the loss does not fall; it is convex, so there is one mode.

    The first steps are those of every eighth row, whose mode is close by: then two or three passes over all rows remain.
    """
    precision = basis.precision()
    at = np.zeros(basis.width)
    n_passes = 0
    for every in (_EVERY, 1):
        rows = np.ascontiguousarray(x[:, ::every]), y[::every], every * weights[::every]
        total = rows[2].sum()
        step = np.zeros(basis.width)
        best = np.inf
        while n_passes < PASSES_MAX:
            tried = at + step
            loss, gradient, hessian = _derivatives(basis, *rows, tried)
            prior = precision @ tried
            loss, gradient, hessian = loss + float(tried @ prior / 2), gradient + prior, hessian + precision
            n_passes += 1
            on_pass(n_passes)
            if not loss < best:
                step /= 2
                continue
            at, best = tried, loss
            step = -linalg.solve(hessian, gradient, assume_a="pos")
            if -float(step @ gradient) < 2 * TOLERANCE * total:
                break
    return at


def _derivatives(
    basis: _Basis, x: NDArray[np.float32], y: NDArray[np.float64], weights: NDArray[np.float64], at: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The negative log-likelihood at a point, its gradient (width,) and its Hessian (width, width)."""

    def of_block(rows: slice) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
        block, w = basis.block(x[:, rows]), weights[rows]
        z = (at.astype(np.float32) @ block).astype(np.float64)
        p = expit(z)
        loss = float(w @ (np.logaddexp(0, z) - y[rows] * z))
        gradient = block @ (w * (p - y[rows])).astype(np.float32)
        block *= np.sqrt(w * p * (1 - p)).astype(np.float32)
        return loss, gradient, block @ block.T  # of a matrix and its own transpose BLAS computes one half

    loss, gradient, hessian = 0.0, np.zeros(basis.width), np.zeros((basis.width, basis.width))
    for part in on_threads(of_block, _blocks(x.shape[1])):
        loss += part[0]
        gradient += part[1]
        hessian += part[2]
    return loss, gradient, hessian


def _blocks(n: int) -> Iterator[slice]:
    return (slice(begin, begin + _BLOCK_ROWS) for begin in range(0, n, _BLOCK_ROWS))


def _sample(labels: NDArray[np.float32], seed: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(rows to learn from, ascending; their weights): all of them, or the positive ones and a sample of the rest."""
    rest = np.flatnonzero(labels < 0.5)
    room = max(N_ROWS_MAX - (len(labels) - len(rest)), 1)
    weights = np.ones(len(labels))
    if len(rest) <= room:
        return np.arange(len(labels)), weights
    weights[rest] = 0
    weights[np.random.default_rng(seed).choice(rest, room, replace=False)] = len(rest) / room
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def _varying(features: Features, groups: NDArray[np.integer]) -> NDArray[np.intp]:
    """The columns that differ between two neighbouring rows of a group; a missing value differs from any other."""
    inside = groups[1:] == groups[:-1]
    varying = []
    for column in range(features.shape[1]):
        values = features[:, column]
        now, before = values[1:][inside], values[:-1][inside]
        if bool(((now != before) & ~(np.isnan(now) & np.isnan(before))).any()):
            varying.append(column)
    return np.array(varying, np.intp)


def _quantiles(values: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """At most N_STEPS + 1 ascending knots, the smallest and the largest value among them, far enough apart for float32."""
    present = ~np.isnan(values)
    if not present.any():
        return np.empty(0, np.float32)
    order = np.argsort(values[present])
    ascending = values[present][order].astype(np.float64)
    cumulated = np.cumsum(weights[present][order])
    inner = np.interp(np.linspace(0, cumulated[-1], N_STEPS + 1)[1:-1], cumulated, ascending)
    knots = np.unique(np.concatenate(([ascending[0]], inner, [ascending[-1]])).astype(np.float32))
    gap = 1e-5 * max(float(knots[-1] - knots[0]), 1e-30)
    kept = [knots[0]] if len(knots) else []
    for knot in knots[1:]:
        if knot - kept[-1] > gap:
            kept.append(knot)
    return np.array(kept, np.float32)
