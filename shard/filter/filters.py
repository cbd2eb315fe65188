"""From a filter to the mask of rows that pass it: posting lists and vectorised comparisons, and a cache of their results.

An item that lacks an attribute fails every test of it, so a `must_not` lets it pass. `cluster/filtering.py` combines tests into
a filter; `shard/filter/eligible.py` adds the exclusion lists of single queries to a mask.
"""

from __future__ import annotations

import operator
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, reduce
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.errors import SchemaMismatch
from cluster.filtering import EVERYTHING, Condition, Filter, Op, check_filter, each_test, failing, passing
from cluster.spec import GenerationSpec
from cluster.types import Rows, UnknownValue
from shard.filter.attributes import BooleanColumn, CategoriesColumn, CategoryColumn, Column, NumberColumn
from shard.filter.eligible import Mask

Bits = NDArray[np.bool_]

CACHE_BYTES_MAX = 64 << 20

UNKNOWN_VALUES_MAX = 4
ALIKE_VALUES_MAX, ALIKE_LENGTH_MAX = 10_000, 256
"""No value is suggested for an attribute with more values than this, and no longer value."""


_COMPARISONS: dict[Op, Callable[[NDArray[np.float64], float], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Filters:
    """The masks of one shard's filters. Safe to use from several threads.

    bytes_max bounds what the cache keeps, counted as if every mask's row list had been asked for; the newest mask always stays.
    """

    def __init__(
        self, attributes: Mapping[str, Column], spec: GenerationSpec, *, n_rows: int, bytes_max: int = CACHE_BYTES_MAX
    ) -> None:
        """Raises SchemaMismatch where an attribute of the spec is missing or of another kind."""
        for attribute in spec.attributes:
            column = attributes.get(attribute.name)
            if column is None or column.kind != attribute.kind:
                raise SchemaMismatch(f"attribute {attribute.name} is not stored as {attribute.kind}")
        self.everything = Mask(np.ones(n_rows, np.bool_))
        self._spec = spec
        self._n_rows = n_rows
        self._bytes_max = bytes_max
        self._tests = {name: _test_of(column) for name, column in attributes.items()}
        self._masks: OrderedDict[Filter, Mask] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def cached_bytes(self) -> int:
        return self._bytes

    def mask(self, filter: Filter) -> Mask:
        """The rows that pass. The same object as long as it is cached. Raises UnknownFilterField or InvalidQuery."""
        if filter == EVERYTHING:
            return self.everything
        check_filter(filter, self._spec)
        with self._lock:
            if (cached := self._masks.get(filter)) is not None:
                self._masks.move_to_end(filter)
                return cached
        bits = passing(filter, self._n_rows, self._test)
        mask = Mask(bits, () if bits.any() else self._unknown_values(filter))
        with self._lock:
            return self._keep(filter, mask)

    def failing(self, filter: Filter, row: int) -> tuple[str, ...]:
        """What keeps a row out: see `cluster.filtering.failing`. Raises UnknownFilterField or InvalidQuery."""
        check_filter(filter, self._spec)
        return failing(filter, lambda test: bool(self._test(test)[row]))

    def _unknown_values(self, filter: Filter) -> tuple[UnknownValue, ...]:
        """The first values of categories that a filter requires, by tests that nothing negates, and that no row has."""
        wanted = (
            (test, self._tests[test.field])
            for pointer, test in each_test(filter)
            if test.op in ("eq", "in") and "must_not" not in pointer and "none_of" not in pointer
        )
        unknown = (found for test, held in wanted if isinstance(held, _Postings) for found in held.unknown_values(test))
        return tuple(islice(unknown, UNKNOWN_VALUES_MAX))

    def _test(self, condition: Condition) -> Bits:
        return self._tests[condition.field].passing(condition)

    def _keep(self, filter: Filter, mask: Mask) -> Mask:
        if filter in self._masks:  # another thread was faster: masks are compared by identity
            return self._masks[filter]
        self._masks[filter] = mask
        self._bytes += _cost(mask)
        while self._bytes > self._bytes_max and len(self._masks) > 1:
            _, dropped = self._masks.popitem(last=False)
            self._bytes -= _cost(dropped)
        return mask


class _Test(Protocol):
    def passing(self, condition: Condition) -> Bits:
        """(n,) bool, new: which rows have the attribute and meet a checked condition."""
        ...


class _Postings:
    """The rows of each value, for categories and sets of them."""

    def __init__(self, values: tuple[str, ...], codes: NDArray[np.int32], rows: Rows, n_rows: int) -> None:
        """codes, rows: (entries,), aligned, rows ascending: row i has value `values[code]`; a code of -1 is none."""
        order = np.argsort(codes, kind="stable")
        self._rows = rows[order]
        self._indptr = np.searchsorted(codes[order], np.arange(len(values) + 1))
        self._code = {value: at for at, value in enumerate(values)}
        self._n_rows = n_rows

    def passing(self, condition: Condition) -> Bits:
        bits = np.zeros(self._n_rows, np.bool_)
        negated = condition.op == "ne"
        if negated:
            bits[self._rows[self._indptr[0] :]] = True
        found = [self._code[value] for value in condition.values if isinstance(value, str) and value in self._code]
        if found:
            bits[np.concatenate([self._rows[self._indptr[code] : self._indptr[code + 1]] for code in found])] = not negated
        return bits

    def unknown_values(self, condition: Condition) -> Iterator[UnknownValue]:
        for value in condition.values:
            if isinstance(value, str) and value not in self._code:
                yield UnknownValue(condition.field, value, self._alike.get(_plain(value), ""))

    @cached_property
    def _alike(self) -> dict[str, str]:
        """Values by what remains of them without case and punctuation. Made at the first unknown value, in milliseconds."""
        if len(self._code) > ALIKE_VALUES_MAX:
            return {}
        return {_plain(value): value for value in self._code if len(value) <= ALIKE_LENGTH_MAX}


class _NumberTest:
    def __init__(self, column: NumberColumn) -> None:
        self._values = column.values

    def passing(self, condition: Condition) -> Bits:
        values = self._values  # comparisons with NaN are false, which is what a missing value must be
        if condition.op == "in":
            among: Bits = np.isin(values, np.array([float(v) for v in condition.values], np.float64))
            return among
        bits: Bits = _COMPARISONS[condition.op](values, float(condition.values[0]))
        return bits & ~np.isnan(values) if condition.op == "ne" else bits  # the one comparison that NaN meets


class _BooleanTest:
    def __init__(self, column: BooleanColumn) -> None:
        self._values = column.values
        self._present = column.present

    def passing(self, condition: Condition) -> Bits:
        negated = condition.op == "ne"
        wanted = [self._values if value != negated else ~self._values for value in set(condition.values)]
        return self._present & reduce(np.logical_or, wanted, np.zeros(len(self._values), np.bool_))


def _test_of(column: Column) -> _Test:
    n = len(column)
    if isinstance(column, CategoryColumn):
        return _Postings(column.values, column.codes, np.arange(n, dtype=np.int32), n)
    if isinstance(column, CategoriesColumn):
        rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(column.indptr))
        return _Postings(column.values, column.codes, rows, n)
    return _NumberTest(column) if isinstance(column, NumberColumn) else _BooleanTest(column)


def _plain(value: str) -> str:
    """
    >>> _plain("Soft-Drinks ")
    'softdrinks'
    """
    return re.sub(r"[\W_]+", "", value.casefold())


def _cost(mask: Mask) -> int:
    return len(mask.bits) + 4 * mask.count
