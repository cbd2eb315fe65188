"""An evaluation: requests of users whose future is known, asked of a generation that does not know it, and what came of them.

Where that generation comes from is `train/evaluate.py`, what the numbers mean is `train/worth.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.types import EVERYTHING, Filter
from router.request import Request
from train.eligibility import eligible_rows
from train.held_out import HeldOut, hold_out
from train.hits import Hits, Searchers, Visit, find
from train.progress import Progress
from train.ranking_rows import sample_users
from train.signals import Signals
from train.worth import Table, table


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
        """System -> metric -> value; see `train.worth`."""
        ks = sorted({min(100, self.terms.depth), self.terms.depth})
        return table(self.hits, self.held_out, n_eligible=self.n_eligible, ks=ks)

    @property
    def not_asked(self) -> tuple[str, ...]:
        """Sources of the generation that no request asked."""
        return tuple(name for name, n in zip(self.hits.systems, self.hits.asked, strict=True) if not n)


def measure(signals: Signals, searchers: Searchers, terms: Terms, *, progress: Progress) -> Evaluation:
    """Ask the searchers, made of these signals, for what a sample of the users active after the signals' moment bought."""
    moment, seed = signals.pairs.as_of, searchers.config.train.seed
    users = sample_users(signals.log, after=moment, days=terms.days, n_max=terms.n_users, seed=seed)
    bought = hold_out(
        signals.log,
        users,
        after=moment,
        days=terms.days,
        new_days=terms.new_days,
        basket_items=terms.basket_items,
        seed=seed,
    )
    eligible = eligible_rows(signals.catalogue, terms.filter)
    held_out, visits = _visits(signals, searchers, bought.kept(eligible[bought.items]), terms)
    progress.begin("evaluate", len(visits))
    hits = find(
        visits,
        searchers,
        depth=terms.depth,
        eligible=signals.catalogue.keys[eligible],
        on_visit=progress.advance,
    )
    progress.end(f"{len(visits):,} users, {len(held_out.items):,} items they bought")
    activity = np.diff(signals.pairs.starts)[users].astype(np.int64)
    return Evaluation(terms, hits, held_out, activity, int(np.count_nonzero(eligible)))


def _visits(signals: Signals, searchers: Searchers, bought: HeldOut, terms: Terms) -> tuple[HeldOut, Sequence[Visit]]:
    """A request for each user. Where seen items are never recommended, they are not asked for either."""
    config, catalogue = searchers.config, signals.catalogue
    records = {record.user_id: record for record in signals.records(config, searchers.spec.id, bought.users)}
    ids = [signals.log.user_ids[int(user)].as_py() for user in bought.users]
    if config.slate.exclude_seen:
        seen = [records[user].history.keys if user in records else catalogue.keys[:0] for user in ids]
        parts = np.split(catalogue.keys[bought.items], bought.starts[1:-1])
        unseen = [~np.isin(keys, old) for keys, old in zip(parts, seen, strict=True)]
        bought = bought.kept(np.concatenate([np.empty(0, bool), *unseen]))
    wanted = np.split(catalogue.keys[bought.items], bought.starts[1:-1])
    visits = [
        Visit(
            request=Request(
                user_id=user,
                k=config.slate.k_default,
                filter=terms.filter,
                basket=tuple(catalogue.ids[int(row)].as_py() for row in basket),
            ),
            record=records.get(user),
            wanted=keys,
        )
        for user, basket, keys in zip(ids, bought.baskets, wanted, strict=True)
    ]
    return bought, visits
