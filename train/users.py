"""The record of each user for the user store, as of a moment: vectors, history, profile, features.

A user without any event by then has no record, unless a table of users has them: to the router this user is a stranger, as in
production.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.sections import UsersSection
from cluster.types import Affinity, Floats, Seeds, UserRecord
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.input.interactions import Interactions
from train.input.item_values import item_values
from train.input.user_table import UserTable
from train.lists.item_stats import filled
from train.lists.seed_sets import UserSeeds

_BLOCK_USERS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class UserFeatures:
    """names: F of them, each beginning with "user.".  values: (n_users, F) float32, finite; rows of strangers say nothing."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def beside(self, names: tuple[str, ...], values: NDArray[np.float32]) -> UserFeatures:
        """With more columns. values: (n_users, len(names)) float32."""
        return UserFeatures(self.names + names, np.concatenate((self.values, values), axis=1))


def user_features(
    log: EventLog, pairs: Interactions, catalogue: Catalogue, vectors: Floats, *, windows_days: Sequence[int]
) -> UserFeatures:
    """As of `pairs.as_of`: user.

    log_bought_<d>d (events in a window) · log_items (distinct ones) · repeat_share (of events that bought something again) ·
    visit_size (events per distinct time) · tenure_days, idle_days (since the first and the last event) · norm (of the
    user's vector) · mean_<number> (a numeric attribute over the items bought, weighted like the history).
    """
    n = pairs.n_users
    users = pairs.users
    events, visits = np.zeros(n), np.zeros(n)
    bought = {days: np.zeros(n) for days in windows_days}
    for chunk in log.as_of(pairs.as_of).chunks():
        events += np.bincount(chunk.users, minlength=n)
        new_visit = np.concatenate(([True], (chunk.times[1:] != chunk.times[:-1]) | (chunk.users[1:] != chunk.users[:-1])))
        visits += np.bincount(chunk.users[new_visit[: len(chunk.users)]], minlength=n)
        for days, counts in bought.items():
            recent = chunk.times > pairs.as_of - days * DAY_S
            counts += np.bincount(chunk.users[recent], minlength=n)

    n_items = np.diff(pairs.starts)
    columns: dict[str, NDArray[np.floating]] = {f"log_bought_{days}d": np.log1p(counts) for days, counts in bought.items()}
    columns["log_items"] = np.log1p(n_items)
    columns["repeat_share"] = 1 - n_items / np.maximum(events, 1)
    columns["visit_size"] = events / np.maximum(visits, 1)
    columns["tenure_days"] = _per_user(np.maximum, pairs.first_days, pairs.starts)
    columns["idle_days"] = _per_user(np.minimum, pairs.last_days, pairs.starts)
    columns["norm"] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    weight = np.bincount(users, pairs.weights, minlength=n)
    for spec in catalogue.specs:
        if spec.kind == "number":
            values = filled(catalogue.numbers(spec.name))
            total = np.bincount(users, pairs.weights * values[pairs.items], minlength=n)
            columns[f"mean_{spec.name}"] = total / np.maximum(weight, np.finfo(np.float32).tiny)
    names = tuple(f"user.{name}" for name in columns)
    return UserFeatures(names, np.stack(list(columns.values()), axis=1).astype(np.float32))


