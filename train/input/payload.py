"""The payload of each item: any columns of the catalogue's file, in their own types.

Payload and attributes differ: a shop window shows a title, a picture's address, a year that is an integer, and nobody filters
on them. Strings, numbers, booleans, dates, times and lists of these can be shown; a date or a time becomes ISO 8601 text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types as at

from cluster.config.sections import CatalogSection
from train.input.parquet import Column, ParquetTable
from train.input.report import Tally

VALUE_BYTES_MAX = 8_192
"""Of one string of one item. A thousand items of it fit into a reply of a shard twice."""


def shown_names(section: CatalogSection) -> tuple[str, ...]:
    """The columns that are shown: those that are named, or every attribute with one value."""
    return section.payload or (*section.category, *section.number, *section.boolean)


def read_payload(
    path: Path, section: CatalogSection, usable: NDArray[np.bool_], *, kept: pa.Array, ids: pa.Array, tally: Tally
) -> pa.Table | None:
    """The columns that are shown, None if there is none. usable: (rows of the file,), which rows count.  kept: the positions
    among them of the catalogue's items, in its order, and ids: theirs. A value that cannot be shown is null and noted.

    Raises ConfigError for a column that is missing or cannot be shown.
    """
    names = shown_names(section)
    if not names:
        return None
    columns = [Column(name, "catalog.payload", "shown") for name in dict.fromkeys(names)]
    parts = list(ParquetTable(path, columns).batches())
    rows = pa.array(np.flatnonzero(usable)[kept.to_numpy()])
    whole = {column.name: pa.concat_arrays([part[column.name] for part in parts]).take(rows) for column in columns}
    wrong = {name: _unshowable(values) for name, values in whole.items()}
    for name, rows_of_it in wrong.items():
        if name not in section.number:  # what is wrong with attributes is noted as such
            tally.note(f"{name} not finite or longer than {VALUE_BYTES_MAX} bytes, so not shown", rows_of_it, ids)
    return pa.table({name: pc.if_else(pa.array(~wrong[name]), values, None) for name, values in whole.items()})


def _unshowable(values: pa.Array) -> NDArray[np.bool_]:
    """(n,) what JSON has no number for, and texts that are too long; a list with one of these."""
    if at.is_list(values.type):
        of_lists = np.zeros(len(values), bool)
        inner = _unshowable(pc.list_flatten(values))
        of_lists[pc.list_parent_indices(values).to_numpy(zero_copy_only=False)[inner]] = True
        return of_lists
    if at.is_string(values.type):
        fits = pc.less_equal(pc.binary_length(values), VALUE_BYTES_MAX)
    elif at.is_floating(values.type):
        fits = pc.is_finite(values)
    else:
        return np.zeros(len(values), bool)
    return np.asarray(~pc.fill_null(fits, True).to_numpy(zero_copy_only=False))
