"""What ranking is worth: merged order, light model, heavy model of each loss, slate, and models that learnt shuffled labels.

    python -m bench.ranking [--quick] [--json FILE] [--only TEXT] [--plots FOLDER]

complete-journey, ml-100k: models are fitted by the stages of a build to the purchases of windows in the past, and judged in a
later one, each half of the users by the models that the other half chose (`train/worth/rank_evaluation.py`, which
`oskolok evaluate --stages` runs too). complete-journey new: the same households asked for what they never bought, as
`slate.exclude_seen` does. Few people rate films in a window, so those of three windows are taken together, each with models
fitted to what was before it. The negative control, shuffled, is fitted to the same rows with the labels of each request dealt
out anew; it must not beat the merged order. source:<name> is the order of the source that would do best alone, what others
found behind its own. batching c=16: the requests of the first case through a `Ranker`, 16 that wait together in one batch, and
one after the other; the orders are compared before any time is taken.

Everything is kept below ~/.cache/oskolok/bench; the first run fits for some minutes. `--quick` leaves out what is new, asks
fewer users, fits fewer trees to less, and knows only the last months.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from bench.ranker import one_by_one, orders, requests, together
from bench.sources import CONFIG, NOW, QUICK_DAYS, journey
from bench.tools.cluster_under_test import CACHE
from bench.tools.harness import Bench
from bench.tools.movielens import movielens
from bench.tools.progress import Lines
from bench.tools.row import Row
from cluster.config.file import load
from cluster.config.sections import Config
from cluster.config.train import Loss
from cluster.spec import RankingSpec
from cluster.types import Keys, RankQuery
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.ranker import Ranker
from train.input.event_log import DAY_S
from train.rank.heavy import FittedHeavy, fit_heavy, settings_of
from train.rank.judge import K, metrics_of
from train.rank.light import fit_light
from train.rank.metrics import per_group
from train.rank.ranking_rows import RankingRows
from train.split import split_log
from train.stages import Made, Stages, fingerprint
from train.stages.read import Dataset, Inputs, open_build
from train.worth.plots import draw_stages
from train.worth.rank_evaluation import RankTrial, rank_trial
from train.worth.stage_worth import Session, StageWorth, measure_stages

ALL_STAGES = "ranker.heavy.enabled=true"
"""Every stage is measured and the slate is made of the last, whichever would serve."""

N_WAITING = 16
N_ROUNDS = 16
BATCHING = f"batching c={N_WAITING}"
SHUFFLED = "shuffled"
QUICK = (
    "train.ranker.n_users=100",
    "train.ranker.moments=1",
    "train.ranker.n_trees=40",
    'train.ranker.losses=["Logloss"]',
    "train.ease.n_items_max=4000",
)
MOVIES = (
    'catalog.categories=["genres"]',
    'catalog.number=["year"]',
    'user_table.category=["gender", "occupation"]',
    'user_table.number=["age"]',
    "slate.exclude_seen=true",
    "train.ranker.label_days=28",
    "train.ranker.moments=4",
    "train.ranker.depth=4",
    "train.ranker.learning_rate=0.03",
    "ranker.heavy.n_heavy=200",
)


@dataclass(frozen=True, slots=True)
class Data:
    """What a case is made of. n_windows: at the end of its log, to judge in."""

    config: Config
    inputs: Inputs
    n_windows: int = 1


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--plots", type=Path)
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("ranking", packages=("catboost", "numpy"), argv=rest)
    for case, made in bench.size(full=CASES, quick={case: CASES[case] for case in (JOURNEY, FILMS)}).items():
        of_this = [name for name in (case, *((BATCHING,) if case == JOURNEY else ())) if bench.wants(name)]
        if not of_this:
            continue
        data = made(bench)
        with open_build(data.config, data.inputs, Lines(bench.say, time.monotonic)) as (stages, dataset):
            trials = trials_of(stages, dataset, data, n_users=bench.size(full=10_000, quick=100))
            if case in of_this:
                worth = judged(bench, case, stages, trials, data.config)
                if options.plots:
                    draw_stages(worth, options.plots / case.replace(" ", "-"))
        if BATCHING in of_this:
            batching(bench, trials[0])


def complete_journey(bench: Bench, *overrides: str) -> Data:
    """The demo's data and configuration, with every loss."""
    folder = CACHE / f"ranking-complete-journey-{bench.size(full='full', quick='quick')}"
    items, events = journey(folder, last_days=bench.size(full=0, quick=QUICK_DAYS))
    terms = bench.size(full=(f"train.ranker.losses={json.dumps(get_args(Loss))}",), quick=QUICK)
    config = load(CONFIG, overrides=[f"storage.path={folder}", ALL_STAGES, *terms, *overrides]).config
    return Data(config, Inputs(items, events, now=NOW))


