"""The rows of the event file as fixed-width rows, batch by batch; rows that cannot be used are dropped and counted.

Dropped: null, empty and oversized users, null and unknown items, null and future times, null and unmapped event types, weights
that are not positive numbers. Kept but noted: rows earlier than the row before, rows without a context, and views and clicks
without a weight. `event_reader` handles the order of the rows and repeated rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from cluster.config.sections import EventsSection
from cluster.errors import ConfigError
from cluster.partition import item_keys
from train.input.catalogue import Catalogue
from train.input.event_log import COLUMNS, KINDS, NO_CONTEXT, TARGET
from train.input.parquet import Column, Kind
from train.input.report import Tally

ROW = np.dtype([("users", np.int32), *COLUMNS.items()])


def event_columns(section: EventsSection, catalogue: Catalogue) -> list[Column]:
    """The columns that the configuration names."""
    item_kind: Kind = "int64" if pa.types.is_integer(catalogue.ids.type) else "string"
    columns = [
        Column(section.user_column, "events.user_column", "string or integer"),
        Column(section.item_column, "events.item_column", item_kind),
        Column(section.time_column, "events.time_column", "time"),
    ]
    optional: dict[str, Kind] = {
        "weight_column": "number",
        "type_column": "string or integer",
        "context_column": "string or integer",
    }
    named = {key: getattr(section, key) for key in optional}
    return columns + [Column(name, f"events.{key}", optional[key]) for key, name in named.items() if name]


def event_kinds(section: EventsSection) -> dict[str, int]:
    """What each mapped value of the type column means: a position in KINDS. Raises ConfigError for a value of two meanings."""
    meanings: dict[str, int] = {}
    for code, kind in enumerate(KINDS):
        for value in getattr(section, f"{kind}_types"):
            if meanings.setdefault(value, code) != code:
                other = KINDS[meanings[value]]
                raise ConfigError(f"events: {value!r} is in both {other}_types and {kind}_types")
    return meanings


@dataclass(slots=True)
class EventRows:
    """Rows of consecutive batches. users: the ids seen so far, numbered as they came."""

    section: EventsSection
    catalogue: Catalogue
    tally: Tally
    now: float
    user_id_length_max: int
    users: dict[str, int] = field(default_factory=dict)
    _meanings: Mapping[str, int] = field(init=False)
    _latest: int = field(init=False, default=-(2**63))

    def __post_init__(self) -> None:
        self._meanings = event_kinds(self.section)

    def usable(self, batch: Mapping[str, pa.Array]) -> NDArray[np.void]:
        """The usable rows of a batch, (e,) of ROW, in their order."""
        section = self.section
        user, item, time = batch[section.user_column], batch[section.item_column], batch[section.time_column]
        self.tally.n_rows += len(user)
        usable = np.ones(len(user), bool)

        def drop(reason: str, bad: NDArray[np.bool_], values: pa.Array) -> None:
            self.tally.drop(reason, bad & usable, values)
            np.logical_and(usable, ~bad, out=usable)

        drop("null user", _is_null(user), user)
        length = pc.fill_null(pc.utf8_length(user), 1).to_numpy(zero_copy_only=False)
        drop("empty user id", length == 0, user)
        drop(f"user id longer than {self.user_id_length_max} (limits.id_length)", length > self.user_id_length_max, user)
        drop("null item", _is_null(item), item)
        drop("null time", _is_null(time), time)
        items = _item_rows(item, self.catalogue)
        drop("item not in the catalogue", items < 0, item)
        times = pc.fill_null(time, 0).to_numpy(zero_copy_only=False)
        drop("in the future", times > self.now, pc.cast(time, pa.timestamp("s")))
        kinds = np.full(len(user), KINDS.index(TARGET), np.int8)
        if section.type_column:
            types = batch[section.type_column]
            kinds = _by_value(types, lambda values: [self._meanings.get(value, -1) for value in values], -1).astype(np.int8)
            drop("null event type", _is_null(types), types)
            drop("event type that no events.*_types names", kinds < 0, types)
        weights = np.ones(len(user), np.float32)
        if section.weight_column:
            weight = batch[section.weight_column]
            bare = _is_null(weight) & (kinds != KINDS.index(TARGET))  # amounts are often told of purchases alone
            self.tally.note("no weight, of another kind than a purchase: counts as 1", bare & usable, user)
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is dropped
                weights = pc.fill_null(weight, np.nan).to_numpy(zero_copy_only=False).astype(np.float32)
            weights = np.where(bare, np.float32(1), weights)
            drop("weight not a positive number", ~(np.isfinite(weights) & (weights > 0)), weight)
        contexts = np.full(len(user), NO_CONTEXT)
        if section.context_column:
            context = batch[section.context_column]
            contexts = _by_value(context, item_keys, NO_CONTEXT)
            self.tally.note("no context", _is_null(context) & usable, user)
        self._note_disorder(times, usable, time)

        kept = np.empty(int(np.count_nonzero(usable)), ROW)
        kept["users"] = _user_codes(user.filter(pa.array(usable)), self.users)
        for name, values in zip(COLUMNS, (items, times, weights, kinds, contexts), strict=True):
            kept[name] = values[usable]
        return kept

    def _note_disorder(self, times: NDArray[np.int64], usable: NDArray[np.bool_], shown: pa.Array) -> None:
        """Count the usable rows that are earlier than the usable row before them, also across batches."""
        at = np.flatnonzero(usable)
        if len(at) == 0:
            return
        before = np.concatenate(([self._latest], times[at][:-1]))
        earlier = np.zeros(len(times), bool)
        earlier[at] = times[at] < before
        self.tally.note("earlier than the row before", earlier, pc.cast(shown, pa.timestamp("s")))
        self._latest = int(times[at[-1]])


def _item_rows(items: pa.Array, catalogue: Catalogue) -> NDArray[np.int64]:
    """The catalogue's row of each item, -1 if it has none."""
    return _by_value(items, lambda ids: catalogue.rows_of(item_keys(ids)), -1)


def _by_value(values: pa.Array, of: Callable[[list[str]], ArrayLike], missing: int) -> NDArray[np.int64]:
    """`of` of each value, `missing` for a null: (e,) int64. `of` sees each distinct value once."""
    encoded = values.dictionary_encode()
    lookup = np.append(np.asarray(of(encoded.dictionary.to_pylist()), np.int64), missing)  # a null's index, -1, is the last
    return np.asarray(lookup[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)])


def _user_codes(users: pa.Array, codes: dict[str, int]) -> NDArray[np.int32]:
    """A number per user, the next free one for users not seen before, which are added to `codes`."""
    encoded = users.dictionary_encode()
    lookup = [codes.setdefault(user, len(codes)) for user in encoded.dictionary.to_pylist()]
    return np.asarray(np.array(lookup, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)])


def _is_null(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), bool)
