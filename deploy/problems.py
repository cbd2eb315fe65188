"""Answers to requests that fail: RFC 9457 problem documents, one code per kind of failure.

Every error of `cluster/errors.py` has a code here (a test proves that the map is total), and so has every misuse of HTTP itself
(`Refused`). A problem names the field by JSON pointer if there is one, the configuration key of an exceeded limit, and what to
do next. It never carries a stack trace; faults that only an operator can repair are logged, not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cluster.errors import (
    ConfigError,
    CoverageTooLow,
    DeadlineExceeded,
    GenerationError,
    GenerationMismatch,
    InternalError,
    InvalidQuery,
    LimitExceeded,
    OskolokError,
    Overloaded,
    RankerUnavailable,
    ShardLoading,
    ShardUnavailable,
    TransportError,
    Unavailable,
    UnknownFilterField,
    UnknownItem,
    UserStoreUnavailable,
)

URN = "urn:oskolok:problem:"
TEXT_BYTES_MAX = 400  # of a text that may quote the caller; up to four stand in a document, and escapes may double each
HELP_BYTES_MAX = 1_000  # of ours, which may list what the catalogue has


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that is wrong. pointer: "#/filter/must/0/in".  limit_key: the configuration key of the limit it is over."""

    pointer: str
    detail: str
    limit_key: str = ""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an `application/problem+json` answer."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    request_id: str = ""
    errors: tuple[FieldProblem, ...] = ()
    coverage: Mapping[str, object] = {}
    help: str = ""

    @property
    def code(self) -> str:
        return self.type.removeprefix(URN)


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: int
    title: str
    help: str = ""


KINDS: Mapping[str, Kind] = {
    "invalid-json": Kind(400, "The body is not valid JSON", "send one JSON object in UTF-8"),
    "invalid-msgpack": Kind(400, "The body is not valid msgpack", "send one msgpack map with string keys"),
    "unknown-field": Kind(400, "The request has a field that does not exist", "see /docs for the fields"),
    "duplicate-field": Kind(400, "The request has a field twice", "send each field once"),
    "invalid-value": Kind(400, "A value is not allowed", "see /docs for the values of each field"),
    "limit-exceeded": Kind(400, "A limit was exceeded", "ask for less, or raise the limit in oskolok.toml"),
    "unknown-filter-field": Kind(400, "The filter names an attribute that items do not have"),
    "unknown-item": Kind(404, "The catalogue has no such item", "check the id"),
    "not-found": Kind(404, "There is nothing at this path", "see /docs for the paths"),
    "method-not-allowed": Kind(405, "The path does not support this method", "see the Allow header"),
    "request-timeout": Kind(408, "The body did not arrive in time", "send the body faster, or send a smaller one"),
    "body-too-large": Kind(413, "The body is too large", "send less, or raise limits.body_bytes in oskolok.toml"),
    "unsupported-media-type": Kind(
        415, "The type or encoding of the body is not supported", "send content-type: application/json, uncompressed"
    ),
    "overloaded": Kind(429, "This router has too many requests in flight", "retry after the time in Retry-After"),
    "internal": Kind(500, "Something went wrong on our side", "the log has the cause; search it for the request_id"),
    "unavailable": Kind(503, "A part of the cluster is not available right now", "retry; /readyz?verbose says what is missing"),
    "starting": Kind(503, "The cluster is starting", "retry; /readyz?verbose says what is missing"),
    "coverage-too-low": Kind(
        503, "Fewer items could be searched than the request requires", "retry, or accept a lower min_coverage"
    ),
    "deadline-exceeded": Kind(504, "The time budget ran out", "retry with a larger timeout_ms"),
}

