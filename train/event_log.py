"""The purchase log, ordered by user and then by time, on disk and mapped into memory.

The order makes every question a fold over users: what a user had bought by some moment is a prefix of the user's events,
so a view of the log as of T costs nothing and cannot see what came later. Ids have become positions: users in
`user_ids`, items in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_CHUNK_EVENTS = 1 << 21
_FOREVER = 2**62
_HALVINGS_MAX = 100

USER_IDS = "user_ids.arrow"
ARRAYS = {"starts": np.int64, "items": np.int32, "times": np.int64, "weights": np.float32}  # each in its own .bin file

DAY_S = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The events of users [first_user, end_user) in a view, ordered by user, time, item.

    users: (e,) int32, position in the log's user_ids.  items: (e,) int32 rows of the catalogue.
    times: (e,) int64 Unix seconds.  weights: (e,) float32.
    """

    first_user: int
    end_user: int
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """A view: events with after < time <= until. user_ids: (U,) string, ascending.  starts: (U + 1,) int64 into the arrays.

    n_items is the size of the catalogue.
    """

    user_ids: pa.Array
    n_items: int
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]
    after: int = -_FOREVER
    until: int = _FOREVER

    @property
    def n_users(self) -> int:
        """Of the whole log; some have no event in this view."""
        return len(self.user_ids)

    def as_of(self, time: int) -> EventLog:
        """The same log without anything later than `time`."""
        return replace(self, until=min(self.until, time))

    def since(self, time: int) -> EventLog:
        """The same log without anything at or before `time`."""
        return replace(self, after=max(self.after, time))

    def chunks(self) -> Iterator[Chunk]:
        """The view's events in chunks of whole users, about 2 million stored events each; every user is in one chunk."""
        first = 0
        while first < self.n_users:
            reach = int(np.searchsorted(self.starts, self.starts[first] + _CHUNK_EVENTS, side="right")) - 1
            end = min(max(reach, first + 1), self.n_users)
            stored = slice(int(self.starts[first]), int(self.starts[end]))
            times = self.times[stored]
            inside = (times > self.after) & (times <= self.until)
            users = np.repeat(np.arange(first, end, dtype=np.int32), np.diff(self.starts[first : end + 1]))
            yield Chunk(first, end, users[inside], self.items[stored][inside], times[inside], self.weights[stored][inside])
            first = end

    @classmethod
    def open(cls, folder: Path, n_items: int) -> EventLog:
        """The log that `event_reader` wrote there."""
        with pa.OSFile(str(folder / USER_IDS)) as source:
            user_ids = pa.ipc.open_file(source).read_all().column("user_id")
        starts, items, times, weights = (np.memmap(folder / f"{name}.bin", dtype, "r") for name, dtype in ARRAYS.items())
        return cls(pa.concat_arrays(user_ids.chunks), n_items, starts, items, times, weights)


def half_life_decay(ages_days: NDArray[np.floating], half_life_days: float) -> NDArray[np.float32]:
    """2^(-age / half-life), aligned; never so small that a sum of it could be zero in float32."""
    decay: NDArray[np.float32] = np.exp2(-np.minimum(ages_days / half_life_days, _HALVINGS_MAX)).astype(np.float32)
    return decay
