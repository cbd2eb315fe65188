"""Item attributes as columns over the rows of a shard, and their Arrow form. How they are filtered on is
`shard/filter/filters.py`.

A missing value is a code of -1, an empty set, NaN, or a false `present`; in Arrow it is null (or an empty list).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.spec import AttributeKind
from cluster.types import Rows
from shard.csr import slices

Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class CategoryColumn:
    """One string an item. values: distinct, ascending.  codes: (n,) int32 positions in values, -1 where missing."""

    kind: ClassVar[AttributeKind] = "category"
    values: tuple[str, ...]
    codes: Codes

    def __post_init__(self) -> None:
        assert self.codes.dtype == np.int32 and self.codes.ndim == 1, f"codes must be 1-d int32, got {self.codes.dtype}"

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Rows) -> CategoryColumn:
        return CategoryColumn(*_only_used(self.values, self.codes[rows]))


@dataclass(frozen=True, slots=True, eq=False)
class CategoriesColumn:
    """A set of strings an item, as CSR. values: distinct, ascending.  indptr: (n + 1,) int64.

    codes: (entries,) int32, positions in values; those of row i are codes[indptr[i]:indptr[i + 1]], distinct.
    """

    kind: ClassVar[AttributeKind] = "categories"
    values: tuple[str, ...]
    indptr: NDArray[np.int64]
    codes: Codes

    def __post_init__(self) -> None:
        assert self.codes.dtype == np.int32 and self.indptr.dtype == np.int64, "codes must be int32, indptr int64"
        assert len(self.indptr) > 0 and self.indptr[-1] == len(self.codes), "indptr must end at the number of codes"

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def take(self, rows: Rows) -> CategoriesColumn:
        at, indptr = slices(self.indptr, rows)
        values, codes = _only_used(self.values, self.codes[at])
        return CategoriesColumn(values, indptr, codes)


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """values: (n,) float64, finite, NaN where missing."""

    kind: ClassVar[AttributeKind] = "number"
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.float64 and self.values.ndim == 1, f"numbers must be float64, got {self.values.dtype}"

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Rows) -> NumberColumn:
        return NumberColumn(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class BooleanColumn:
    """values, present: (n,) bool. Where not present, the value is False and means nothing."""

    kind: ClassVar[AttributeKind] = "boolean"
    values: NDArray[np.bool_]
    present: NDArray[np.bool_]

    def __post_init__(self) -> None:
        assert self.values.dtype == np.bool_ and self.present.dtype == np.bool_, "values and present must be bool"
        assert len(self.values) == len(self.present), f"{len(self.values)} values, {len(self.present)} present"

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Rows) -> BooleanColumn:
        return BooleanColumn(self.values[rows], self.present[rows])


Column = CategoryColumn | CategoriesColumn | NumberColumn | BooleanColumn


def column_from_arrow(kind: AttributeKind, array: pa.Array) -> Column:
    """A column from an Arrow array (or chunked array) of string, list<string>, number or bool, dictionary-encoded or not."""
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if kind == "category":
        return CategoryColumn(*_codes(array))
    if kind == "categories":
        return _sets(array)
    if kind == "number":
        return NumberColumn(np.array(array.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64))
    present = array.is_valid().to_numpy(zero_copy_only=False)
    return BooleanColumn(array.fill_null(False).to_numpy(zero_copy_only=False), present)


def column_to_arrow(column: Column) -> pa.Array:
    """The array that `column_from_arrow` reads: strings are dictionary-encoded, what is missing is null."""
    if isinstance(column, CategoryColumn):
        return _dictionary(column.values, column.codes)
    if isinstance(column, CategoriesColumn):
        return pa.LargeListArray.from_arrays(pa.array(column.indptr), _dictionary(column.values, column.codes))
    if isinstance(column, NumberColumn):
        return pa.array(column.values, mask=np.isnan(column.values))
    return pa.array(column.values, mask=~column.present)


def _only_used(values: tuple[str, ...], codes: Codes) -> tuple[tuple[str, ...], Codes]:
    """Values without those no code refers to, and the codes that go with them."""
    used = np.zeros(len(values) + 1, np.bool_)  # the last place is code -1's
    used[codes] = True
    used[-1] = False
    new_codes = np.cumsum(used, dtype=np.int32) - np.int32(1)
    new_codes[-1] = -1
    return tuple(values[i] for i in np.flatnonzero(used)), new_codes[codes].astype(np.int32)


def _codes(array: pa.Array) -> tuple[tuple[str, ...], Codes]:
    """Distinct values, ascending, and each entry's position among them, -1 for null."""
    encoded = array if isinstance(array, pa.DictionaryArray) else array.dictionary_encode()
    found: Sequence[str] = encoded.dictionary.to_pylist()
    codes: Codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    values = tuple(sorted(set(found)))
    if values == tuple(found):
        return values, codes
    at = {value: i for i, value in enumerate(values)}
    new_codes = np.array([*(at[value] for value in found), -1], np.int32)
    return values, new_codes[codes]


def _sets(array: pa.ListArray) -> CategoriesColumn:
    """Nulls within a list and repeated values are left out."""
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values, codes = _codes(array.flatten())
    rows = np.repeat(np.arange(len(array), dtype=np.int64), lengths)
    present = codes >= 0
    pairs = rows[present] * max(len(values), 1) + codes[present]
    if not (pairs[1:] > pairs[:-1]).all():
        pairs = np.unique(pairs)
    rows, codes = np.divmod(pairs, max(len(values), 1))
    indptr = np.searchsorted(rows, np.arange(len(array) + 1))
    return CategoriesColumn(values, indptr.astype(np.int64), codes.astype(np.int32))


def _dictionary(values: tuple[str, ...], codes: Codes) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(values, pa.string()))
