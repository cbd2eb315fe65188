"""The OpenAPI document: FastAPI's for the plain routes, msgspec's schemas for the hot ones, limits from the configuration."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cluster.config import Config
from deploy.problems import KINDS, Problem
from deploy.schema import BatchAnswer, BatchBody, RecommendationBody, RecommendBody

_REF = "#/components/schemas/{name}"

REQUEST_EXAMPLE = {
    "user_id": "42",
    "k": 10,
    "filter": {"must": [{"field": "stores", "in": ["367"]}], "must_not": [{"field": "department", "eq": "FUEL"}]},
    "exclude_item_ids": ["1082185"],
    "context": {"basket": ["981760"], "viewed": ["1029743", "847982"]},
    "timeout_ms": 200,
    "min_coverage": 0.7,
    "explain": "funnel",
}


def document(shell: FastAPI, config: Config) -> dict[str, Any]:
    """The whole API."""
    found = get_openapi(
        title="Oskolok",
        version=shell.version,
        summary="Sharded retrieval and ranking for recommenders",
        routes=shell.routes,
    )
    bodies, schemas = msgspec.json.schema_components(
        [RecommendBody, RecommendationBody, BatchBody, BatchAnswer, Problem], schema_hook=_foreign, ref_template=_REF
    )
    _state_limits(schemas, config)
    found.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    hot = (
        ("/v1/recommend", "Recommend items to a user", bodies[0], bodies[1], REQUEST_EXAMPLE),
        ("/v1/recommend/batch", "Many requests at once; each succeeds or fails alone", bodies[2], bodies[3], None),
    )
    found["paths"] = {
        **{path: {"post": _operation(summary, *more, problem=bodies[4])} for path, summary, *more in hot},
        **found["paths"],
    }
    return found


def _operation(summary: str, body: object, answer: object, example: object, *, problem: object) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": body} | ({"example": example} if example else {})
    codes: dict[int, list[str]] = {}
    for code, kind in KINDS.items():
        if kind.status not in (404, 405):
            codes.setdefault(kind.status, []).append(code)
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": content, "application/msgpack": {"schema": body}}},
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": answer}}},
            **{
                str(status): {
                    "description": ", ".join(names),
                    "content": {"application/problem+json": {"schema": problem}},
                }
                for status, names in sorted(codes.items())
            },
        },
    }


def _state_limits(schemas: dict[str, Any], config: Config) -> None:
    limits = config.limits
    body = schemas["RecommendBody"]["properties"]
    body["user_id"] |= {"minLength": 1, "maxLength": limits.id_length}
    body["k"] |= {"minimum": 1, "maximum": limits.k, "default": config.slate.k_default}
    body["timeout_ms"] |= {"minimum": 1, "maximum": config.deadline.max_ms, "default": config.deadline.default_ms}
    body["min_coverage"] |= {"minimum": 0, "maximum": 1, "default": config.deadline.min_coverage}
    body["exclude_item_ids"] |= {"maxItems": limits.exclude_item_ids}
    body["pins"] |= {"maxItems": limits.pins}
    schemas["PinBody"]["properties"]["position"] |= {"minimum": 1, "maximum": limits.k}
    context = schemas["ContextBody"]["properties"]
    context["basket"] |= {"maxItems": limits.basket_items}
    context["viewed"] |= {"maxItems": limits.viewed_items}
    context["playlists"] |= {"maxItems": limits.playlists}
    schemas["ConditionBody"]["properties"]["in"] |= {"maxItems": limits.filter_values}
    schemas["BatchBody"]["properties"]["requests"] |= {"minItems": 1, "maxItems": limits.batch_requests}


def _foreign(of: type) -> dict[str, Any]:
    """Schemas of the types that msgspec cannot describe: a batch's undecoded elements, and plain JSON values."""
    return {"$ref": _REF.format(name="RecommendBody")} if of is msgspec.Raw else {"description": "any JSON value"}
