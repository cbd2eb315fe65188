"""Attribute columns of items and of users: those that the configuration names, with their usable values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.config.sections import CatalogSection, UserTableSection
from cluster.errors import ConfigError
from cluster.spec import AttributeKind, AttributeSpec
from train.input.parquet import Column, Kind
from train.input.report import Tally

_COLUMN_KIND: dict[AttributeKind, Kind] = {
    "category": "string",
    "categories": "list of strings",
    "number": "number",
    "boolean": "boolean",
}


def attribute_specs(section: CatalogSection | UserTableSection, table: str = "catalog") -> tuple[AttributeSpec, ...]:
    """The configured attributes, in the order of the configuration; ConfigError if a name occurs twice. table: the section."""
    specs = tuple(AttributeSpec(name, kind) for kind in _COLUMN_KIND for name in getattr(section, kind))
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{table}: {', '.join(twice)} listed more than once")
    return specs


def attribute_columns(specs: Sequence[AttributeSpec], table: str) -> list[Column]:
    """The Parquet columns of these attributes; `table` is the configuration's section that names them."""
    return [Column(spec.name, f"{table}.{spec.kind}", _COLUMN_KIND[spec.kind]) for spec in specs]


def cleaned(values: pa.Array, ids: pa.Array, spec: AttributeSpec, tally: Tally) -> pa.Array:
    """The values, with unusable ones turned into null, and every null counted. ids: of the rows, for the examples."""
    if spec.kind == "number":
        odd = ~pc.fill_null(pc.is_finite(values), True).to_numpy(zero_copy_only=False)
        tally.note(f"{spec.name} not finite", odd, ids)
        values = pc.if_else(pa.array(odd), pa.scalar(None, values.type), values)
    if spec.kind == "categories":
        lists = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
        inner = pc.list_flatten(values)
        holed = np.zeros(len(values), bool)
        holed[lists[pc.is_null(inner).to_numpy(zero_copy_only=False)]] = True
        tally.note(f"{spec.name} with a null element", holed, ids)
        values = _without_null_elements(values, lists, inner)
    null = pc.is_null(values).to_numpy(zero_copy_only=False)
    tally.note(f"{spec.name} null", null, ids)
    return values


def _without_null_elements(values: pa.Array, lists: NDArray[np.int64], inner: pa.Array) -> pa.Array:
    """The lists without their null elements; a null list stays null."""
    valid = pc.is_valid(inner).to_numpy(zero_copy_only=False)
    counts = np.bincount(lists[valid], minlength=len(values))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    null = pc.is_null(values).to_numpy(zero_copy_only=False)
    mask = pa.array(null) if null.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), inner.filter(pa.array(valid)), mask=mask)
