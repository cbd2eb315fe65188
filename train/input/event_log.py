"""The event log, ordered by user and then by time, on disk and mapped into memory.

The order makes every question a fold over users: what a user had bought by some moment is a prefix of the user's events,
so a view of the log as of T costs nothing and cannot see what came later. Ids have become positions: users in
`user_ids`, items in the catalogue. A view shows purchases, the target, unless it is asked for another kind of event, so code
that ignores kinds handles purchases correctly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from shard.arrow_file import only_chunk

_CHUNK_EVENTS = 1 << 21
_FOREVER = 2**62
_HALVINGS_MAX = 100

EventKind = Literal["view", "click", "purchase", "favourite"]
KINDS: tuple[EventKind, ...] = ("view", "click", "purchase", "favourite")  # stored as their position here
TARGET: EventKind = "purchase"
NO_CONTEXT = -(2**63)

USER_IDS = "user_ids.arrow"
COLUMNS = {"items": np.int32, "times": np.int64, "weights": np.float32, "kinds": np.int8, "contexts": np.int64}
ARRAYS = {"starts": np.int64, **COLUMNS}  # each in its own .bin file

DAY_S = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The events of users [first_user, end_user) in a view, ordered by user, time, item.

    users: (e,) int32, position in the log's user_ids.  items: (e,) int32 rows of the catalogue.
    times: (e,) int64 Unix seconds.  weights: (e,) float32.  kinds: (e,) int8 positions in KINDS.
    contexts: (e,) int64, equal for the events of one basket or session of a user, NO_CONTEXT where none is known.
    """

    first_user: int
    end_user: int
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]
    kinds: NDArray[np.int8]
    contexts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """A view: events of the `wanted` kinds with after < time <= until.

    user_ids: (U,) string, ascending.  starts: (U + 1,) int64 into the arrays.  n_items is the size of the catalogue.
    """

    user_ids: pa.Array
    n_items: int
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]
    kinds: NDArray[np.int8]
    contexts: NDArray[np.int64]
    after: int = -_FOREVER
    until: int = _FOREVER
    wanted: tuple[EventKind, ...] = (TARGET,)

    @property
    def n_users(self) -> int:
        """Of the whole log; some have no event in this view."""
        return len(self.user_ids)

    def of(self, *kinds: EventKind) -> EventLog:
        """The same log with the events of these kinds, which may be others than it showed before; `of(*KINDS)` shows all."""
        return replace(self, wanted=kinds)

    def as_of(self, time: int) -> EventLog:
        """The same log without anything later than `time`."""
        return replace(self, until=min(self.until, time))

    def since(self, time: int) -> EventLog:
        """The same log without anything at or before `time`."""
        return replace(self, after=max(self.after, time))

    def chunks(self) -> Iterator[Chunk]:
        """The view's events in chunks of whole users, about 2 million stored events each; every user is in one chunk.

        A log without users has one chunk, too, without events.
        """
        wanted = np.array([kind in self.wanted for kind in KINDS])
        first = 0
        while True:
            reach = int(np.searchsorted(self.starts, self.starts[first] + _CHUNK_EVENTS, side="right")) - 1
            end = min(max(reach, first + 1), self.n_users)
            stored = slice(int(self.starts[first]), int(self.starts[end]))
            times = self.times[stored]
            inside = (times > self.after) & (times <= self.until) & wanted[self.kinds[stored]]
            users = np.repeat(np.arange(first, end, dtype=np.int32), np.diff(self.starts[first : end + 1]))
            yield Chunk(first, end, users[inside], **{name: getattr(self, name)[stored][inside] for name in COLUMNS})
            if end == self.n_users:
                return
            first = end

    def count_by_kind(self) -> dict[EventKind, int]:
        """How many events of each kind the whole log has, whatever this view shows; kinds without any are left out."""
        counts = np.zeros(len(KINDS), np.int64)
        for begin in range(0, len(self.kinds), _CHUNK_EVENTS):
            counts += np.bincount(self.kinds[begin : begin + _CHUNK_EVENTS], minlength=len(KINDS))
        return {kind: int(n) for kind, n in zip(KINDS, counts, strict=True) if n}

    @property
    def has_purchases(self) -> bool:
        """Whether the whole log has any event of the target. A catalogue without a log has a log without events."""
        return TARGET in self.count_by_kind()

    @classmethod
    def open(cls, folder: Path, n_items: int) -> EventLog:
        """The log that `event_reader` wrote there."""
        with pa.OSFile(str(folder / USER_IDS)) as source:
            user_ids = pa.ipc.open_file(source).read_all().column("user_id")
        arrays = (_mapped(folder / f"{name}.bin", dtype) for name, dtype in ARRAYS.items())
        starts, items, times, weights, kinds, contexts = arrays
        return cls(only_chunk(user_ids), n_items, starts, items, times, weights, kinds, contexts)


def _mapped(path: Path, dtype: DTypeLike) -> NDArray[Any]:
    """An empty file cannot be mapped."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def half_life_decay(ages_days: NDArray[np.floating], half_life_days: float) -> NDArray[np.float32]:
    """2^(-age / half-life), aligned; never so small that a sum of it could be zero in float32."""
    decay: NDArray[np.float32] = np.exp2(-np.minimum(ages_days / half_life_days, _HALVINGS_MAX)).astype(np.float32)
    return decay
