"""Are the settings of `bench.als` the best ones by validation pairs, taken from train alone?

One setting at a time is moved from where it stands, along the axes below, the others staying. MCRec: a fifth of the train
pairs, mean of seeds 1 to 3. CiteULike-a: each user's train articles beyond the six smallest numbers, as its test holds
those beyond ten. Gowalla: a fifth of the train pairs, judged by 6,000 users. Test pairs are never looked at.

    python -m bench.als_grid [--quick] [--json FILE] [--only TEXT] [--shared FOLDER]

--quick takes one seed of the first case.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from bench.als import CASES
from bench.tools.harness import Bench
from bench.tools.quality import Split, by_factors, pairs, quality
from bench.tools.row import Row
from cluster.config.train import AlsSection
from train.vectors import als
from train.vectors.confidence import confidences

METRICS = {"mcrec": "p@10", "citeulike-a": "recall@100", "gowalla d=64": "recall@20", "gowalla d=256": "recall@20"}
CHOSEN = "as chosen"
N_JUDGES = 6_000
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Axis:
    """values: factors of where the setting stands or, not `scaled`, its values."""

    setting: str
    values: tuple[float, ...]
    scaled: bool = True

    def around(self, section: AlsSection) -> Iterator[AlsSection]:
        """The section with other values of this setting."""
        stands = getattr(section, self.setting)
        for value in self.values:
            moved = type(stands)(stands * value) if self.scaled else value
            if moved != stands:
                yield section.model_copy(update={self.setting: moved})


AXES = (
    Axis("regularization", (0.25, 0.5, 2, 4)),
    Axis("unobserved_weight", (0.25, 0.5, 2, 4)),
    Axis("frequency_exponent", (0.5, 0.75, 1), scaled=False),
    Axis("popularity_exponent", (0, 0.2, 0.35, 0.5), scaled=False),
    Axis("n_sweeps", (0.5, 2)),
    Axis("init_length", (0.03, 0.1, 0.3, 1), scaled=False),
)


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("OSKOLOK_SHARED", "../shared")))
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("als_grid", packages=("numpy", "scipy"), argv=rest)
    for name in bench.size(full=list(METRICS), quick=list(METRICS)[:1]):
        if bench.wants(name):
            case, metric = CASES[name], METRICS[name]
            splits = list(_validation(name, case.load(options.shared), SEEDS[: bench.size(full=3, quick=1)]))
            tried = {CHOSEN: case.ials} | {
                f"{axis.setting} {getattr(moved, axis.setting):g}": moved for axis in AXES for moved in axis.around(case.ials)
            }
            bench.add(name, {system: {metric: judged(section, splits, metric)} for system, section in tried.items()})


def judged(section: AlsSection, splits: Iterable[Split], metric: str) -> float:
    """The mean over the splits."""

    def one(split: Split) -> float:
        factors = als.fit(confidences(split.train, section), section, seed=0)
        return quality(by_factors(factors.users, factors.items), split, (metric,))[metric]

    return statistics.mean(one(split) for split in splits)


def markdown(rows: Sequence[Row]) -> str:
    """A row a setting, a column a case; what stands in bench.als at the top."""
    cases = [case for case in METRICS if any(row.case == case for row in rows)]
    sections = {case: CASES[case].ials for case in cases}
    lines = ["| | " + " | ".join(f"{case}, {METRICS[case]}" for case in cases) + " |", "|---|" + "---|" * len(cases)]
    chosen = (_figure(rows, case, CHOSEN) for case in cases)
    lines.append("| as chosen | " + " | ".join(f"**{value}**" for value in chosen) + " |")
    for axis in AXES:
        cells = []
        for case in cases:
            tried = [getattr(moved, axis.setting) for moved in axis.around(sections[case])]
            around = sorted([*tried, getattr(sections[case], axis.setting)])
            texts = (
                f"{value:g}: {_figure(rows, case, f'{axis.setting} {value:g}')}" if value in tried else f"**{value:g}**"
                for value in around
            )
            cells.append("<br>".join(texts))
        lines.append(f"| `{axis.setting}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(rows: Sequence[Row], case: str, system: str) -> str:
    (value,) = (row.metrics[METRICS[case]] for row in rows if (row.case, row.system) == (case, system))
    return f"{value:.4f}".removeprefix("0")


def _validation(name: str, split: Split, seeds: Sequence[int]) -> Iterator[Split]:
    if name == "mcrec":
        yield from (split.held_out(0.2, seed=seed) for seed in seeds)
    elif name == "citeulike-a":
        yield split.last_held_out(4)
    else:
        held = split.held_out(0.2, seed=1)
        judges = np.random.default_rng(1).choice(held.test_users, N_JUDGES, replace=False)
        users = np.repeat(np.arange(held.test.shape[0]), np.diff(held.test.indptr))
        kept = np.isin(users, judges)
        yield replace(held, test=sparse.csr_array(pairs(users[kept], held.test.indices[kept], held.test.shape)))


if __name__ == "__main__":
    main(sys.argv[1:])
