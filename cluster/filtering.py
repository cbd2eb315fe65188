"""Is this filter one the generation can answer? Checked by the router before it fans out, and by every shard.

It knows attribute names and kinds from the spec, not which values occur: a value nobody has is a valid question with an
empty answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cluster.errors import InvalidQuery, UnknownFilterField
from cluster.spec import AttributeKind, GenerationSpec
from cluster.types import Condition, Filter, Scalar

_EXACT = ("eq", "in")
_OPS: dict[AttributeKind, tuple[str, ...]] = {
    "category": _EXACT,
    "categories": _EXACT,
    "number": ("eq", "in", "gt", "gte", "lt", "lte"),
    "boolean": _EXACT,
}
_TYPES: dict[AttributeKind, str] = {
    "category": "a string",
    "categories": "a string",
    "number": "a finite number",
    "boolean": "true or false",
}


def check_filter(filter: Filter, spec: GenerationSpec, *, pointer: str = "/filter") -> None:
    """Raise UnknownFilterField or InvalidQuery, with `field` (a JSON pointer below `pointer`) and `allowed`."""
    for clause, conditions in (("must", filter.must), ("must_not", filter.must_not)):
        for at, condition in enumerate(conditions):
            _check(condition, spec, f"{pointer}/{clause}/{at}")


def _check(condition: Condition, spec: GenerationSpec, pointer: str) -> None:
    attribute = spec.attribute(condition.field)
    if attribute is None:
        names = ", ".join(a.name for a in spec.attributes) or "none"
        raise UnknownFilterField(f"no attribute {condition.field!r}", field=f"{pointer}/field", allowed=names)
    if condition.op not in _OPS[attribute.kind]:
        raise InvalidQuery(
            f"{attribute.name} is a {attribute.kind} attribute and knows no {condition.op}",
            field=f"{pointer}/{condition.op}",
            allowed=", ".join(_OPS[attribute.kind]),
        )
    wrong = _first_wrong(condition.values, attribute.kind)
    if wrong is not None:
        raise InvalidQuery(
            f"{attribute.name} is a {attribute.kind} attribute, {condition.values[wrong]!r} is no value of one",
            field=f"{pointer}/{condition.op}/{wrong}" if condition.op == "in" else f"{pointer}/{condition.op}",
            allowed=_TYPES[attribute.kind],
        )


def _first_wrong(values: Sequence[Scalar], kind: AttributeKind) -> int | None:
    for at, value in enumerate(values):
        match kind:
            case "category" | "categories":
                right = isinstance(value, str)
            case "boolean":
                right = isinstance(value, bool)
            case "number":
                right = not isinstance(value, bool | str) and _finite(value)
        if not right:
            return at
    return None


def _finite(value: float) -> bool:
    """Also false for an integer that is too large for float64."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
