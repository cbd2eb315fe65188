"""The purchases of users after a moment: the truth that candidates are measured against.

Most of what a user buys in a month, the user bought in the month before, and any list of old purchases contains it. So each
item is also marked as new to the user or not, and recall is reported for all items and for the new ones. This module knows
nothing of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.input.event_log import DAY_S, EventLog


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """u users and the t items they bought. Rows of items are the catalogue's.

    users: (u,) int64, ascending positions in the log.  starts: (u + 1,) int64, user g bought items[starts[g]:starts[g + 1]].
    items: (t,) int32, ascending and unique within a user, those in the basket left out.
    new: (t,) bool, not bought by this user in the days before the moment.
    baskets: of each user, (b,) int32 rows: items of the first visit that are in the basket when the request comes.
    asked_at: (u,) int64, Unix seconds of that visit; the moment itself for a user without a visit.
    """

    users: NDArray[np.int64]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    new: NDArray[np.bool_]
    baskets: tuple[NDArray[np.int32], ...]
    asked_at: NDArray[np.int64]

    @property
    def groups(self) -> NDArray[np.int64]:
        """The user of each item, as a position in `users`: (t,) int64."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.starts))

    def items_of(self, at: int) -> NDArray[np.int32]:
        """What the user at this position in `users` bought."""
        return self.items[self.starts[at] : self.starts[at + 1]]

    def kept(self, keep: NDArray[np.bool_]) -> HeldOut:
        """Only the items that `keep` (t,) marks, such as those that a filter allows."""
        counts = np.bincount(self.groups[keep], minlength=len(self.users))
        return HeldOut(self.users, _starts(counts), self.items[keep], self.new[keep], self.baskets, self.asked_at)


def hold_out(
    log: EventLog,
    users: NDArray[np.int64],
    *,
    after: int,
    days: int,
    new_days: int,
    basket_items: int | NDArray[np.integer],
    seed: int,
) -> HeldOut:
    """What `users` bought in the `days` after a moment, Unix seconds.

    new_days: an item is new if the user did not buy it in this many days before the moment.  basket_items: the maximum number
    of items of a user's first visit that are in the basket, for all users or (u,). They are drawn by `seed` and do not depend
    on who else is in `users`.
    """
    window = log.since(after).as_of(after + days * DAY_S)
    bought = _pairs(window, users)
    before = _pairs(log.since(after - new_days * DAY_S).as_of(after), users)
    visits = _first_visits(window, users, otherwise=after)
    sizes = np.broadcast_to(basket_items, len(users))
    baskets = tuple(
        np.sort(np.random.default_rng((seed, int(user))).permutation(items)[:size])
        for user, size, (_, items) in zip(users, sizes, visits, strict=True)
    )
    in_basket = np.concatenate(
        [np.empty(0, np.int64), *(g * log.n_items + rows.astype(np.int64) for g, rows in enumerate(baskets))]
    )
    wanted = np.setdiff1d(bought, in_basket, assume_unique=True)
    groups, items = np.divmod(wanted, log.n_items)
    return HeldOut(
        users=users,
        starts=_starts(np.bincount(groups, minlength=len(users))),
        items=items.astype(np.int32),
        new=~np.isin(wanted, before, assume_unique=True),
        baskets=baskets,
        asked_at=np.array([time for time, _ in visits], np.int64),
    )


def _pairs(view: EventLog, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct (position in `users`, item) pairs of a view as position * n_items + item, ascending."""
    position = np.full(view.n_users, -1, np.int64)
    position[users] = np.arange(len(users))
    parts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for chunk in view.chunks():
        at = position[chunk.users]
        parts.append(at[at >= 0] * view.n_items + chunk.items[at >= 0])
    return np.unique(np.concatenate(parts))


def _first_visits(view: EventLog, users: NDArray[np.int64], *, otherwise: int) -> list[tuple[int, NDArray[np.int32]]]:
    """The first moment in the view of each of `users`, `otherwise` if there is none, and the items of that moment."""
    first = {int(user): (otherwise, np.empty(0, np.int32)) for user in users}
    for chunk in view.chunks():  # by user and then by time
        active, begins = np.unique(chunk.users, return_index=True)
        ends = np.append(begins, len(chunk.users))[1:]
        visit = chunk.times == np.repeat(chunk.times[begins], ends - begins)
        for user, begin, end in zip(active.tolist(), begins, ends, strict=True):
            if user in first:
                first[user] = int(chunk.times[begin]), np.unique(chunk.items[begin:end][visit[begin:end]])
    return list(first.values())


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
