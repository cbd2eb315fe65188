"""From a body to a router's request, checked against the limits; and from a recommendation back to a body.

A value over a limit is refused with the limit's configuration key, never cut. The router checks whatever depends on the
catalogue (the type of ids, the attributes), against the generation that it is about to ask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import TypeVar

from msgspec import UNSET

from cluster.config.sections import Config
from cluster.errors import InvalidQuery, LimitExceeded
from cluster.filtering import EVERYTHING, Condition, Filter, Op, Scalar
from deploy.http.schema import (
    ConditionBody,
    ContextBody,
    ExplainBody,
    FilterBody,
    FunnelRow,
    GenerationBody,
    Id,
    PinBody,
    RecommendationBody,
    RecommendBody,
    WhyBody,
)
from router.request import Explain, Pin, Recommendation, Request

T = TypeVar("T", str, Id)

_TESTS: tuple[Op, ...] = ("eq", "ne", "in", "gt", "gte", "lt", "lte")
_LOWER: frozenset[Op] = frozenset({"gt", "gte"})
_UPPER: frozenset[Op] = frozenset({"lt", "lte"})
_JUNCTIONS: tuple[Op, ...] = ("any_of", "all_of", "none_of")
_FILTER_DEPTH_MAX = 8
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
SEED_MAX = 2**53 - 1  # whole numbers that every JSON reader keeps


def to_request(body: RecommendBody | WhyBody, config: Config) -> Request:
    """The request. Raises InvalidQuery or LimitExceeded, with `field` as a JSON pointer."""
    k = config.slate.k_default if body.k is None else body.k
    _between_1_and(k, config, field="/k", limit_key="limits.k")
    _id(body.user_id, config, field="/user_id")
    min_coverage = None if isinstance(body, WhyBody) else body.min_coverage
    if min_coverage is not None and not 0 <= min_coverage <= 1:
        raise InvalidQuery(f"min_coverage is {min_coverage}", field="/min_coverage", allowed="0 to 1")
    context = body.context or ContextBody()
    return Request(
        user_id=str(body.user_id),
        k=k,
        filter=to_filter(body.filter, config),
        exclude_item_ids=_ids(body.exclude_item_ids, config, field="/exclude_item_ids", limit_key="limits.exclude_item_ids"),
        basket=_ids(context.basket, config, field="/context/basket", limit_key="limits.basket_items"),
        viewed=_ids(context.viewed, config, field="/context/viewed", limit_key="limits.viewed_items"),
        playlists=_ids(context.playlists, config, field="/context/playlists", limit_key="limits.playlists"),
        min_coverage=min_coverage,
        pins=_pins(body.pins, config),
        seed=_seed(body),
        explain="none" if isinstance(body, WhyBody) else body.explain or "none",
    )


def to_item_id(body: WhyBody, config: Config) -> Id:
    """The item that is asked about. Raises InvalidQuery or LimitExceeded."""
    _id(body.item_id, config, field="/item_id")
    return body.item_id


def budget_ms(timeout_ms: int, config: Config) -> int:
    """The time budget a caller asked for. LimitExceeded above deadline.max_ms."""
    _between_1_and(timeout_ms, config, field="/timeout_ms", limit_key="deadline.max_ms")
    return timeout_ms


def to_body(answer: Recommendation, request_id: str, *, explain: Explain) -> RecommendationBody:
    """The answer as it is encoded. msgspec writes the router's own dataclasses wherever JSON has their fields."""
    return RecommendationBody(
        request_id=request_id,
        items=answer.items,
        coverage=answer.coverage,
        degraded=answer.degraded,
        generation=GenerationBody(answer.generation, answer.topology_version),
        timings_ms=answer.timings_ms,
        exact_merge=answer.exact_merge,
        eligible=answer.eligible,
        explain=_explained(answer) if explain != "none" else None,
    )


def _explained(answer: Recommendation) -> ExplainBody:
    return ExplainBody(
        funnel=tuple(
            FunnelRow(s.stage, s.n_in, s.n_out, s.took_ms, {str(reason): n for reason, n in s.removed.items()})
            for s in answer.funnel
        ),
        sources=answer.sources,
        shards=answer.shards,
        rank=answer.rank,
        slate=answer.slate,
        kept=answer.kept,
        unknown_items=answer.unknown_items,
    )


def to_filter(body: FilterBody | None, config: Config) -> Filter:
    """The filter. Raises InvalidQuery or LimitExceeded, with `field` as a JSON pointer."""
    must, must_not = (body.must or (), body.must_not or ()) if body is not None else ((), ())
    if not must and not must_not:
        return EVERYTHING
    _at_most_tests((*must, *must_not), config)
    return Filter(
        must=tuple(_condition(c, f"/filter/must/{at}", config) for at, c in enumerate(must)),
        must_not=tuple(_condition(c, f"/filter/must_not/{at}", config) for at, c in enumerate(must_not)),
    )


def _at_most_tests(conditions: Sequence[ConditionBody], config: Config) -> None:
    """Refuse more tests than the limit, and what is nested too deep, after a look at not many more than the limit."""
    limit = config.limits.filter_conditions
    n_tests, pending = 0, [(condition, 1) for condition in conditions[: limit + 1]]
    while pending:
        condition, depth = pending.pop()
        parts = [part for _, some in _groups(condition) for part in some[: limit + 1]]
        if parts and depth >= _FILTER_DEPTH_MAX:
            allowed = f"{_FILTER_DEPTH_MAX} levels of conditions"
            raise InvalidQuery("groups are nested too deep", field="/filter", allowed=allowed)
        n_tests += 0 if parts else max(1, len(_given(condition)))
        if n_tests > limit:
            _at_most(n_tests, config, field="/filter", limit_key="limits.filter_conditions", what="number of tests")
        pending += [(part, depth + 1) for part in parts]


