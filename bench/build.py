"""How long a build takes, stage by stage, as the log grows; and the exponent with which each stage grows.

    python -m bench.build [--quick] [--json FILE] [--only TEXT]

The logs are made up (`bench/tools/large_log.py`): 10,000,000 events are of 1,000,000 items and 300,000 users, smaller ones of
as much less. Each build runs in a fresh process, into an empty folder, with the defaults but for one loss of heavy models.
A stage's seconds are those of all moments together; `graph-als` is summed over shards, several of which are written at
a time. The exponent of a stage is the slope of ln seconds over ln events, by least squares over the sizes of this run.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.tools.harness import Bench, Metrics, in_fresh_process
from bench.tools.large_log import LogSize, write_log
from cluster.config.file import load
from train.build import build
from train.stages.read import Inputs

OVERRIDES = (
    'catalog.category=["category", "brand"]',
    'catalog.number=["price"]',
    'catalog.payload=["category", "brand", "price"]',
    'events.context_column="basket_id"',
    'sources.tops.group_by="category"',
    'sources.quorum.attribute="category"',
    'slate.cap_by="category"',
    'train.profile=["category"]',
    'train.ranker.losses=["Logloss"]',
)
QUICK = ("train.ranker.n_users=100", "train.ranker.n_trees=40", "train.ease.n_items_max=2000")
WHOLE = "the whole build"
_MOMENT = re.compile(r"-(training-\d+|judging|serving)$")


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    bench = Bench.from_arguments("build", packages=("numpy", "scipy", "catboost", "hnswlib"), argv=argv)
    overrides = (*OVERRIDES, *bench.size(full=(), quick=QUICK))
    measured: dict[int, Metrics] = {}
    for n_events in bench.size(full=(1_000_000, 3_000_000, 10_000_000), quick=(20_000, 60_000)):
        case = f"{n_events:,} events"
        if bench.wants(case):
            seconds, peak_bytes = in_fresh_process(stage_seconds, n_events, overrides)
            measured[n_events] = seconds
            stages = {name: {"seconds_s": taken} for name, taken in seconds.items()}
            bench.add(case, {**stages, WHOLE: {**stages[WHOLE], "peak_gib": peak_bytes / 2**30}})
    if len(measured) > 1:
        bench.add("exponents", {name: {"exponent": exponent} for name, exponent in exponents(measured).items()})


def stage_seconds(n_events: int, overrides: Sequence[str]) -> dict[str, float]:
    """Seconds of the whole build of a log of so many events, and of each stage."""
    size = LogSize.of(n_events)
    with tempfile.TemporaryDirectory() as folder:
        items, events = write_log(size, Path(folder) / "data")
        config = load(None, overrides=[f"storage.path={folder}/storage", *overrides]).config
        began = time.perf_counter()
        built = build(config, Inputs(items, events, now=size.end + 1.0))
        seconds = {WHOLE: time.perf_counter() - began}
    by_stage: dict[str, float] = defaultdict(float)
    for name, report in built.report.stages.items():
        by_stage[_MOMENT.sub("", name)] += report.seconds
    return seconds | by_stage


def exponents(measured: Mapping[int, Metrics]) -> dict[str, float]:
    """By stage, the slope of ln seconds over ln events: 1 for what grows as the log does, 2 for what grows with its square."""
    sizes = np.log(list(measured))
    shared = set.intersection(*(set(metrics) for metrics in measured.values()))

    def slope(name: str) -> float:
        seconds = [metrics[name] + 1e-3 for metrics in measured.values()]  # some stages take none
        return float(np.polyfit(sizes, np.log(seconds), 1)[0])

    return {name: slope(name) for name in next(iter(measured.values())) if name in shared}


if __name__ == "__main__":
    main(sys.argv[1:])
