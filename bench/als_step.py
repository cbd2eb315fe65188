"""What does a step for new items cost and bring, beside fitting everything again?

Gowalla; one item in a hundred, drawn at random, is new: vectors are fitted without its pairs, then it arrives with all of
them. `step` places it against frozen users and solves the most touched users again (`train/vectors/als_steps.py`); `full
retrain` is a fit to all pairs with another seed; `before` is what served until then. Recalls are of all items ranked together:
`recall_rest` counts the test items that are not new, `recall_new` those that are, each over the users who have one.

The step's time is that of choosing users, taking their rows and both solutions. Its two sides are made once after a fit
(`sides_ms`), and new items' rows come from the log. Figures are medians over drawings of new items; times of steps are each the
median of several, side by side with the retrain.

The dot product is a feature of ranking, whose models were fitted before the step: cases named "dot product" give its
percentiles over test pairs (`dot_p1` …) and those of its difference from the case's first system (`change_p1` …), which is
`before`, and for new items, which had no value then, `full retrain`. `moved` is the share of pairs that differ, `shift` the
root mean square of the difference in standard deviations of the feature.

    python -m bench.als_step [--quick] [--json FILE] [--only TEXT] [--shared FOLDER]

--quick takes 64 dimensions, one drawing and a fifth of the test users, and leaves out the last case, in which the share of the
median norm varies below which a row does not speak.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.als import CASES
from bench.tools.harness import Bench, Metrics
from bench.tools.quality import Split, by_factors, gowalla, hits, top_unseen
from cluster.config.train import AlsSection
from train.vectors import als
from train.vectors.als import Factors
from train.vectors.als_steps import RowPairs, most_touched, step, warmed
from train.vectors.confidence import confidences
from train.vectors.fixed_side import FixedSide

NEW_SHARE = 0.01
BACK_SHARE = 0.01  # of the users are solved again
WARMED = 0.5  # of the median norm: what speaks
WARMED_SHARES, WARMED_CASE = (0.0, 0.5, 0.75, 1.0), "gowalla d=64, by the norm a row needs to speak"
K = 20
PERCENTILES = (1, 10, 50, 90, 99)
N_STEPS_TIMED = 7

Measured = dict[str, dict[str, dict[str, float]]]  # by case and system


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """all_pairs: (n_users, n_items) confidences.  new: (m,) item rows that arrive with their pairs."""

    all_pairs: sparse.csr_array
    new: NDArray[np.intp]
    is_new: NDArray[np.bool_]

    @classmethod
    def drawn(cls, all_pairs: sparse.csr_array, *, share: float, seed: int) -> Arrival:
        n_items = all_pairs.shape[1]
        new = np.sort(np.random.default_rng(seed).choice(n_items, round(share * n_items), replace=False))
        return cls(all_pairs, new, np.isin(np.arange(n_items), new))

    @property
    def old_pairs(self) -> sparse.csr_array:
        """The same shape without what arrives."""
        old = self.all_pairs.copy()
        old.data[self.is_new[old.indices]] = 0
        old.eliminate_zeros()
        return old

    @property
    def rows(self) -> RowPairs:
        return RowPairs(self.new, sparse.csr_array(self.all_pairs.tocsc()[:, self.new].T, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """moved: the users who were solved again."""

    factors: Factors
    moved: NDArray[np.intp]
    step_ms: float
    sides_ms: float


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("OSKOLOK_SHARED", "../shared")))
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("als_step", packages=("numpy", "scipy"), argv=rest)
    split = gowalla(options.shared)
    if bench.quick:
        split = replace(split, test=_of_some_users(split.test, every=5))
    for dim in bench.size(full=(64, 256), quick=(64,)):
        case = f"gowalla d={dim}"
        if bench.wants(case):
            drawings = [_measured(case, split, CASES[case].ials, seed=seed) for seed in range(bench.size(full=3, quick=1))]
            for name, systems in medians(drawings).items():
                bench.add(name, systems)
    if bench.wants(WARMED_CASE) and not bench.quick:
        section = CASES["gowalla d=64"].ials
        bench.add(WARMED_CASE, medians([{WARMED_CASE: _by_share(split, section, seed=seed)} for seed in range(3)])[WARMED_CASE])


def take_step(arrival: Arrival, before: Factors, section: AlsSection, *, warmed_share: float, n_back: int) -> Stepped:
    """`before` with the new items in it, and how long that took, once."""
    began = time.perf_counter()
    users, items = (FixedSide.of(warmed(side, warmed_share), section) for side in (before.users, before.items))
    sides_ms = (time.perf_counter() - began) * 1e3
    new, totals = arrival.rows, np.asarray(arrival.all_pairs.sum(axis=1))
    began = time.perf_counter()
    touched = most_touched(new, totals, n_back)
    back = RowPairs(touched, sparse.csr_array(arrival.all_pairs[touched]))
    new_items, moved_users = step(users, items, new_items=new, back=back)
    step_ms = (time.perf_counter() - began) * 1e3
    after = Factors(before.users.copy(), before.items.copy())
    after.items[new.rows], after.users[touched] = new_items, moved_users
    return Stepped(after, touched, step_ms, sides_ms)


def _measured(case: str, split: Split, section: AlsSection, *, seed: int) -> Measured:
    arrival, before, n_back = _before(split, section, seed=seed)
    began = time.perf_counter()
    retrained = als.fit(arrival.all_pairs, section, seed=seed + 100)
    fit_ms = (time.perf_counter() - began) * 1e3
    steps = [take_step(arrival, before, section, warmed_share=WARMED, n_back=n_back) for _ in range(N_STEPS_TIMED)]
    step_ms = statistics.median(one.step_ms for one in steps)
    costs = {
        "before": {},
        "step": {
            "ms": step_ms,
            "of_retrain_pct": 100 * step_ms / fit_ms,
            "sides_ms": statistics.median(one.sides_ms for one in steps),
        },
        "full retrain": {"ms": fit_ms},
    }
    factors = {"before": before, "step": steps[-1].factors, "full retrain": retrained}
    name = f"{case}, {NEW_SHARE:.0%} new"
    found: Measured = {name: {system: recalls(factors[system], split, arrival.is_new) | costs[system] for system in factors}}
    found[f"dot product, {case}, old items"] = drifts(factors, pairs_of(split.test, ~arrival.is_new))
    retrained_first = {system: factors[system] for system in ("full retrain", "step", "before")}
    found[f"dot product, {case}, new items"] = drifts(retrained_first, pairs_of(split.test, arrival.is_new))
    return found


def _before(split: Split, section: AlsSection, *, seed: int) -> tuple[Arrival, Factors, int]:
    """What arrives, the factors without it, how many users are solved again."""
    arrival = Arrival.drawn(confidences(split.train, section), share=NEW_SHARE, seed=seed)
    return arrival, als.fit(arrival.old_pairs, section, seed=seed), round(BACK_SHARE * split.train.shape[0])


def _by_share(split: Split, section: AlsSection, *, seed: int) -> dict[str, dict[str, float]]:
    """Recalls after a step in which only rows longer than a share of the median norm speak."""
    arrival, before, n_back = _before(split, section, seed=seed)
    found = {}
    for share in WARMED_SHARES:
        stepped = take_step(arrival, before, section, warmed_share=share, n_back=n_back)
        speak = float(np.mean([warmed(side, share).any(axis=1).mean() for side in (before.users, before.items)]))
        found[f"share {share:g}"] = recalls(stepped.factors, split, arrival.is_new) | {"rows_that_speak": speak}
    return found


def recalls(factors: Factors, split: Split, is_new: NDArray[np.bool_]) -> dict[str, float]:
    """Of the test items that are not new, and of those that are."""
    tops = top_unseen(by_factors(factors.users, factors.items), split, K)
    hit = hits(tops, split.test_users, split.test)
    wanted = sparse.csr_array(split.test[split.test_users])
    found = {}
    for name, counts in (("rest", ~is_new), ("new", is_new)):
        n_wanted = wanted @ counts.astype(np.float64)
        n_hits = (hit & counts[tops]).sum(axis=1)
        asked = n_wanted > 0
        found[f"recall_{name}@{K}"] = float((n_hits[asked] / n_wanted[asked]).mean())
    return found


def pairs_of(test: sparse.csr_array, counts: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Users and items of the test pairs whose item counts."""
    users = np.repeat(np.arange(test.shape[0]), np.diff(test.indptr))
    kept = counts[test.indices]
    return users[kept], test.indices[kept]


