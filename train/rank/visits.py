"""Requests of the past with the purchases that followed: ranking models learn from them and are judged by them.

A request is made at the user's first visit after the moment. Every other user has a basket, some items of that visit, so that
the models learn to use the sources that read baskets; items in the basket are no longer wanted. Some users ask once more as
strangers: the request has no record, only the items that their first basket begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.config.sections import Config
from cluster.filtering import EVERYTHING, Filter
from cluster.spec import GenerationSpec
from cluster.types import NO_KEYS, Keys, UserRecord
from router.request import Request
from train.rank.held_out import HeldOut, hold_out
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
    wanted: Keys

    @property
    def seen(self) -> Keys:
        """Keys of the items in the user's history, none of a stranger."""
        return NO_KEYS if self.record is None else self.record.history.keys


def held_out_after(
    signals: Signals,
    config: Config,
    users: NDArray[np.int64],
    *,
    days: int,
    new_days: int,
    basket_items: int | NDArray[np.integer],
) -> HeldOut:
    """What `users`, ascending positions in the log, bought in the days after the signals' moment. Else as `hold_out`."""
    after, seed = signals.pairs.as_of, config.train.seed
    return hold_out(signals.log, users, after=after, days=days, new_days=new_days, basket_items=basket_items, seed=seed)


def visits_of(
    held_out: HeldOut, signals: Signals, spec: GenerationSpec, config: Config, *, filter: Filter = EVERYTHING
) -> Iterator[Visit]:
    """A visit of each held-out user, in order, with the record that a generation of these signals has of the user."""
    records = {record.user_id: record for record in signals.records(config, spec.id, held_out.users)}
    for at, user in enumerate(held_out.users.tolist()):
        user_id = signals.log.user_ids[user].as_py()
        request = _request(signals, config, user_id, held_out.baskets[at], asked_at=held_out.asked_at[at], filter=filter)
        wanted = signals.catalogue.keys[held_out.items_of(at)]  # rows ascend, and so do their keys
        yield Visit(request, records.get(user_id), wanted)


def past_visits(
    signals: Signals, spec: GenerationSpec, config: Config, *, users: NDArray[np.int64], label_days: int
) -> Iterator[Visit]:
    """A visit of each of `users`, ascending positions in the log, who want what they bought in the days after the signals'
    moment. Users at even positions have a basket. A visit does not depend on the other users.
    """
    basket_items = np.where(users % 2, 0, BASKET_ITEMS)
    held_out = held_out_after(signals, config, users, days=label_days, new_days=label_days, basket_items=basket_items)
    return visits_of(held_out, signals, spec, config)


def stranger_visits(
    signals: Signals, config: Config, *, users: NDArray[np.int64], label_days: int
) -> tuple[NDArray[np.int64], list[Visit]]:
    """Those of `users` who buy at least two items at their first visit, and that visit without a record of the user.

    One to five of the items are in the basket, and the rest of that visit is wanted: a session is about one visit, and no
    basket predicts what a stranger buys in a fortnight.
    """
    keys, seed = signals.catalogue.keys, config.train.seed
    held_out = held_out_after(signals, config, users, days=label_days, new_days=label_days, basket_items=_VISIT_ITEMS_MAX)
    kept, visits = [], []
    for user, bought, asked_at in zip(users.tolist(), held_out.baskets, held_out.asked_at, strict=True):
        if len(bought) < 2:
            continue
        rng = np.random.default_rng((seed, user))
        n_basket = rng.integers(1, min(_STRANGER_BASKET_MAX, len(bought) - 1) + 1)
        basket, rest = np.split(rng.permutation(bought), [n_basket])
        kept.append(user)
        visits.append(Visit(_request(signals, config, STRANGER, basket, asked_at=asked_at), None, np.sort(keys[rest])))
    return np.array(kept, np.int64), visits


def _request(
    signals: Signals,
    config: Config,
    user_id: str,
    basket: NDArray[np.int32],
    *,
    asked_at: np.int64,
    filter: Filter = EVERYTHING,
) -> Request:
    """basket: rows of the catalogue."""
    items = tuple(signals.catalogue.ids.take(pa.array(basket)).to_pylist())
    return Request(user_id=user_id, k=config.slate.k_default, filter=filter, basket=items, asked_at=float(asked_at))
