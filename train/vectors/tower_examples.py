"""What the two-tower model learns from: users at moments of the past, as the user store would have shown them then, and what
each went on to buy.

A moment's examples see nothing after it but their labels, so nothing leaks; histories, weights and features come from the same
functions as the records that serve. Memory is bounded by the number of examples and the length of their histories, beside one
moment's pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.train import TwoTowerSection
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.input.interactions import Interactions, interactions
from train.input.user_table import UserTable
from train.users import UserFeatures, user_features

Floats = NDArray[np.float32]

_OF_VECTORS = "user.norm"  # of the user's vector in another space, which past moments do not have


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """e rows of different lengths: row g is items[starts[g]:starts[g + 1]]. starts: (e + 1,) int64.  items: (t,) int32."""

    starts: NDArray[np.int64]
    items: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def positions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions in `items` of these rows' items, row after row, and the starts of the rows among them."""
        counts = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        return np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], counts), starts


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """e users at moments. histories: the newest items of each, newest first, and weights aligned with them.

    features: (e, F) float32, as their record would hold.  labels: the distinct items each bought in the window after its
    moment, at least one.  users: (e,) int64, positions in the log.  moments: (e,) int64, Unix seconds.
    """

    histories: Ragged
    weights: Floats
    features: Floats
    labels: Ragged
    users: NDArray[np.int64]
    moments: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """These examples, in this order."""
        history, starts = self.histories.positions(rows)
        labels, label_starts = self.labels.positions(rows)
        return Examples(
            Ragged(starts, self.histories.items[history]),
            self.weights[history],
            self.features[rows],
            Ragged(label_starts, self.labels.items[labels]),
            self.users[rows],
            self.moments[rows],
        )


@dataclass(frozen=True, eq=False)
class Past:
    """A log, and how it is read at a moment. declared: what is known of users beside it."""

    log: EventLog
    catalogue: Catalogue
    section: TwoTowerSection
    half_life_days: float
    windows_days: tuple[int, ...]
    declared: UserTable | None = None

    def moments(self, as_of: int) -> list[int]:
        """At most `n_moments`, newest first, whose windows of `label_days` follow each other up to `as_of`.

        The oldest has at least as many days of log before it. None if the log is shorter than two windows.
        """
        first = min((int(chunk.times.min()) for chunk in self.log.as_of(as_of).chunks() if len(chunk.times)), default=as_of)
        window = self.section.label_days * DAY_S
        return [as_of - k * window for k in range(1, self.section.n_moments + 1) if as_of - (k + 1) * window >= first]

    def examples(self, moment: int, *, n_max: int, rng: np.random.Generator) -> tuple[Examples, tuple[str, ...]]:
        """At most n_max of the users of whom something is known at the moment and who bought something in the window after it.

        And the names of their features.
        """
        log, section = self.log, self.section
        pairs = interactions(log, as_of=moment, half_life_days=self.half_life_days)
        bought = _bought(log.since(moment).as_of(moment + section.label_days * DAY_S))
        users = np.flatnonzero(((np.diff(pairs.starts) > 0) | self._held) & (np.diff(bought.starts) > 0))
        if len(users) > n_max:
            users = np.sort(rng.choice(users, n_max, replace=False))
        at, starts = newest(pairs, users, section.n_history_max)
        features = self._features(pairs)
        labels, label_starts = bought.positions(users)
        examples = Examples(
            Ragged(starts, pairs.items[at]),
            pairs.weights[at],
            features.values[users],
            Ragged(label_starts, bought.items[labels]),
            users,
            np.full(len(users), moment),
        )
        return examples, features.names

    def _features(self, pairs: Interactions) -> UserFeatures:
        no_vectors = np.zeros((self.log.n_users, 1), np.float32)
        features = user_features(self.log, pairs, self.catalogue, no_vectors, windows_days=self.windows_days)
        return tower_features(features if self._declared is None else features.beside(*self._declared))

    @cached_property
    def _declared(self) -> tuple[tuple[str, ...], Floats] | None:
        return None if self.declared is None else self.declared.features(self.log.user_ids)

    @cached_property
    def _held(self) -> NDArray[np.bool_]:
        """Whose record exists even without a history."""
        return np.zeros(self.log.n_users, bool) if self.declared is None else self.declared.holds(self.log.user_ids)


def tower_features(features: UserFeatures) -> UserFeatures:
    """The features that the tower reads: those that need no vector of another space."""
    kept = [at for at, name in enumerate(features.names) if name != _OF_VECTORS]
    return UserFeatures(tuple(features.names[at] for at in kept), features.values[:, kept])


def newest(pairs: Interactions, users: NDArray[np.int64], n_max: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the newest n_max pairs of each user, in the order of their record's history, and each user's start."""
    everything = Ragged(pairs.starts, pairs.items)
    at, starts = everything.positions(users)
    groups = np.repeat(np.arange(len(users)), np.diff(starts))
    order = np.lexsort((pairs.items[at], -pairs.weights[at], pairs.last_days[at], groups))
    kept = np.arange(len(order)) - starts[groups] < n_max  # `groups` is ascending: sorted or not, it is the same
    counts = np.bincount(groups[kept], minlength=len(users))
    return at[order[kept]], np.concatenate(([0], np.cumsum(counts)))


def joined(parts: Sequence[Examples]) -> Examples:
    """All examples of the parts, at least one part."""
    return Examples(
        _stacked([part.histories for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.features for part in parts]),
        _stacked([part.labels for part in parts]),
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.moments for part in parts]),
    )


def _stacked(parts: Sequence[Ragged]) -> Ragged:
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    return Ragged(np.concatenate(([0], np.cumsum(counts))), np.concatenate([part.items for part in parts]))


def _bought(window: EventLog) -> Ragged:
    """The distinct items of each user in a view, ascending: a row for each user of the log."""
    users, items = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for chunk in window.chunks():
        ones = np.ones(len(chunk.items), np.int8)
        shape = (chunk.end_user - chunk.first_user, window.n_items)
        distinct = sparse.csr_array((ones, (chunk.users - chunk.first_user, chunk.items)), shape=shape)
        distinct.sum_duplicates()
        users.append(np.repeat(np.arange(chunk.first_user, chunk.end_user), np.diff(distinct.indptr)))
        items.append(distinct.indices.astype(np.int32))
    counts = np.bincount(np.concatenate(users), minlength=window.n_users)
    return Ragged(np.concatenate(([0], np.cumsum(counts))), np.concatenate(items))