def drifts(factors: Mapping[str, Factors], pairs: tuple[NDArray[np.intp], NDArray[np.int32]]) -> dict[str, dict[str, float]]:
    """Of each system: percentiles of the dot product over the pairs, and how far it is from the first system's."""
    users, items = pairs
    dots = {name: np.einsum("ij,ij->i", f.users[users], f.items[items]).astype(np.float64) for name, f in factors.items()}
    first = next(iter(dots.values()))
    scale = first.std() or 1.0
    found = {}
    for name, values in dots.items():
        change = values - first
        moved, shift = float((change != 0).mean()), float(np.sqrt((change**2).mean()) / scale)
        found[name] = _percentiles("dot", values) | _percentiles("change", change) | {"moved": moved, "shift": shift}
    return found


def _percentiles(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    return {f"{name}_p{p}": float(value) for p, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}


def medians(drawings: Sequence[Measured]) -> dict[str, dict[str, Metrics]]:
    """Of each metric over the drawings."""

    def over(pick: Callable[[Measured], Metrics]) -> Metrics:
        return {metric: statistics.median(pick(drawing)[metric] for drawing in drawings) for metric in pick(drawings[0])}

    return {
        case: {system: over(lambda drawing, case=case, system=system: drawing[case][system]) for system in systems}
        for case, systems in drawings[0].items()
    }


def _of_some_users(test: sparse.csr_array, *, every: int) -> sparse.csr_array:
    """The test pairs of every so-manyth user."""
    kept = np.repeat(np.arange(test.shape[0]) % every == 0, np.diff(test.indptr))
    some = test.copy()
    some.data[~kept] = 0
    some.eliminate_zeros()
    return some


if __name__ == "__main__":
    main(sys.argv[1:])
