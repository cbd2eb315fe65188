"""Requests of the past, and what their users bought: ranking models learn from them and are judged by them.

A request comes at the user's first visit after the moment. Every second user has some items of that visit in the basket, so
that models learn to use the sources that read a basket; these items are no longer targets. Some users come once more as
strangers: nothing is known about them but the first items of their first basket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.spec import GenerationSpec
from cluster.types import UserRecord
from router.request import Request
from train.rank.held_out import hold_out
from train.signals import Signals

BASKET_ITEMS = 3
STRANGER = ""
_VISIT_ITEMS_MAX = 10_000
_STRANGER_BASKET_MAX = 5


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One user's request and what became of it. wanted: keys of the items bought, (w,) int64, ascending."""

    request: Request
    record: UserRecord | None
    wanted: NDArray[np.int64]


def past_visits(
    signals: Signals,
    spec: GenerationSpec,
    config: Config,
    *,
    users: NDArray[np.int64],
    label_days: int,
    basket_items: int = BASKET_ITEMS,
) -> Iterator[Visit]:
    """A visit of each of `users`, positions in the log, ascending: wanted is what they bought in the days after the signals'
    moment. The same visit whoever else is asked. basket_items: how many there are at most in a basket.
    """
    catalogue = signals.catalogue
    records = {record.user_id: record for record in signals.records(config, spec.id, users)}
    held_out = hold_out(
        signals.log,
        users,
        after=signals.pairs.as_of,
        days=label_days,
        new_days=label_days,
        basket_items=basket_items,
        seed=config.train.seed,
    )
    for at, user in enumerate(users.tolist()):
        bought = held_out.items[held_out.starts[at] : held_out.starts[at + 1]]
        basket = held_out.baskets[at]
        if user % 2:
            bought, basket = np.union1d(bought, basket), basket[:0]
        user_id = signals.log.user_ids[user].as_py()
        request = Request(
            user_id=user_id,
            k=config.slate.k_default,
            basket=tuple(catalogue.ids[int(row)].as_py() for row in basket),
            asked_at=float(held_out.asked_at[at]),
        )
        yield Visit(request, records.get(user_id), np.sort(catalogue.keys[bought]))


def stranger_visits(
    signals: Signals, config: Config, *, users: NDArray[np.int64], label_days: int
) -> tuple[NDArray[np.int64], list[Visit]]:
    """The first visits of those `users` who buy more than one item at it, as visits of unknown users.

    One to five items are in the basket, and wanted is the rest of that visit: that is what a session is about, and what a
    stranger buys in a fortnight no basket tells.
    """
    catalogue, seed = signals.catalogue, config.train.seed
    held_out = hold_out(
        signals.log,
        users,
        after=signals.pairs.as_of,
        days=label_days,
        new_days=label_days,
        basket_items=_VISIT_ITEMS_MAX,
        seed=seed,
    )
    kept, visits = [], []
    for at, user in enumerate(users.tolist()):
        bought = held_out.baskets[at]
        if len(bought) < 2:
            continue
        rng = np.random.default_rng((seed, user))
        n_basket = rng.integers(1, min(_STRANGER_BASKET_MAX, len(bought) - 1) + 1)
        basket, rest = np.split(rng.permutation(bought), [n_basket])
        request = Request(
            user_id=STRANGER,
            k=config.slate.k_default,
            basket=tuple(catalogue.ids[int(row)].as_py() for row in basket),
            asked_at=float(held_out.asked_at[at]),
        )
        kept.append(user)
        visits.append(Visit(request, None, np.sort(catalogue.keys[rest])))
    return np.array(kept, np.int64), visits