CODES: Mapping[type[OskolokError], str] = {
    OskolokError: "internal",
    ConfigError: "internal",
    InvalidQuery: "invalid-value",
    LimitExceeded: "limit-exceeded",
    UnknownFilterField: "unknown-filter-field",
    UnknownItem: "unknown-item",
    GenerationError: "internal",
    GenerationMismatch: "unavailable",
    Overloaded: "overloaded",
    DeadlineExceeded: "deadline-exceeded",
    CoverageTooLow: "coverage-too-low",
    Unavailable: "unavailable",
    ShardUnavailable: "unavailable",
    ShardLoading: "starting",
    RankerUnavailable: "unavailable",
    UserStoreUnavailable: "unavailable",
    TransportError: "unavailable",
    InternalError: "internal",
}
"""The nearest entry up an error's family tree counts."""


class Refused(Exception):
    """A request that fails for what it is, before the router sees it. pointer: JSON pointer without '#', "" for the whole."""

    def __init__(self, code: str, detail: str, *, pointer: str | None = None, help: str = "", allow: str = "") -> None:
        assert code in KINDS, code
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.help = help
        self.allow = allow


def code_of(error: BaseException) -> str:
    """The code of any error. What is foreign to us is our bug: "internal"."""
    if isinstance(error, Refused):
        return error.code
    return next((CODES[cls] for cls in type(error).__mro__ if cls in CODES), "internal")


def problem_of(error: BaseException, *, instance: str = "", request_id: str = "") -> Problem:
    """The document for any error."""
    code = code_of(error)
    kind = KINDS[code]
    errors: tuple[FieldProblem, ...] = ()
    coverage: Mapping[str, object] = {}
    detail, help = kind.title.lower(), kind.help
    if isinstance(error, Refused):
        detail, help = error.detail, error.help or kind.help
        if error.pointer is not None:
            errors = (FieldProblem(_short(f"#{error.pointer}"), _short(error.detail)),)
    elif isinstance(error, OskolokError) and code != "internal":
        detail = error.message or detail
        errors = _field(error)
        limit = error.details.get("limit_key")
        if limit and kind.status < 500:
            help = f"{kind.help}: {limit}" if code == "overloaded" else f"ask for less, or raise {limit} in oskolok.toml"
        elif isinstance(error, UnknownFilterField) and error.details.get("allowed"):
            help = f"filter on one of: {_listed(error.details['allowed'])}"
        if isinstance(given := error.details.get("coverage"), Mapping):
            coverage = given
    return Problem(
        URN + code,
        kind.title,
        kind.status,
        _short(detail),
        _short(instance),
        request_id,
        errors,
        coverage,
        _short(help, HELP_BYTES_MAX),
    )


def headers_of(error: BaseException) -> list[tuple[bytes, bytes]]:
    """The headers that belong to the answer, beyond content type and length."""
    if isinstance(error, Overloaded):
        return [(b"retry-after", str(error.details.get("retry_after_s", 1)).encode())]
    if isinstance(error, Refused) and error.allow:
        return [(b"allow", error.allow.encode())]
    code = code_of(error)
    if code in ("body-too-large", "request-timeout"):
        return [(b"connection", b"close")]  # the rest of the body is not read, so the connection cannot be used again
    return [(b"retry-after", b"1")] if KINDS[code].status == 503 else []


def _field(error: OskolokError) -> tuple[FieldProblem, ...]:
    field = error.details.get("field")
    if not isinstance(field, str):
        return ()
    allowed = error.details.get("allowed")
    detail = f"allowed: {_listed(allowed)}" if allowed else error.message
    return (FieldProblem(_short(f"#{field}"), _short(detail), str(error.details.get("limit_key", ""))),)


def _short(text: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Every text of a problem passes here, because nearly all of them may quote the caller: a document stays below 4 KiB."""
    head = text[:bytes_max]
    if not head.isprintable():
        head = "".join([c if c.isprintable() else "\ufffd" for c in head])
    encoded = head.encode()
    if len(encoded) <= bytes_max and len(text) <= bytes_max:
        return head
    return encoded[:bytes_max].decode(errors="ignore") + "…"


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
