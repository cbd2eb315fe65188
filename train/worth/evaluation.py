"""An evaluation: requests of users whose future is known, sent to a generation that does not know it, and the results.

`train/evaluate.py` makes that generation; `train/worth/source_worth.py` explains the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.filtering import EVERYTHING, Filter
from cluster.spec import GenerationSpec
from cluster.types import UserRecord
from router.request import Request
from train.progress import Progress
from train.rank.held_out import HeldOut, hold_out
from train.rank.ranking_rows import sample_users
from train.rank.visits import Visit
from train.signals import Signals
from train.worth.eligibility import eligible_rows
from train.worth.hits import Hits, Searchers, find
from train.worth.source_worth import Table, ahead_of_union, table


@dataclass(frozen=True, slots=True)
class Terms:
    """How to measure. days: how much of the log's end is held out.  new_days: what a user did not buy in so many days before
    is new to them.  basket_items: how many items of their first visit are in the basket, and not to be found.  depth: how
    many candidates each source may propose.
    """

    days: int = 28
    new_days: int = 28
    n_users: int = 1_000
    basket_items: int = 3
    depth: int = 500
    filter: Filter = EVERYTHING


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """activity: (u,) int64, different items each held-out user had bought by the moment.  n_eligible: by the filter."""

    terms: Terms
    hits: Hits
    held_out: HeldOut
    activity: NDArray[np.int64]
    n_eligible: int

    @property
    def table(self) -> Table:
        """System -> metric -> value; see `train.worth.source_worth`."""
        ks = sorted({min(100, self.terms.depth), self.terms.depth})
        return table(self.hits, self.held_out, n_eligible=self.n_eligible, ks=ks)

    @property
    def ahead_of_union(self) -> dict[str, float]:
        """Recall at the depth of the sources that find more alone than all do together; see `train.worth.source_worth`."""
        return ahead_of_union(self.hits, self.held_out, self.terms.depth)

    @property
    def not_asked(self) -> tuple[str, ...]:
        """Sources of the generation that no request asked."""
        return tuple(name for name, n in zip(self.hits.systems, self.hits.asked, strict=True) if not n)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Who asks for what, and what they bought. eligible: keys of the items that the filter lets through, ascending."""

    held_out: HeldOut
    visits: Sequence[Visit]
    eligible: NDArray[np.int64]


def trial(signals: Signals, spec: GenerationSpec, config: Config, terms: Terms) -> Trial:
    """A request for each of a sample of the users who bought something after the signals' moment.

    Where seen items are never recommended, they are not asked for either.
    """
    log, catalogue, moment, seed = signals.log, signals.catalogue, signals.pairs.as_of, config.train.seed
    users = sample_users(log, after=moment, days=terms.days, n_max=terms.n_users, seed=seed)
    bought = hold_out(
        log, users, after=moment, days=terms.days, new_days=terms.new_days, basket_items=terms.basket_items, seed=seed
    )
    eligible = eligible_rows(catalogue, terms.filter)
    bought = bought.kept(eligible[bought.items])
    by_id = {record.user_id: record for record in signals.records(config, spec.id, users)}
    ids = [log.user_ids[int(user)].as_py() for user in users]
    records = [by_id.get(user) for user in ids]
    if config.slate.exclude_seen:
        bought = bought.kept(_unseen(bought, records, catalogue.keys))
    visits = [
        Visit(
            request=Request(
                user_id=user,
                k=config.slate.k_default,
                filter=terms.filter,
                basket=tuple(catalogue.ids[int(row)].as_py() for row in basket),
                asked_at=float(asked_at),
            ),
            record=record,
            wanted=wanted,
        )
        for user, record, basket, asked_at, wanted in zip(
            ids, records, bought.baskets, bought.asked_at, _by_user(bought, catalogue.keys), strict=True
        )
    ]
    return Trial(bought, visits, catalogue.keys[eligible])


def measure(signals: Signals, searchers: Searchers, terms: Terms, *, progress: Progress) -> Evaluation:
    """Ask the searchers, made of these signals, for what users bought after the signals' moment."""
    tried = trial(signals, searchers.spec, searchers.config, terms)
    n_users, n_items = len(tried.visits), len(tried.held_out.items)
    progress.begin("evaluate", n_users)
    hits = find(tried.visits, searchers, depth=terms.depth, eligible=tried.eligible, on_visit=progress.advance)
    progress.end(f"{n_users:,} users, {n_items:,} items they bought")
    activity = np.diff(signals.pairs.starts)[tried.held_out.users].astype(np.int64)
    return Evaluation(terms, hits, tried.held_out, activity, len(tried.eligible))


def _unseen(bought: HeldOut, records: Sequence[UserRecord | None], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    parts = [
        ~np.isin(mine, record.history.keys) if record is not None else np.ones(len(mine), bool)
        for mine, record in zip(_by_user(bought, keys), records, strict=True)
    ]
    return np.concatenate([np.empty(0, bool), *parts])


def _by_user(bought: HeldOut, keys: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The keys of what each user bought."""
    return np.split(keys[bought.items], bought.starts[1:-1])
