"""Columns of Parquet files, checked before a row is read and streamed in bounded batches.

It knows which Arrow types serve for which kind of column, and turns every other one, a missing column and an unreadable
file into one ConfigError that lists them all. What the columns mean is the reader's business (`catalogue`, `event_reader`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import types as at

from cluster.errors import ConfigError

Kind = Literal["string", "int64", "string or integer", "list of strings", "number", "boolean", "time", "vector", "shown"]

BATCH_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Column:
    """A column that must be there. `key`: the configuration key that names it, for the error message."""

    name: str
    key: str
    kind: Kind


def _is_string(t: pa.DataType) -> bool:
    if at.is_dictionary(t):
        return _is_string(t.value_type)
    return bool(at.is_string(t) or at.is_large_string(t) or at.is_string_view(t))


def _is_string_list(t: pa.DataType) -> bool:
    return bool((at.is_list(t) or at.is_large_list(t)) and _is_string(t.value_type))


def _is_vector(t: pa.DataType) -> bool:
    return bool((at.is_list(t) or at.is_large_list(t) or at.is_fixed_size_list(t)) and at.is_floating(t.value_type))


def _is_shown(t: pa.DataType) -> bool:
    """What JSON can show: one plain value, or a list of them."""
    if at.is_dictionary(t) or at.is_list(t) or at.is_large_list(t) or at.is_fixed_size_list(t):
        return _is_shown(t.value_type) and not at.is_nested(t.value_type)
    plain = (_is_string, at.is_integer, at.is_floating, at.is_decimal, at.is_boolean, at.is_date, at.is_timestamp)
    return any(accepts(t) for accepts in plain)


_ACCEPTS: dict[Kind, tuple[str, Callable[[pa.DataType], bool]]] = {
    "string": ("string", _is_string),
    "int64": ("an integer", at.is_integer),
    "string or integer": ("string or an integer", lambda t: _is_string(t) or at.is_integer(t)),
    "list of strings": ("list<string>", _is_string_list),
    "number": ("a number", lambda t: at.is_integer(t) or at.is_floating(t) or at.is_decimal(t)),
    "boolean": ("bool", at.is_boolean),
    "time": ("a timestamp, a date or integer Unix seconds", lambda t: at.is_timestamp(t) or at.is_date(t) or at.is_integer(t)),
    "vector": ("list<float> or fixed_size_list<float>", _is_vector),
    "shown": ("strings, numbers, booleans, dates, times or lists of these", _is_shown),
}

_PLAIN: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "string or integer": pa.string(),
    "list of strings": pa.list_(pa.string()),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.int64(),
    "vector": pa.large_list(pa.float32()),
}


class ParquetTable:
    """A Parquet file, or a folder of them, whose wanted columns are known to exist with fitting types.

    Raises ConfigError when it cannot be read, or a column is missing, of another type or wanted as two, naming file and column.
    """

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self.path = path
        self.columns = tuple(columns)
        if not path.exists():
            raise ConfigError(f"{path}: no such file")
        try:
            self._dataset = ds.dataset(path, format="parquet")
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"{path}: cannot be read as Parquet: {error}") from error
        schema: pa.Schema = self._dataset.schema
        problems = [problem for column in self.columns if (problem := _problem(schema, column))]
        problems += _double_meanings(self.columns)
        if problems:
            raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))

    def count_rows(self) -> int:
        return int(self._dataset.count_rows())

    def batches(self) -> Iterator[dict[str, pa.Array]]:
        """Column name -> values in their plain type, at most BATCH_ROWS rows at a time; times as int64 Unix seconds."""
        names = [column.name for column in self.columns]
        try:
            for batch in self._dataset.to_batches(columns=names, batch_size=BATCH_ROWS):
                if batch.num_rows:
                    yield {column.name: _plain(batch.column(column.name), column.kind) for column in self.columns}
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"{self.path}: cannot be read as Parquet: {error}") from error


def _problem(schema: pa.Schema, column: Column) -> str:
    expected, accepts = _ACCEPTS[column.kind]
    at_index = schema.get_field_index(column.name)
    if at_index < 0:
        return f"no column {column.name!r} ({column.key}), expected {expected}; the columns are {', '.join(schema.names)}"
    found = schema.field(at_index).type
    if not accepts(found):
        return f"column {column.name!r} ({column.key}) is {found}, expected {expected}"
    return ""


def _double_meanings(columns: Sequence[Column]) -> list[str]:
    """A column cannot be read as two kinds at once."""
    first: dict[str, Column] = {}
    return [
        f"column {column.name!r} is both {first[column.name].key} and {column.key}"
        for column in columns
        if first.setdefault(column.name, column).kind != column.kind
    ]


def _plain(values: pa.Array, kind: Kind) -> pa.Array:
    """The values in the plain Arrow type of their kind. Sub-second parts of times are cut off."""
    values = _decoded(values)
    if kind == "shown":
        return _shown(values)
    if kind == "time":
        if at.is_date(values.type):
            values = values.cast(pa.timestamp("s"))
        if at.is_timestamp(values.type):
            values = values.cast(pa.timestamp("s", values.type.tz), safe=False)
    if kind == "list of strings" and at.is_dictionary(values.type.value_type):
        values = values.cast(pa.list_(values.type.value_type.value_type))
    return values.cast(_PLAIN[kind])


def _shown(values: pa.Array) -> pa.Array:
    """In string, int64, float64, bool, or lists of one of these; dates and times as ISO 8601 text, times with a zone in UTC."""
    t = values.type
    if at.is_list(t) or at.is_large_list(t) or at.is_fixed_size_list(t):
        values = values.cast(pa.list_(t.value_type))
        inner = _shown(_decoded(values.values))
        return pa.ListArray.from_arrays(values.offsets, inner, mask=values.is_null() if values.null_count else None)
    if at.is_date(t):
        return pc.strftime(values.cast(pa.date32()), format="%Y-%m-%d")
    if at.is_timestamp(t):
        return pc.strftime(values.cast(pa.timestamp("s", t.tz), safe=False), format="%Y-%m-%dT%H:%M:%S" + ("Z" if t.tz else ""))
    if at.is_boolean(t):
        return values
    if at.is_integer(t):
        return values.cast(pa.int64())
    return values.cast(pa.string() if _is_string(t) else pa.float64())


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if at.is_dictionary(values.type) else values
