"""A filter written by hand: `brand in (acme, zeta)`, `price <= 4.5`, `not category = FUEL`. For the command line only.

With `=` and `in`, bare words and anything in quotes are text, and `true` and `false` are booleans; with `<`, `<=`, `>`, `>=`
the value is a number. `not` in front makes it a must_not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cluster.errors import ConfigError

if TYPE_CHECKING:
    from cluster.types import Filter

_SHAPE = re.compile(r"^\s*(?P<no>not\s+)?(?P<field>[\w.-]+)\s*(?P<op>in\b|<=|>=|=|<|>)\s*(?P<value>.+?)\s*$")
_OPS = {"=": "eq", "in": "in", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^,"']+)\s*(?:,|$)""")


def parse_filter(texts: Iterable[str]) -> dict[str, Any]:
    """The `filter` of a request, all conditions together. Raises ConfigError that shows how to write one.

    >>> parse_filter(["price <= 4", "not brand in (acme, 'b, c')"])
    {'must': [{'field': 'price', 'lte': 4.0}], 'must_not': [{'field': 'brand', 'in': ['acme', 'b, c']}]}
    """
    found: dict[str, Any] = {}
    for text in texts:
        shape = _SHAPE.match(text)
        if shape is None:
            raise _unreadable(text)
        op = _OPS[shape["op"]]
        value: object
        if op == "in":
            value = _values(shape["value"], text)
        elif op == "eq":
            value = _value(shape["value"])
        else:
            value = _number(shape["value"], text)
        found.setdefault("must_not" if shape["no"] else "must", []).append({"field": shape["field"], op: value})
    return found


def filter_of(parsed: Mapping[str, Any]) -> Filter:
    """What `parse_filter` read, as the filter of a request in this process.

    >>> filter_of(parse_filter(["not brand in (acme)"])).must_not[0]
    Condition(field='brand', op='in', values=('acme',))
    """
    from cluster.types import Condition, Filter  # with it comes numpy, which reading a filter does without

    def condition(test: Mapping[str, Any]) -> Condition:
        op: Any
        ((op, value),) = ((name, value) for name, value in test.items() if name != "field")
        return Condition(test["field"], op, tuple(value) if op == "in" else (value,))

    return Filter(*(tuple(map(condition, parsed.get(clause, ()))) for clause in ("must", "must_not")))


def _values(text: str, whole: str) -> list[object]:
    inside = text.removeprefix("(").removesuffix(")")
    if len(inside) != len(text) - 2:
        raise _unreadable(whole)
    values, at = [], 0
    while at < len(inside):
        item = _ITEM.match(inside, at)
        if item is None:
            raise _unreadable(whole)
        values.append(_value(item[1].strip()))
        at = item.end()
    return values


def _value(text: str) -> object:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return {"true": True, "false": False}.get(text, text)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _unreadable(whole) from None


def _unreadable(text: str) -> ConfigError:
    return ConfigError(f"cannot read the filter {text!r}; write: brand in (a, b) | price <= 4 | not category = x")
