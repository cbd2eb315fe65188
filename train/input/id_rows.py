"""Tables whose rows are named by an id, items or users: every usable row once, and the others counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.errors import ConfigError
from train.input.parquet import Column, ParquetTable
from train.input.report import Tally

_JSON_INT_MAX = 2**53 - 1  # a JavaScript client would corrupt larger ids


def read_id_rows(
    path: Path, columns: Sequence[Column], tally: Tally, *, thing: str, id_length_max: int
) -> tuple[dict[str, pa.Array], NDArray[np.bool_]]:
    """The columns of the rows with a usable id, by name, and which rows of the file those are, (rows of the file,).

    columns: that of the ids first.  thing: what a row is, for the error message.  Null, empty and oversized ids are dropped and
    counted. Raises ConfigError for a missing or mistyped column and for a file without a usable row.
    """
    id_column = columns[0].name
    parts: list[dict[str, pa.Array]] = []
    masks: list[NDArray[np.bool_]] = []
    for batch in ParquetTable(path, columns).batches():
        tally.n_rows += len(batch[id_column])
        usable = _usable(batch[id_column], tally, id_length_max)
        masks.append(usable)
        parts.append({name: values.filter(pa.array(usable)) for name, values in batch.items()})
    if not any(usable.any() for usable in masks):
        raise ConfigError(f"{path}: no usable {thing} among {tally.n_rows} rows")
    return {column.name: pa.concat_arrays([part[column.name] for part in parts]) for column in columns}, np.concatenate(masks)


def _usable(ids: pa.Array, tally: Tally, id_length_max: int) -> NDArray[np.bool_]:
    null = pc.is_null(ids).to_numpy(zero_copy_only=False)
    tally.drop("null id", null, ids)
    if pa.types.is_integer(ids.type):
        too_large = ~null & pc.fill_null(pc.greater(pc.abs(ids), _JSON_INT_MAX), False).to_numpy(zero_copy_only=False)
        tally.drop("id beyond 2^53-1", too_large, ids)
        return np.asarray(~null & ~too_large)
    length = pc.fill_null(pc.utf8_length(ids), 1).to_numpy(zero_copy_only=False)
    empty, too_long = length == 0, length > id_length_max
    tally.drop("empty id", empty, ids)
    tally.drop(f"id longer than {id_length_max} (limits.id_length)", too_long, ids)
    return np.asarray(~(null | empty | too_long))