def complete_journey_new(bench: Bench) -> Data:
    """The same, for what a household has not bought before."""
    return complete_journey(bench, "slate.exclude_seen=true")


def ml_100k(bench: Bench) -> Data:
    """A film is recommended to nobody twice; four weeks are a window, since few users come back sooner."""
    folder = CACHE / "ranking-ml-100k"
    films = movielens(folder / "data")
    terms = bench.size(full=(), quick=QUICK)
    config = load(None, overrides=[f"storage.path={folder}", ALL_STAGES, *MOVIES, *terms]).config
    inputs = Inputs(films.items, films.events, films.users, now=films.last_time + 1.0)
    return Data(config, inputs, bench.size(full=3, quick=1))


JOURNEY, NEW, FILMS = "complete-journey", "complete-journey new", "ml-100k"
CASES: Mapping[str, Callable[[Bench], Data]] = {JOURNEY: complete_journey, NEW: complete_journey_new, FILMS: ml_100k}


def trials_of(stages: Stages, dataset: Dataset, data: Data, *, n_users: int) -> list[RankTrial]:
    """One for each window to judge in, the last window first."""
    config, section = data.config, data.config.train.ranker
    first, last, window = dataset.report.first_time, dataset.report.last_time, section.label_days * DAY_S
    ends = [last - at * window for at in range(data.n_windows)]
    splits = [split_log(first, end, label_days=section.label_days, moments=section.moments) for end in ends]
    return [rank_trial(stages, dataset, config, split, n_users=n_users) for split in splits]


def judged(bench: Bench, case: str, stages: Stages, trials: Sequence[RankTrial], config: Config) -> StageWorth:
    """Add the rows of a case."""
    sessions = [session for trial in trials for session in trial.sessions()]
    controls = [shuffled(stages, trial, config) for trial in trials]
    worth = measure_stages(sessions, chosen=trials[0].chosen)
    wrong = measure_stages(controls, chosen=SHUFFLED)
    table = best_source(trials) | worth.systems | {SHUFFLED: wrong.systems[SHUFFLED]}
    bound = table.pop("candidates")["recall"]
    bench.add(case, table)
    who = f"{worth.n_requests} requests of {worth.n_users} users in {len(trials)} windows"
    bench.say(f"{who}, {bound:.3f} of what they bought is among the candidates; all of them would choose {worth.chosen}")
    bench.say(worth.ranking.line)
    return worth


def shuffled(stages: Stages, trial: RankTrial, config: Config) -> Session:
    """All visits, with a light and a heavy model fitted as those that serve, to labels dealt out anew within each request."""
    section, seed, card = config.train.ranker, config.train.seed, trial.models.card
    columns = trial.models.columns

    def make(folder: Path) -> Made:
        rows = RankingRows.together([RankingRows.load(path) for path in trial.learning])
        dealt = np.lexsort((np.random.default_rng(seed).random(len(rows.labels)), rows.groups))
        rows = replace(rows, labels=rows.labels[dealt])
        light = fit_light(rows.features, rows.labels, rows.groups, columns, seed=seed)
        passed = rows.best(light, card.n_heavy)
        fewer = section.model_copy(update={"n_trees": card.won.n_trees})
        fitted = fit_heavy(passed.features, passed.labels, passed.groups, columns, section=fewer, seed=seed, loss=card.winner)
        (folder / "light.json").write_bytes(light.to_json())
        fitted.save(folder)
        return Made(f"{card.winner}, {card.won.n_trees} trees", len(rows.labels))

    settings = [section.depth, section.learning_rate, settings_of(card.winner), card.n_heavy, seed]
    inputs = [fingerprint(trial.models.light), card.winner, card.won.n_trees, *settings]
    folder = stages.run(SHUFFLED, inputs=inputs, total=0, make=make)
    light = LightModel.from_json((folder / "light.json").read_bytes())
    heavy = {SHUFFLED: HeavyModel.from_bytes(FittedHeavy.load(folder).blob)}
    ranking = RankingSpec("catboost", "heavy", "the control is measured whole")
    return Session(trial.visits, trial.router, light, heavy, chosen=SHUFFLED, ranking=ranking)


