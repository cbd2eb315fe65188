"""The OpenAPI document: FastAPI's for the plain routes, msgspec's schemas for the hot ones, limits from the configuration."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cluster.config import Config
from deploy.problems import KINDS, Problem
from deploy.schema import BatchAnswer, BatchBody, RecommendationBody, RecommendBody, WhyAnswer, WhyBody

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
WHY_EXAMPLE = {"user_id": "42", "item_id": "1082185", "k": 10, "filter": {"must": [{"field": "stores", "in": ["367"]}]}}


def document(shell: FastAPI, config: Config) -> dict[str, Any]:
    """The whole API."""
    found = get_openapi(
        title="Oskolok",
        version=shell.version,
        summary="Sharded retrieval and ranking for recommenders",
        routes=shell.routes,
    )
    bodies, schemas = msgspec.json.schema_components(
        [RecommendBody, RecommendationBody, BatchBody, BatchAnswer, WhyBody, WhyAnswer, Problem],
        schema_hook=_foreign,
        ref_template=_REF,
    )
    _state_limits(schemas, config)
    found.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    hot = (
        ("/v1/recommend", "Recommend items to a user", bodies[0], bodies[1], REQUEST_EXAMPLE),
        ("/v1/recommend/batch", "Many requests at once; each succeeds or fails alone", bodies[2], bodies[3], None),
        ("/v1/why", "Why an item is recommended to a user, or why it is not", bodies[4], bodies[5], WHY_EXAMPLE),
    )
    found["paths"] = {
        **{
            path: {"post": _operation(summary, *more, problem=bodies[6], of_an_item=path == "/v1/why")}
            for path, summary, *more in hot
        },
        **found["paths"],
    }
    return found


def _operation(
    summary: str, body: object, answer: object, example: object, *, problem: object, of_an_item: bool
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": body} | ({"example": example} if example else {})
    codes: dict[int, list[str]] = {}
    for code, kind in KINDS.items():
        if code not in ("not-found", "method-not-allowed") and (code != "unknown-item" or of_an_item):
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
    for name, budget_ms in (("RecommendBody", config.deadline.default_ms), ("WhyBody", config.deadline.max_ms)):
        body = schemas[name]["properties"]
        body["user_id"] |= {"minLength": 1, "maxLength": limits.id_length}
        body["k"] |= {"minimum": 1, "maximum": limits.k, "default": config.slate.k_default}
        body["timeout_ms"] |= {"minimum": 1, "maximum": config.deadline.max_ms, "default": budget_ms}
        body["exclude_item_ids"] |= {"maxItems": limits.exclude_item_ids}
        body["pins"] |= {"maxItems": limits.pins}
    coverage = {"minimum": 0, "maximum": 1, "default": config.deadline.min_coverage}
    schemas["RecommendBody"]["properties"]["min_coverage"] |= coverage
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