def _given(body: ConditionBody) -> dict[Op, Scalar | list[Scalar]]:
    """The operators of a test and what each compares with."""
    return {op: value for op in _TESTS if (value := getattr(body, "in_" if op == "in" else op)) is not UNSET}


def _groups(body: ConditionBody) -> list[tuple[Op, list[ConditionBody]]]:
    return [(op, parts) for op in _JUNCTIONS if (parts := getattr(body, op)) is not UNSET]


def _condition(body: ConditionBody, pointer: str, config: Config) -> Condition:
    given, groups = _given(body), _groups(body)
    if groups:
        if len(groups) > 1 or given or body.field is not UNSET:
            allowed = "one of any_of, all_of, none_of and nothing beside it"
            raise InvalidQuery("a condition is either a group or a test", field=pointer, allowed=allowed)
        ((op, parts),) = groups
        if not parts:
            raise InvalidQuery(f"{op} is empty", field=f"{pointer}/{op}", allowed="one condition or more")
        return Condition("", op, (), tuple(_condition(part, f"{pointer}/{op}/{at}", config) for at, part in enumerate(parts)))
    if body.field is UNSET:
        raise InvalidQuery("'field' is required", field=f"{pointer}/field", allowed="an attribute's name")
    _text(body.field, f"{pointer}/field", config)
    is_range = len(given) == 2 and len(given.keys() & _LOWER) == len(given.keys() & _UPPER) == 1
    if len(given) != 1 and not is_range:
        raise InvalidQuery(
            f"a condition takes one operator, or a lower and an upper bound, got {', '.join(given) or 'none'}",
            field=pointer,
            allowed="one of eq, ne, in, gt, gte, lt, lte; or gt or gte with lt or lte",
        )
    tests = tuple(Condition(body.field, op, _values(value, f"{pointer}/{op}", config)) for op, value in given.items())
    return Condition(body.field, "all_of", (), tests) if is_range else tests[0]


def _values(given: Scalar | list[Scalar], pointer: str, config: Config) -> tuple[Scalar, ...]:
    if not isinstance(given, list):
        return (_value(given, pointer, config),)
    _at_most(len(given), config, field=pointer, limit_key="limits.filter_values")
    return tuple(_value(value, f"{pointer}/{at}", config) for at, value in enumerate(given))


def _value(value: Scalar, pointer: str, config: Config) -> Scalar:
    if isinstance(value, str):
        _at_most(len(value), config, field=pointer, limit_key="limits.id_length", what="length")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidQuery(f"{value} is not finite", field=pointer, allowed="a finite number")
    return value


def _ids(ids: Sequence[T] | None, config: Config, *, field: str, limit_key: str) -> tuple[T, ...]:
    if not ids:
        return ()
    _at_most(len(ids), config, field=field, limit_key=limit_key)
    for at, item_id in enumerate(ids):
        _id(item_id, config, field=f"{field}/{at}")
    return tuple(ids)


def _id(item_id: Id, config: Config, *, field: str) -> None:
    if isinstance(item_id, str):
        _text(item_id, field, config)
    elif not _INT64_MIN <= item_id <= _INT64_MAX:
        raise InvalidQuery("the integer does not fit in 64 bits", field=field, allowed="text, or a signed 64-bit integer")


def _pins(pins: Sequence[PinBody] | None, config: Config) -> tuple[Pin, ...]:
    if not pins:
        return ()
    _at_most(len(pins), config, field="/pins", limit_key="limits.pins")
    for at, pin in enumerate(pins):
        _id(pin.item_id, config, field=f"/pins/{at}/item_id")
    return tuple(Pin(pin.item_id, pin.position) for pin in pins)


def _seed(body: RecommendBody | WhyBody) -> int | None:
    if body.seed is not None and not 0 <= body.seed <= SEED_MAX:
        raise InvalidQuery(f"seed is {body.seed}", field="/seed", allowed=f"0 to {SEED_MAX}")
    return body.seed


def _text(value: str, field: str, config: Config) -> None:
    if not value:
        allowed = f"1 to {config.limits.id_length} characters"
        raise InvalidQuery(f"{field.rpartition('/')[2]} is empty", field=field, allowed=allowed)
    _at_most(len(value), config, field=field, limit_key="limits.id_length", what="length")


def _between_1_and(value: int, config: Config, *, field: str, limit_key: str) -> None:
    if value < 1:
        raise InvalidQuery(f"{field[1:]} is {value}", field=field, allowed=f"1 to {attrgetter(limit_key)(config)}")
    _at_most(value, config, field=field, limit_key=limit_key, what="value")


def _at_most(value: int, config: Config, *, field: str, limit_key: str, what: str = "count") -> None:
    """limit_key: where the configuration has the limit."""
    limit = attrgetter(limit_key)(config)
    if value > limit:
        name = field[1:].replace("/", ".")
        shown = f"{name} is {value}" if what == "value" else f"the {what} of {name} is {value}"
        raise LimitExceeded(f"{shown}, the limit is {limit}", field=field, allowed=f"<= {limit}", limit_key=limit_key)
