"""Requests that people can try on the generation being served: made from its attributes and one of its items. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.partition import ItemId
from cluster.spec import AttributeSpec, GenerationSpec

USER_ID = "42"


@dataclass(frozen=True, slots=True)
class Example:
    """Bodies of POST /v1/recommend and /v1/why."""

    recommend: Mapping[str, Any]
    why: Mapping[str, Any]


def example_of(
    spec: GenerationSpec | None, item_id: ItemId | None = None, payload: Mapping[str, object] | None = None
) -> Example:
    """spec: None before the first topology.  item_id, payload: of any item, None if none is known."""
    passes = [condition for a in (spec.attributes if spec else ()) if (condition := _met_by(a, payload or {}))]
    filter = {"must": passes[:2], "must_not": []}
    if item_id is None:
        item_id = 1 if spec is not None and spec.id_type == "int64" else "1"
    recommend = {
        "user_id": USER_ID,
        "k": 10,
        "filter": filter,
        "exclude_item_ids": [],
        "context": {"basket": [item_id], "viewed": []},
        "timeout_ms": 200,
        "min_coverage": 0.7,
        "explain": "funnel",
    }
    return Example(recommend, {"user_id": USER_ID, "item_id": item_id, "k": 10, "filter": filter})


def _met_by(attribute: AttributeSpec, payload: Mapping[str, object]) -> dict[str, object]:
    """A condition on this attribute that the item of this payload meets, {} if its value is not known."""
    value = payload.get(attribute.name)
    match attribute.kind, value:
        case "number", int() | float():
            return {"field": attribute.name, "lte": value}
        case "category" | "boolean", str() | bool():
            return {"field": attribute.name, "eq": value}
        case "categories", [str() as first, *_]:
            return {"field": attribute.name, "in": [first]}
    return {}
