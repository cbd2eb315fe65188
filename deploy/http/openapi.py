"""The OpenAPI document: FastAPI's for the plain routes, msgspec's schemas for the hot ones, limits from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cluster.config.sections import Config
from deploy.http.convert import SEED_MAX
from deploy.http.example import Example
from deploy.http.schema import BatchAnswer, BatchBody, ClusterBody, RecommendationBody, RecommendBody, WhyAnswer, WhyBody
from deploy.problems import KINDS, Problem

_BODIES: tuple[type, ...] = (
    RecommendBody,
    RecommendationBody,
    BatchBody,
    BatchAnswer,
    WhyBody,
    WhyAnswer,
    ClusterBody,
    Problem,
)
_NOT_OF_POSTS = ("not-found", "method-not-allowed")
_REF = "#/components/schemas/{name}"

VERBOSE = {
    "name": "verbose",
    "in": "query",
    "required": False,
    "allowEmptyValue": True,
    "schema": {"type": "string"},
    "description": "if present, with any value or none: one line per check",
}


def document(pages: FastAPI, config: Config, example: Example) -> dict[str, Any]:
    """The whole API."""
    api = get_openapi(
        title=pages.title,
        version=pages.version,
        summary="A sharded retrieval-and-ranking cluster for recommender systems",
        routes=pages.routes,
    )
    of, schemas = msgspec.json.schema_components(_BODIES, schema_hook=_foreign, ref_template=_REF)
    refs = dict(zip(_BODIES, of, strict=True))
    _state_limits(schemas, config)
    api.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    batch = {"requests": [example.recommend], "timeout_ms": example.recommend["timeout_ms"]}
    hot = {
        "/v1/recommend": _operation(
            "recommend", "Recommend items to a user", refs, RecommendBody, RecommendationBody, example.recommend
        ),
        "/v1/recommend/batch": _operation(
            "recommend_batch", "Many requests at once; each succeeds or fails alone", refs, BatchBody, BatchAnswer, batch
        ),
        "/v1/why": _operation(
            "why", "Why an item is recommended to a user, or why it is not", refs, WhyBody, WhyAnswer, example.why
        ),
    }
    api["paths"] = {**{path: {"post": operation} for path, operation in hot.items()}, **api["paths"]}
    api["paths"]["/v1/cluster"]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": refs[ClusterBody]}}
    return api


def _operation(
    name: str, summary: str, refs: Mapping[type, object], body: type, answer: type, example: Mapping[str, object]
) -> dict[str, Any]:
    codes: dict[int, list[str]] = {}
    for code, kind in KINDS.items():
        if code not in _NOT_OF_POSTS and (code != "unknown-item" or body is WhyBody):
            codes.setdefault(kind.status, []).append(code)
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _either_form(refs[body], example=example)},
        "responses": {
            "200": {"description": "The answer, in the form of the request", "content": _either_form(refs[answer])},
            **{
                str(status): {
                    "description": ", ".join(names),
                    "content": {"application/problem+json": {"schema": refs[Problem]}},
                }
                for status, names in sorted(codes.items())
            },
        },
    }


def _either_form(schema: object, **more: object) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **more}, "application/msgpack": {"schema": schema}}


def _state_limits(schemas: dict[str, Any], config: Config) -> None:
    limits = config.limits
    for name, budget_ms in (("RecommendBody", config.deadline.default_ms), ("WhyBody", config.deadline.max_ms)):
        body = schemas[name]["properties"]
        body["user_id"] |= {"minLength": 1, "maxLength": limits.id_length}
        body["k"] |= {"minimum": 1, "maximum": limits.k, "default": config.slate.k_default}
        body["timeout_ms"] |= {"minimum": 1, "maximum": config.deadline.max_ms, "default": budget_ms}
        body["exclude_item_ids"] |= {"maxItems": limits.exclude_item_ids}
        body["pins"] |= {"maxItems": limits.pins}
        body["seed"] |= {"minimum": 0, "maximum": SEED_MAX}
    coverage = {"minimum": 0, "maximum": 1, "default": config.deadline.min_coverage}
    schemas["RecommendBody"]["properties"]["min_coverage"] |= coverage
    schemas["PinBody"]["properties"]["position"] |= {"minimum": 1, "maximum": limits.k}
    context = schemas["ContextBody"]["properties"]
    context["basket"] |= {"maxItems": limits.basket_items}
    context["viewed"] |= {"maxItems": limits.viewed_items}
    context["playlists"] |= {"maxItems": limits.playlists}
    schemas["ConditionBody"]["properties"]["in"] |= {"maxItems": limits.filter_values}
    schemas["BatchBody"]["properties"]["requests"] = {
        "type": "array",
        "items": {"$ref": _REF.format(name="RecommendBody")},
        "minItems": 1,
        "maxItems": limits.batch_requests,
    }


def _foreign(of: type) -> dict[str, Any]:
    """Schemas of the types that msgspec cannot describe. A batch's undecoded requests get theirs with the limits."""
    return {"description": "any JSON value"}
