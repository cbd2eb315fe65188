"""From bytes to a body struct; a fault in the bytes becomes an error that names the field.

msgspec decodes, and refuses unknown fields and loose types. It accepts a field given twice, so `deploy/http/members.py` looks
for these, and first bounds the amount of work: no body costs the event loop more than a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from cluster.config.sections import LimitsSection
from cluster.errors import LimitExceeded
from deploy.http.members import check_members, escaped
from deploy.http.schema import BatchBody, ContextBody, FilterBody, Format, RecommendBody, WhyBody
from deploy.problems import Refused

T = TypeVar("T", RecommendBody, WhyBody)

_BODIES = (RecommendBody, BatchBody, WhyBody)
_JSON: dict[type, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(t) for t in _BODIES}
_MSGPACK: dict[type, msgspec.msgpack.Decoder[Any]] = {t: msgspec.msgpack.Decoder(t) for t in _BODIES}
_FIELDS = sorted({name for t in (*_BODIES, FilterBody, ContextBody) for name in t.__struct_encode_fields__})
_NAME_LENGTH_MAX = 32  # of a field name that is worth a suggestion: difflib's price grows with the square of it
_BATCH_FIELDS_MAX = 8  # values in a batch beside its requests; it has two fields
_SMALLEST = {"json": b"0", "msgpack": b"\0"}
_PER_CONDITION, _PER_PIN, _PER_REQUEST = 16, 4, 64


def decode(body: bytes | msgspec.Raw, form: Format, as_type: type[T], limits: LimitsSection) -> T:
    """The struct that the bytes say. Raises Refused: malformed bytes, unknown and repeated fields, values of another type; and
    LimitExceeded if there are more values than the limits of single fields add up to.
    """
    body = bytes(body)
    check_members(body, form, values_max(limits))
    decoded: T = _decoded((_JSON if form == "json" else _MSGPACK)[as_type], body, form)
    return decoded


def decode_batch(body: bytes, form: Format, limits: LimitsSection) -> tuple[BatchBody, Sequence[msgspec.Raw]]:
    """A batch and its requests, each still bytes, which `decode` takes. Raises what `decode` does."""
    batch: BatchBody = _decoded((_JSON if form == "json" else _MSGPACK)[BatchBody], body, form)
    requests = bytes(batch.requests)
    check_members(body.replace(requests, _SMALLEST[form], 1), form, _BATCH_FIELDS_MAX)
    elements = _decoded(_elements(form, limits.batch_requests), requests, form, "/requests")
    return batch, [element for element in msgspec.structs.astuple(elements) if element]


def values_max(limits: LimitsSection) -> int:
    """No request that keeps every limit has more values than this, names of fields not counted."""
    n_ids = limits.exclude_item_ids + limits.basket_items + limits.viewed_items + limits.playlists
    n_in_filter = limits.filter_conditions * (limits.filter_values + _PER_CONDITION)
    return n_ids + n_in_filter + limits.pins * _PER_PIN + _PER_REQUEST


@lru_cache
def _elements(form: Format, n_max: int) -> Any:
    """A decoder of an array. As a struct of n_max fields it stops at one element too many; as a list it would read them all."""
    fields = [(f"at_{at}", msgspec.Raw, msgspec.Raw()) for at in range(n_max)]
    array = msgspec.defstruct("Requests", fields, array_like=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(array) if form == "json" else msgspec.msgpack.Decoder(array)


def _decoded(decoder: Any, body: bytes, form: Format, pointer: str = "") -> Any:
    """pointer: to where these bytes stand in what the caller sent."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), pointer) from None
    except UnicodeDecodeError as error:
        raise Refused(f"invalid-{form}", f"text is not valid UTF-8: {error.reason}") from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused(f"invalid-{form}", _lowered(str(error))) from None


def _wrong_value(message: str, pointer: str) -> Refused | LimitExceeded:
    """msgspec says "Expected `int`, got `str` - at `$.filter.must[0].in`"; the path is a JSON pointer in other words."""
    text, _, path = message.rpartition(" - at `")
    if not text:
        text, path = message, "$"
    elif path.startswith("key"):
        return Refused("invalid-value", "field names must be strings", pointer=pointer)
    pointer += re.sub(r"\[(\d+)\]", r"/\1", path.removeprefix("$").removesuffix("`").replace(".", "/"))
    _, _, quoted = text.partition("`")
    name = quoted.rpartition("`")[0]
    if text.startswith("Object contains unknown field"):
        near = get_close_matches(name, _FIELDS, n=1) if len(name) <= _NAME_LENGTH_MAX else []
        detail = f"unknown field '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
        return Refused("unknown-field", detail, pointer=f"{pointer}/{escaped(name)}")
    if text.startswith("Object missing required field"):
        return Refused("invalid-value", f"'{name}' is required", pointer=f"{pointer}/{name}")
    if longest := re.search(r"at most length (\d+)", text[:100]):
        limit = longest[1]
        detail = f"there are more than {limit} entries in {pointer[1:]}"
        return LimitExceeded(detail, field=pointer, allowed=f"<= {limit}", limit_key="limits.batch_requests")
    return Refused("invalid-value", _lowered(text), pointer=pointer)


def _lowered(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
