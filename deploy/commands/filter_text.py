"""A filter written by hand: `brand in (acme, zeta) and price <= 4.5 and not on_sale`. For the command line only.

    either := both ('or' both)*          both := one ('and' one)*
    one    := 'not' one | '(' either ')' | test
    test   := field                                       a boolean attribute that is true
            | field ('=' | '!=') value | field ['not'] 'in' (value | '(' value, ... ')')
            | field ('<' | '<=' | '>' | '>=') number | number ('<' | '<=') field ('<' | '<=') number
            | field 'between' number 'and' number         both ends belong to it

With `=`, `!=` and `in`, bare words and anything in quotes are text, and `true` and `false` are booleans. A text with a bracket,
a comma, or one of the words above in it needs quotes. The result is the JSON form of a request's `filter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from cluster.errors import ConfigError

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'[^']*')|(?P<sign><=|>=|!=|[=<>(),])|(?P<word>(?:(?!!=)[^\s=<>(),])+))"""
)
_FIELD = re.compile(r"[\w.-]+")
_WORDS = frozenset({"and", "or", "not", "in", "between"})
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_FLIPPED = {"<": "gt", "<=": "gte", ">": "lt", ">=": "lte"}

Node = dict[str, Any]


def parse_filter(texts: Iterable[str]) -> dict[str, Any]:
    """The `filter` of a request: all of the texts hold. Raises ConfigError that shows how to write one.

    >>> parse_filter(["price <= 4 and not brand in (acme, 'b, c')"])
    {'must': [{'field': 'price', 'lte': 4.0}], 'must_not': [{'field': 'brand', 'in': ['acme', 'b, c']}]}
    >>> parse_filter(["1 <= price < 2", "on_sale or brand != acme"])["must"][1]
    {'any_of': [{'field': 'on_sale', 'eq': True}, {'field': 'brand', 'ne': 'acme'}]}
    """
    found: dict[str, Any] = {}
    for text in texts:
        node = _Reader(text).whole()
        for part in node.get("all_of", [node]):
            excluded = part.get("none_of")
            found.setdefault("must" if excluded is None else "must_not", []).extend([part] if excluded is None else excluded)
    return found


class _Reader:
    """One text, read from its beginning to its end: recursive descent, a method a rule."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int, int]] = []  # kind, what it says, where it begins and ends
        at, end = 0, len(text.rstrip())
        while at < end:
            token = _TOKEN.match(text, at)
            if token is None:
                raise self._unreadable()
            kind = str(token.lastgroup)
            self._tokens.append((kind, token[kind], token.start(kind), token.end()))
            at = token.end()
        self._at = 0

    def whole(self) -> Node:
        node = self._either()
        if self._at < len(self._tokens):
            raise self._unreadable()
        return node

    def _either(self) -> Node:
        parts = [self._both()]
        while self._takes("or"):
            parts.append(self._both())
        return {"any_of": parts} if len(parts) > 1 else parts[0]

    def _both(self) -> Node:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        flat = [inner for part in parts for inner in part.get("all_of", [part])]
        return {"all_of": flat} if len(flat) > 1 else flat[0]

    def _one(self) -> Node:
        if self._takes("not"):
            return _negated(self._one())
        if not self._takes("("):
            return self._test()
        node = self._either()
        self._require(")")
        return node

    def _test(self) -> Node:
        if self._peek(1) in _FLIPPED and _is_number(self._peek()):
            low, sign, field = self._number(), self._next(), self._field()
            test: Node = {"field": field, _FLIPPED[sign]: low}
            same_way = sign[0] == self._peek()[:1]
            return test | {_BOUNDS[self._next()]: self._number()} if same_way else test
        field = self._field()
        if self._takes("between"):
            low = self._number()
            self._require("and")
            return {"field": field, "gte": low, "lte": self._number()}
        if self._peek() == "not" and self._peek(1) == "in":
            self._next()
            return _negated(self._test_in(field))
        if self._peek() == "in":
            return self._test_in(field)
        match self._peek():
            case "=" | "!=":
                return {"field": field, "eq" if self._next() == "=" else "ne": self._value(commas=True)}
            case sign if sign in _BOUNDS:
                return {"field": field, _BOUNDS[self._next()]: self._number()}
        return {"field": field, "eq": True}

    def _test_in(self, field: str) -> Node:
        self._require("in")
        if not self._takes("("):
            return {"field": field, "in": [self._value()]}
        values = [self._value()]
        while self._takes(","):
            values.append(self._value())
        self._require(")")
        return {"field": field, "in": values}

    def _value(self, *, commas: bool = False) -> str | bool:
        """A quoted text, or bare words up to what cannot belong to them."""
        begin = self._at
        if begin < len(self._tokens) and self._tokens[begin][0] == "quoted":
            return self._next()[1:-1]
        while self._peek() not in ("", "and", "or") and (
            self._tokens[self._at][0] == "word" or (commas and self._peek() == ",")
        ):
            self._at += 1
        if begin == self._at:
            raise self._unreadable()
        text = self._text[self._tokens[begin][2] : self._tokens[self._at - 1][3]]
        return {"true": True, "false": False}.get(text, text)

    def _number(self) -> float:
        try:
            return float(self._next())
        except ValueError:
            raise self._unreadable() from None

    def _field(self) -> str:
        name = self._next()
        if name in _WORDS or _is_number(name) or not _FIELD.fullmatch(name):
            raise self._unreadable()
        return name

    def _peek(self, ahead: int = 0) -> str:
        """What the next token says, "" at the end."""
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def _next(self) -> str:
        said = self._peek()
        self._at += 1
        return said

    def _takes(self, said: str) -> bool:
        if self._peek() != said:
            return False
        self._at += 1
        return True

    def _require(self, said: str) -> None:
        if not self._takes(said):
            raise self._unreadable()

    def _unreadable(self) -> ConfigError:
        forms = "brand in (a, b) | price <= 4 | 1 <= price < 4 | not category = x | on_sale and (brand != a or price < 2)"
        return ConfigError(f"cannot read the filter {self._text!r}; write: {forms}")


def _negated(node: Node) -> Node:
    """none_of says no to each of its parts, so an any_of within it needs no group of its own."""
    return {"none_of": node.get("any_of", [node])}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
