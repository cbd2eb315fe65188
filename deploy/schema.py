"""The HTTP bodies: what JSON and msgpack may say, and what they are turned into. Unknown fields and loose types are refused.

`decode` turns bytes into a body struct and any fault in them into a `Refused` that names the field; `deploy/convert.py` checks
what a struct says against limits and catalogue. The answers need no conversion: msgspec encodes the router's own dataclasses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

import msgpack
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cluster.types import SlateItem
from deploy.problems import Problem, Refused
from router.request import Explain

Format = Literal["json", "msgpack"]
Scalar = str | bool | int | float
Id = str | int


class ConditionBody(Struct, frozen=True, forbid_unknown_fields=True, rename={"in_": "in"}):
    """One test of one attribute: the field, and exactly one operator."""

    field: str
    eq: Scalar | UnsetType = UNSET
    in_: list[Scalar] | UnsetType = UNSET
    gt: int | float | UnsetType = UNSET
    gte: int | float | UnsetType = UNSET
    lt: int | float | UnsetType = UNSET
    lte: int | float | UnsetType = UNSET


class FilterBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Items are returned if every `must` holds and no `must_not` does."""

    must: list[ConditionBody] = []
    must_not: list[ConditionBody] = []


class ContextBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the moment. Items in the basket tell taste and are not recommended."""

    basket: list[Id] = []


class RecommendBody(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/recommend. Whoever the user is: a stranger gets a cold answer and `degraded: ["unknown_user"]`."""

    user_id: str
    k: Annotated[int, Meta(description="how many items; slate.k_default if left out")] | UnsetType = UNSET
    filter: FilterBody = FilterBody()
    exclude_item_ids: list[Id] = []
    context: ContextBody = ContextBody()
    timeout_ms: Annotated[int, Meta(description="the time budget; deadline.default_ms if left out")] | UnsetType = UNSET
    min_coverage: Annotated[float, Meta(description="share of the items that must have been searched")] | UnsetType = UNSET
    explain: Explain = "none"


class BatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/recommend/batch. The time budget is the whole batch's; each request succeeds or fails alone."""

    requests: list[msgspec.Raw]
    timeout_ms: Annotated[int, Meta(description="the time budget; deadline.max_ms if left out")] | UnsetType = UNSET


class ShardCounts(Struct, frozen=True):
    """total = ok + late + failed + loading."""

    total: int
    ok: int
    late: int
    failed: int
    loading: int


class MissingBody(Struct, frozen=True):
    """A shard that is not in the answer, and why."""

    shard: int
    replica: str
    reason: Literal["timeout", "failed", "loading"]
    detail: str
    waited_ms: float


class CoverageBody(Struct, frozen=True):
    """How much of the catalogue was searched. ratio counts items."""

    ratio: float
    required: float
    shards: ShardCounts
    missing: tuple[MissingBody, ...]
    by_source: Mapping[str, float]


class GenerationBody(Struct, frozen=True):
    """The one generation of items and models, and the version of the topology, that the answer came from."""

    id: str
    topology: int


class FunnelRow(Struct, frozen=True, rename={"n_in": "in", "n_out": "out"}):
    """One stage: candidates in and out, and what it removed, by reason."""

    stage: str
    n_in: int
    n_out: int
    took_ms: float
    removed: Mapping[str, int]


class ShardRow(Struct, frozen=True):
    """How one shard took part. strategies: source -> how it found its hits."""

    shard: int
    replica: str
    took_ms: float
    queue_ms: float
    n_rows: int
    n_eligible: int
    strategies: Mapping[str, str]
    asked_again: bool


class ExplainBody(Struct, frozen=True):
    """What happened on the way, if asked for."""

    funnel: tuple[FunnelRow, ...]
    shards: tuple[ShardRow, ...]


class RecommendationBody(Struct, frozen=True):
    """The answer to POST /v1/recommend."""

    request_id: str
    items: tuple[SlateItem, ...]
    coverage: CoverageBody
    degraded: tuple[str, ...]
    generation: GenerationBody
    timings_ms: Mapping[str, float]
    exact_merge: bool
    explain: ExplainBody | None = None


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """One request's outcome: either a recommendation, or the problem that a single request would have been answered with."""

    status: int
    recommendation: RecommendationBody | None = None
    problem: Problem | None = None


class BatchAnswer(Struct, frozen=True):
    """The answer to POST /v1/recommend/batch, aligned with its requests."""

    request_id: str
    results: tuple[BatchResult, ...]


T = TypeVar("T")

_JSON: dict[type, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(t) for t in (RecommendBody, BatchBody)}
_MSGPACK: dict[type, msgspec.msgpack.Decoder[Any]] = {t: msgspec.msgpack.Decoder(t) for t in (RecommendBody, BatchBody)}
_FIELDS = sorted({name for t in (RecommendBody, BatchBody, FilterBody, ContextBody) for name in t.__struct_encode_fields__})

to_json = msgspec.json.Encoder().encode
to_msgpack = msgspec.msgpack.Encoder().encode


def decode(body: bytes | msgspec.Raw, form: Format, as_type: type[T]) -> T:
    """The struct that the bytes say. Raises Refused: malformed bytes, unknown and repeated fields, values of another type."""
    try:
        decoded: T = (_JSON if form == "json" else _MSGPACK)[as_type].decode(body)
        if as_type is RecommendBody:  # a batch's elements are still bytes, and are checked one by one
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
