"""Item ids as the catalogue writes them, however the caller wrote them.

A catalogue's ids are strings or integers (`catalog.id_type`). JSON has both, and callers easily confuse them: an id that is an
integer in a table may be text in requests, or the other way round. So an integer and its decimal text are the same id. In a
catalogue of integers, text that is not the decimal form of a 64-bit integer, as JSON would write it, is not an id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from cluster.errors import InvalidQuery
from cluster.partition import ItemId
from cluster.spec import GenerationSpec
from router.request import Request

_DECIMAL = re.compile("0|-?[1-9][0-9]{0,18}")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def as_written(item_id: ItemId, spec: GenerationSpec, field: str) -> ItemId:
    """The id in the generation's type. Raises InvalidQuery, naming the field, for text where ids are integers.

    >>> from types import SimpleNamespace
    >>> as_written(42, SimpleNamespace(id_type="string"), ""), as_written("42", SimpleNamespace(id_type="int64"), "")
    ('42', 42)
    """
    if spec.id_type == "string":
        return item_id if isinstance(item_id, str) else str(item_id)
    if isinstance(item_id, int):
        return item_id
    if _DECIMAL.fullmatch(item_id) and _INT64_MIN <= (number := int(item_id)) <= _INT64_MAX:
        return number
    raise InvalidQuery(f"item id {item_id!r} is not an integer", field=field, allowed="integers, or integers as decimal text")


def are_written(ids: Iterable[ItemId], spec: GenerationSpec) -> bool:
    """Whether all these ids are of the generation's type."""
    return set(map(type, ids)) <= {str if spec.id_type == "string" else int}


def in_the_catalogues_ids(request: Request, spec: GenerationSpec) -> Request:
    """The request with every item id in the generation's type. Raises InvalidQuery for the first that cannot be in it."""
    named = (request.exclude_item_ids, request.basket, request.viewed, [pin.item_id for pin in request.pins])
    if all(are_written(ids, spec) for ids in named):
        return request
    return replace(
        request,
        exclude_item_ids=_all(request.exclude_item_ids, spec, "/exclude_item_ids"),
        basket=_all(request.basket, spec, "/context/basket"),
        viewed=_all(request.viewed, spec, "/context/viewed"),
        pins=tuple(
            replace(pin, item_id=as_written(pin.item_id, spec, f"/pins/{at}/item_id")) for at, pin in enumerate(request.pins)
        ),
    )


def _all(ids: Sequence[ItemId], spec: GenerationSpec, pointer: str) -> tuple[ItemId, ...]:
    return tuple([as_written(item_id, spec, f"{pointer}/{at}") for at, item_id in enumerate(ids)])
