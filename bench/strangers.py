"""Is somebody without a history served well? Sessions of users whom the store does not know, in the order that serves them.

    python -m bench.strangers [--quick] [--json FILE] [--only TEXT]

complete-journey: households of the judging window stay hidden, three items of their first basket are shown, and the rest of
that basket is to be found. The models are those of a build, fitted to what lies before. synthetic content: made-up shoppers,
items with content vectors, three items of one category in the basket; nothing is to be found but items of that kind.

merged is the order before the models, served the one after them. recall@20 is of the rest of the basket; related_share, of the
first twenty, those that have the category of something in the basket.

Everything is kept below ~/.cache/oskolok/bench; the first run fits for some minutes, `--quick` within one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.ranking import JOURNEY, QUICK, Data, complete_journey
from bench.tools.cluster_under_test import CACHE
from bench.tools.harness import Bench, Metrics
from bench.tools.progress import Lines
from cluster.config.file import load
from cluster.order import best_first, head_reordered
from cluster.types import NO_KEYS, Keys
from deploy.demo.synthetic import World, write_world
from deploy.demo.synthetic_browsing import add_browsing
from router.request import Request
from train.build import moments_of
from train.rank.held_out import hold_out
from train.rank.metrics import interval
from train.rank.ranking_rows import sample_users
from train.split import Split
from train.stages.read import Dataset, Inputs, open_build
from train.worth.rank_evaluation import RankTrial, rank_trial

K = 20
BASKET = 3
VISIT_MAX = 10_000
CONTENT = "synthetic content"
SHOP = (
    'catalog.category=["category", "brand"]',
    'catalog.number=["price"]',
    'catalog.created_column="created_at"',
    'catalog.vector_column="content"',
    'events.type_column="type"',
)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """basket: rows of the catalogue.  wanted: keys of what else went into it, none where that is made up."""

    basket: NDArray[np.int32]
    wanted: Keys
    asked_at: float


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    bench = Bench.from_arguments("strangers", packages=("catboost", "numpy"), argv=argv)
    for case, made in {JOURNEY: journeys, CONTENT: synthetic}.items():
        if bench.wants(case):
            n_sessions = bench.size(full=1_000, quick=150)
            bench.add(case, measured(bench, case, made(bench), n_sessions=n_sessions))


def journeys(bench: Bench) -> Data:
    """The demo's data and configuration, with one loss; the stage serves that the judge lets serve."""
    return complete_journey(bench, 'train.ranker.losses=["Logloss"]', 'ranker.heavy.enabled="auto"')


def synthetic(bench: Bench) -> Data:
    """Shoppers made up, in a catalogue too large to be scored whole, whose items have content vectors."""
    folder = CACHE / f"strangers-content-{bench.size(full='full', quick='quick')}"
    world = World(n_users=bench.size(full=2_000, quick=300), n_items=bench.size(full=6_000, quick=2_500), n_categories=20)
    write_world(world, folder / "data")
    files = add_browsing(world, folder / "data")
    terms = bench.size(full=(), quick=QUICK)
    config = load(None, overrides=[f"storage.path={folder}", *SHOP, *terms]).config
    return Data(config, Inputs(files.items, files.events, now=world.end + 1.0))


def measured(bench: Bench, case: str, data: Data, *, n_sessions: int) -> dict[str, Metrics]:
    """merged and served, by what they show to these sessions."""
    config = data.config
    with open_build(config, data.inputs, Lines(bench.say, time.monotonic)) as (stages, dataset):
        split = moments_of(stages, dataset, config)
        trial = rank_trial(stages, dataset, config, split, n_users=1)
    drawn = made_up if case == CONTENT else real
    sessions = list(drawn(dataset, split, n_max=n_sessions, seed=config.train.seed))
    shown = [orders(session, trial, dataset) for session in sessions]
    kinds, _ = dataset.catalogue.codes("category")
    return {name: worth(sessions, [order[name] for order in shown], dataset, kinds) for name in ("merged", "served")}


def real(dataset: Dataset, split: Split, *, n_max: int, seed: int) -> Iterator[Session]:
    """Of households who buy more than a basket at their first visit of the judging window."""
    log, catalogue = dataset.log, dataset.catalogue
    users = sample_users(log, after=split.judging, days=split.label_days, n_max=2 * n_max, seed=seed)
    terms = {"days": split.label_days, "new_days": 1, "basket_items": VISIT_MAX, "seed": seed}
    visits = hold_out(log, users, after=split.judging, **terms)
    long = [at for at, visit in enumerate(visits.baskets) if len(visit) > BASKET]
    for at in long[:n_max]:
        bought = np.random.default_rng((seed, at)).permutation(visits.baskets[at])
        yield Session(bought[:BASKET], np.sort(catalogue.keys[bought[BASKET:]]), float(visits.asked_at[at]))


def made_up(dataset: Dataset, split: Split, *, n_max: int, seed: int) -> Iterator[Session]:
    """Three items of one category, any of them."""
    kinds, names = dataset.catalogue.codes("category")
    rng = np.random.default_rng(seed)
    for kind in rng.integers(0, len(names), n_max):
        basket = rng.choice(np.flatnonzero(kinds == kind), BASKET, replace=False).astype(np.int32)
        yield Session(basket, NO_KEYS, float(split.judging))


def orders(session: Session, trial: RankTrial, dataset: Dataset) -> dict[str, Keys]:
    """Item keys, best first, before and after the models that serve."""
    router, catalogue = trial.router, dataset.catalogue
    basket = tuple(catalogue.ids[int(row)].as_py() for row in session.basket)
    request = Request(user_id="a stranger", k=K, basket=basket, asked_at=session.asked_at)
    merged, _ = router.merged(router.plan(request, None))
    candidates = merged.candidates
    models = trial.session()
    if models.ranking.stage == "merged":
        return {"merged": candidates.keys, "served": candidates.keys}
    features = router.features(candidates, request, None)
    served = best_first(models.light.score(features), candidates.keys)
    if models.ranking.stage == "heavy":
        scores = models.heavy[models.chosen].score(features[served[: router.config.ranker.heavy.n_heavy]])
        served, _ = head_reordered(served, scores, candidates.keys)
    return {"merged": candidates.keys, "served": candidates.keys[served]}


def worth(sessions: Sequence[Session], shown: Sequence[Keys], dataset: Dataset, kinds: NDArray[np.int32]) -> dict[str, float]:
    """recall@20 with its interval, where something is to be found; related_share."""
    related, recalls = [], []
    for session, order in zip(sessions, shown, strict=True):
        first = order[:K]
        related.append(np.isin(kinds[dataset.catalogue.rows_of(first)], kinds[session.basket]).mean())
        if len(session.wanted):
            recalls.append(np.isin(session.wanted, first).mean())
    metrics = {"related_share": float(np.mean(related)), "n_sessions": float(len(sessions))}
    if not recalls:
        return metrics
    low, high = interval(np.array(recalls))
    return {f"recall@{K}": float(np.mean(recalls)), f"recall@{K}_lo": low, f"recall@{K}_hi": high, **metrics}


if __name__ == "__main__":
    main(sys.argv[1:])
