"""What a filter is, what it means given the results of its tests, and whether a generation can answer it.

Tests are true or false, never unknown, so groups are plain Boolean algebra. The router checks a filter before it fans out, and
so does every shard: against the attribute names and kinds of the spec, not against the values that occur. A value that no item
has is a valid question with an empty answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InvalidQuery, UnknownFilterField
from cluster.spec import AttributeKind, GenerationSpec

Scalar = str | int | float | bool
Op = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "any_of", "all_of", "none_of"]
GROUPS: frozenset[Op] = frozenset({"any_of", "all_of", "none_of"})

_EXACT = ("eq", "ne", "in")
_OPS: dict[AttributeKind, tuple[str, ...]] = {
    "category": _EXACT,
    "categories": _EXACT,
    "number": (*_EXACT, "gt", "gte", "lt", "lte"),
    "boolean": _EXACT,
}
_TYPES: dict[AttributeKind, str] = {
    "category": "a string",
    "categories": "a string",
    "number": "a finite number",
    "boolean": "true or false",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one attribute; or, where `op` is one of GROUPS, several conditions that count as one.

    A test: `values` holds one value, or for `in` any number of them. On a multi-valued attribute `eq` means contains, `ne` does
    not contain and `in` contains any of. An item that lacks the attribute fails every test, `ne` too; to select such items,
    use none_of `eq`.
    A group: `parts` are its conditions, one at least. A range is an all_of with a `field`: a lower and an upper bound of it.
    """

    field: str
    op: Op
    values: tuple[Scalar, ...] = ()
    parts: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if self.op in GROUPS:
            assert self.parts and not self.values, f"{self.op} takes conditions, not values"
        else:
            assert not self.parts, f"{self.op} takes values, not conditions"
            assert self.op == "in" or len(self.values) == 1, f"{self.op} takes one value, got {len(self.values)}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items may be returned: every `must` holds and no `must_not` does. Hashable: the key of the mask cache."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


EVERYTHING = Filter()


def each_test(filter: Filter, pointer: str = "/filter") -> Iterator[tuple[str, Condition]]:
    """Every test in a filter with a JSON pointer to the object that says it; both bounds of a range have the same one."""
    for clause, conditions in (("must", filter.must), ("must_not", filter.must_not)):
        for at, condition in enumerate(conditions):
            yield from _tests(condition, f"{pointer}/{clause}/{at}")


def passing(filter: Filter, n_rows: int, test: Callable[[Condition], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """(n_rows,) bool, new: the rows that pass, from the rows that meet each single test."""
    passes = _together("all_of", filter.must, n_rows, test)
    if filter.must_not:
        passes &= _together("none_of", filter.must_not, n_rows, test)
    return passes


def failing(filter: Filter, holds: Callable[[Condition], bool]) -> tuple[str, ...]:
    """What keeps an item out: JSON pointers to the operators, such as "/filter/must/0/eq", of the tests that would have to come
    out otherwise. Empty for an item that passes. holds: how a single test comes out for it.
    """
    pointers: list[str] = []

    def met(condition: Condition) -> bool:
        if condition.op not in GROUPS:
            return holds(condition)
        parts = map(met, condition.parts)
        return all(parts) if condition.op == "all_of" else any(parts) == (condition.op == "any_of")

    def blame(condition: Condition, pointer: str, wanted: bool) -> None:
        if met(condition) == wanted:
            return
        if condition.op not in GROUPS:
            pointers.append(f"{pointer}/{condition.op}")
        for at, part in enumerate(condition.parts):
            blame(part, _below(condition, pointer, at), wanted != (condition.op == "none_of"))

    for clause, conditions, wanted in (("must", filter.must, True), ("must_not", filter.must_not, False)):
        for at, condition in enumerate(conditions):
            blame(condition, f"/filter/{clause}/{at}", wanted)
    return tuple(pointers)


def check_filter(filter: Filter, spec: GenerationSpec, *, pointer: str = "/filter") -> None:
    """Raise UnknownFilterField or InvalidQuery, with `field` (a JSON pointer below `pointer`) and `allowed`."""
    for where, condition in each_test(filter, pointer):
        _check(condition, spec, where)


def _tests(condition: Condition, pointer: str) -> Iterator[tuple[str, Condition]]:
    if condition.op not in GROUPS:
        yield pointer, condition
    for at, part in enumerate(condition.parts):
        yield from _tests(part, _below(condition, pointer, at))


def _below(group: Condition, pointer: str, at: int) -> str:
    """A pointer to a group's part. The bounds of a range stand in one object."""
    return pointer if group.field else f"{pointer}/{group.op}/{at}"


def _together(
    op: Op, parts: Sequence[Condition], n_rows: int, test: Callable[[Condition], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    bits = np.full(n_rows, op == "all_of")
    for part in parts:
        met = _together(part.op, part.parts, n_rows, test) if part.op in GROUPS else test(part)
        if op == "all_of":
            bits &= met
        else:
            bits |= met
    return ~bits if op == "none_of" else bits


def _check(condition: Condition, spec: GenerationSpec, pointer: str) -> None:
    attribute = spec.attribute(condition.field)
    if attribute is None:
        names = ", ".join(a.name for a in spec.attributes) or "none"
        raise UnknownFilterField(f"no attribute {condition.field!r}", field=f"{pointer}/field", allowed=names)
    if condition.op not in _OPS[attribute.kind]:
        raise InvalidQuery(
            f"{attribute.name} is a {attribute.kind} attribute and does not support {condition.op}",
            field=f"{pointer}/{condition.op}",
            allowed=", ".join(_OPS[attribute.kind]),
        )
    wrong = _first_wrong(condition.values, attribute.kind)
    if wrong is not None:
        raise InvalidQuery(
            f"{attribute.name} is a {attribute.kind} attribute, {condition.values[wrong]!r} is not a valid value",
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