def user_records(
    log: EventLog,
    pairs: Interactions,
    catalogue: Catalogue,
    *,
    users: NDArray[np.integer],
    generation: str,
    vectors: Mapping[str, Floats],
    features: UserFeatures,
    profile: Sequence[str],
    section: UsersSection,
    seeds: Mapping[str, UserSeeds],
    declared: UserTable | None = None,
) -> Iterator[UserRecord]:
    """The records of those of `users`, positions in the log, of whom anything is known, in their order.

    vectors: space -> (n_users, dim) float32, of all users; zeros are no vector.  seeds: sets of all users.  declared: what
    they say of themselves, which is the profile of those who bought nothing.  A history holds the newest
    `section.history_max_items` items, newest first, and an affinity the strongest `section.profile_max_values` values of its
    attribute, strongest first.
    """
    matrix = pairs.matrix(pairs.weights)
    of_items = {name: item_values(catalogue, name) for name in profile}
    folds = {name: (values.shares(), values.values) for name, values in of_items.items()}  # what part of an item a value has
    buyers = np.diff(pairs.starts) > 0
    heard_of = buyers | np.any([np.diff(chosen.starts) > 0 for chosen in seeds.values()] or [buyers], axis=0)
    if declared is not None:
        heard_of |= declared.holds(log.user_ids)
    known = users[heard_of[users]]
    said = {} if declared is None else _declared(declared, catalogue, profile, log.user_ids, users=known[~buyers[known]])
    for block in np.split(known, range(_BLOCK_USERS, len(known), _BLOCK_USERS)):
        weights = matrix[block]
        totals = np.asarray(weights.sum(axis=1), np.float64).reshape(-1)
        affinities = {
            name: _affinities(weights @ fold, totals, values, section.profile_max_values)
            for name, (fold, values) in folds.items()
        }
        for at, user in enumerate(block):
            newest = _newest_first(pairs, int(user), section.history_max_items)
            yield UserRecord(
                user_id=log.user_ids[int(user)].as_py(),
                generation=generation,
                vectors={space: rows[user] for space, rows in vectors.items() if rows[user].any()},
                history=Seeds(catalogue.keys[pairs.items[newest]], pairs.weights[newest], pairs.last_days[newest]),
                profile={name: rows[at] for name, rows in affinities.items()} | said.get(int(user), {}),
                features=features.values[user],
                seeds={name: user_seeds.of(int(user), catalogue.keys) for name, user_seeds in seeds.items()},
            )


def _declared(
    table: UserTable, catalogue: Catalogue, profile: Sequence[str], user_ids: pa.Array, *, users: NDArray[np.integer]
) -> dict[int, dict[str, Affinity]]:
    """What some users say to like, by position in the log and attribute."""
    said: dict[int, dict[str, Affinity]] = {int(user): {} for user in users}
    for name in set(table.profile_attributes(catalogue.specs)) & set(profile):
        for user, affinity in zip(users, table.declared(name, user_ids.take(pa.array(users))), strict=True):
            if affinity is not None:
                said[int(user)][name] = affinity
    return said


def _newest_first(pairs: Interactions, user: int, n_max: int) -> NDArray[np.int64]:
    """Positions of a user's newest pairs, at most n_max; of equal age, the larger weight first, then the smaller key."""
    mine = slice(pairs.starts[user], pairs.starts[user + 1])
    order: NDArray[np.int64] = np.lexsort((pairs.items[mine], -pairs.weights[mine], pairs.last_days[mine]))[:n_max]
    return np.asarray(order + mine.start)


def _affinities(weights: sparse.csr_array, totals: NDArray[np.float64], values: Sequence[str], n_max: int) -> list[Affinity]:
    """Per row its strongest columns as shares of the row's total."""
    weights.sort_indices()
    affinities = []
    for row, total in enumerate(totals):
        mine = slice(weights.indptr[row], weights.indptr[row + 1])
        codes, sums = weights.indices[mine], weights.data[mine]
        strongest = np.lexsort((codes, -sums))[:n_max]
        shares = (sums[strongest] / total).astype(np.float32)
        affinities.append(Affinity(tuple(values[code] for code in codes[strongest]), shares))
    return affinities


def _per_user(which: np.ufunc, days: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.floating]:
    """The largest or smallest of each user's days; 0 for a user without pairs."""
    out = np.zeros(len(starts) - 1)
    present = np.flatnonzero(np.diff(starts))
    if len(present):
        out[present] = which.reduceat(days, starts[present])
    return out