def best_source(trials: Sequence[RankTrial]) -> dict[str, dict[str, float]]:
    """{"source:<name>": metrics} of the source whose order is the best by ndcg@10, found on the very users that judge.

    Only sources that mostly fill ten places by themselves; {} without one.
    """
    asked = [one for trial in trials for one in rank_queries(trial, n=len(trial.visits))]
    queries, wanted = [query for query, _ in asked], [keys for _, keys in asked]
    starts = np.concatenate(([0], np.cumsum([len(query.keys) for query in queries]))).astype(np.int64)
    labels = np.concatenate([np.isin(query.keys, keys) for query, keys in asked])
    n_wanted = np.array([len(keys) for keys in wanted], np.int64)
    users = [visit.request.user_id for trial in trials for visit in trial.visits]
    owners = np.unique(users, return_inverse=True)[1]
    found = {}
    for at, name in enumerate(trials[0].router.spec.features.sources):
        ranks = [np.nan_to_num(query.source_ranks[:, at], nan=np.inf) for query in queries]
        if np.median([np.isfinite(one).sum() for one in ranks]) < K:
            continue
        places = -np.concatenate([one.argsort(kind="stable").argsort() for one in ranks]).astype(np.float32)
        found[f"source:{name}"] = metrics_of(per_group(places, labels, starts, K, n_wanted=n_wanted), owners)
    return dict(sorted(found.items(), key=lambda one: -one[1][f"ndcg@{K}"])[:1])


def batching(bench: Bench, trial: RankTrial) -> None:
    """N_ROUNDS rounds of N_WAITING requests; percentiles are of rounds."""
    session = trial.session()
    ranker = Ranker(trial.router.spec, light=session.light, heavy=session.heavy[session.chosen])
    queries = [query for query, _ in rank_queries(trial, n=N_WAITING * N_ROUNDS)]
    rounds = [queries[at : at + N_WAITING] for at in range(0, len(queries) - N_WAITING + 1, N_WAITING)]
    for waiting in rounds:
        assert orders(together(ranker, waiting)) == orders(one_by_one(ranker, waiting)), "batching changed an answer"
    calls, repeats = bench.size(full=200, quick=30), bench.size(full=7, quick=3)
    ways = {"batched": together, "unbatched": one_by_one}
    bench.run(
        BATCHING, {name: partial(requests, partial(way, ranker), rounds, calls) for name, way in ways.items()}, repeats=repeats
    )


def rank_queries(trial: RankTrial, *, n: int) -> list[tuple[RankQuery, Keys]]:
    """What the router would send rankers for the first n visits, and what is wanted of it."""
    router, queries = trial.router, []
    for visit in trial.visits[:n]:
        planned = router.plan(visit.request, visit.record)
        merged, _ = router.merged(planned)
        wanted = np.setdiff1d(visit.wanted, planned.query.exclude, assume_unique=True)
        queries.append((router.rank_query(merged.candidates, visit.request, visit.record), wanted))
    return queries


def markdown(rows: Sequence[Row]) -> str:
    """The rows of one case as the table that docs/ranking.md shows."""
    lines = ["| order | ndcg@10 | 95 % | adds | recall@10 | mrr | passed on | ms |", "|---" + "|---:" * 7 + "|"]
    for row in rows:
        told = row.metrics
        adds = f"{told['adds']:+.3f} ({told['adds_lo']:+.3f} … {told['adds_hi']:+.3f})" if "adds" in told else ""
        share = f"{100 * told['light_share']:.1f} %" if "light_share" in told else ""
        cells = [f"{told['ndcg@10']:.3f}", f"{told['ndcg@10_lo']:.3f} – {told['ndcg@10_hi']:.3f}", adds]
        cells += [f"{told['recall@10']:.3f}", f"{told['mrr']:.3f}", share, f"{told['ms']:.2f}" if "ms" in told else ""]
        lines.append(f"| `{row.system}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
