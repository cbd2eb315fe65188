"""From bytes to a body struct, and any fault in them to a `Refused` that names the field.

msgspec does the work and refuses unknown fields and loose types; what it lets pass, a field given twice, is found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, TypeVar

import msgpack
import msgspec

from deploy.problems import Refused
from deploy.schema import BatchBody, ContextBody, FilterBody, Format, RecommendBody, WhyBody

T = TypeVar("T")

_BODIES = (RecommendBody, BatchBody, WhyBody)
_JSON: dict[type, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(t) for t in _BODIES}
_MSGPACK: dict[type, msgspec.msgpack.Decoder[Any]] = {t: msgspec.msgpack.Decoder(t) for t in _BODIES}
_FIELDS = sorted({name for t in (*_BODIES, FilterBody, ContextBody) for name in t.__struct_encode_fields__})


def decode(body: bytes | msgspec.Raw, form: Format, as_type: type[T]) -> T:
    """The struct that the bytes say. Raises Refused: malformed bytes, unknown and repeated fields, values of another type."""
    try:
        decoded: T = (_JSON if form == "json" else _MSGPACK)[as_type].decode(body)
        if as_type is not BatchBody:  # a batch's elements are still bytes, and are checked one by one
            _refuse_repeated(bytes(body), form)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error)) from None
    except UnicodeDecodeError as error:
        raise Refused(f"invalid-{form}", f"text is not valid UTF-8: {error.reason}") from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused(f"invalid-{form}", _lowered(str(error))) from None
    return decoded


def _wrong_value(message: str) -> Refused:
    """msgspec says "Expected `int`, got `str` - at `$.filter.must[0].in`"; the path is a JSON pointer in other words."""
    text, _, path = message.partition(" - at ")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path.strip("`").removeprefix("$").replace(".", "/"))
    named = re.search(r"`([^`]*)`", text)
    name = named[1] if named else ""
    if text.startswith("Object contains unknown field"):
        near = get_close_matches(name, _FIELDS, n=1)
        detail = f"unknown field '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
        return Refused("unknown-field", detail, pointer=f"{pointer}/{_escaped(name)}")
    if text.startswith("Object missing required field"):
        return Refused("invalid-value", f"'{name}' is required", pointer=f"{pointer}/{name}")
    if path.startswith("`key` in"):
        return Refused("invalid-value", "field names must be strings", pointer="")
    return Refused("invalid-value", _lowered(text), pointer=pointer)


def _refuse_repeated(body: bytes, form: Format) -> None:
    """msgspec lets the last of two equal keys win; a caller who sent both meant neither. 4 µs for a usual body."""
    try:
        _pairs(body, form, _once)
    except _Repeated:
        pointer = next(_repeated(_pairs(body, form, _Pairs), ""))
        name = pointer.rpartition("/")[2]
        raise Refused("duplicate-field", f"'{name}' is given more than once", pointer=pointer) from None


class _Repeated(Exception):
    pass


class _Pairs(list[tuple[str, object]]):
    """An object whose keys may repeat."""


def _pairs(body: bytes, form: Format, hook: Callable[[list[tuple[str, object]]], object]) -> object:
    if form == "json":
        return json.loads(body, object_pairs_hook=hook)
    return msgpack.unpackb(body, object_pairs_hook=hook)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


def _repeated(value: object, pointer: str) -> Iterator[str]:
    """Pointers of the keys that stand twice in one object."""
    if isinstance(value, _Pairs):
        names = [name for name, _ in value]
        yield from (f"{pointer}/{_escaped(name)}" for name in names if names.count(name) > 1)
        for name, below in value:
            yield from _repeated(below, f"{pointer}/{_escaped(name)}")
    elif isinstance(value, list):
        for at, below in enumerate(value):
            yield from _repeated(below, f"{pointer}/{at}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _lowered(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
