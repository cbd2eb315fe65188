"""Which items pass a filter, read value by value: slow, plain, and written without a look at the shards' masks.

An evaluation measures against it and checks the shards with it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.filtering import Condition, Filter, passing
from train.input.catalogue import Catalogue

_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def eligible_rows(catalogue: Catalogue, filter: Filter) -> NDArray[np.bool_]:
    """(n_items,) bool. The filter must be one that the catalogue's attributes can answer (`cluster.filtering`)."""
    return passing(filter, len(catalogue), lambda condition: _holding(catalogue, condition))


def _holding(catalogue: Catalogue, condition: Condition) -> NDArray[np.bool_]:
    values = catalogue.attributes[condition.field].to_pylist()
    return np.array([_holds(condition, value) for value in values], bool)


def _holds(condition: Condition, value: Any) -> bool:
    """Of an item without a value, or with an empty set of them, nothing holds."""
    own = set(value or ()) if isinstance(value, list) else {value} - {None}
    if condition.op in _BOUNDS:
        return any(_BOUNDS[condition.op](number, condition.values[0]) for number in own)
    return bool(own) and own.isdisjoint(condition.values) == (condition.op == "ne")
