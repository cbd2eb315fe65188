"""Which items pass a filter, from the catalogue's columns: slow and plain code, independent of the shards' masks.

An evaluation measures against it and checks the shards with it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.filtering import Condition, Filter, passing
from cluster.spec import AttributeKind
from train.input.catalogue import Catalogue

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def eligible_rows(catalogue: Catalogue, filter: Filter) -> NDArray[np.bool_]:
    """(n_items,) bool. The filter must be one that the catalogue's attributes can answer (`cluster.filtering`)."""
    return passing(filter, len(catalogue), lambda test: _holds(catalogue, test))


def _holds(catalogue: Catalogue, condition: Condition) -> NDArray[np.bool_]:
    kind = next(spec.kind for spec in catalogue.specs if spec.name == condition.field)
    holds = np.zeros(len(catalogue), bool)
    if condition.op == "ne":
        return _present(catalogue, condition.field, kind) & ~_holds(catalogue, replace(condition, op="eq"))
    match kind:
        case "category" | "categories":
            rows, codes, names = catalogue.members(condition.field)
            wanted = np.array([name in condition.values for name in names], bool)
            holds[rows[wanted[codes]]] = True
        case "number" if condition.op in _COMPARE:
            with np.errstate(invalid="ignore"):
                holds |= _COMPARE[condition.op](catalogue.numbers(condition.field), condition.values[0])
        case "number":
            holds |= np.isin(catalogue.numbers(condition.field), np.array(condition.values, np.float64))
        case "boolean":
            for value in condition.values:
                equal = pc.fill_null(pc.equal(catalogue.attributes[condition.field], value), False)
                holds |= equal.to_numpy(zero_copy_only=False)
    return holds


def _present(catalogue: Catalogue, name: str, kind: AttributeKind) -> NDArray[np.bool_]:
    present = np.zeros(len(catalogue), bool)
    match kind:
        case "category" | "categories":
            rows, _, _ = catalogue.members(name)
            present[rows] = True
        case "number":
            present |= ~np.isnan(catalogue.numbers(name))
        case "boolean":
            present |= pc.is_valid(catalogue.attributes[name]).to_numpy(zero_copy_only=False)
    return present
