"""Requests that must be refused: a table, used in process and over real HTTP. Each is a 4xx problem that names the field.

The limits are the defaults of `cluster/config/sections.py`. `items` filter on the attributes of whatever world answers, so
unknown attributes are spelled to exist nowhere. Categories number those of untrusted input: bodies, numbers, ids, filters, …
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgpack
import msgspec


@dataclass(frozen=True)
class Bad:
    """pointer: what the problem must name, None where no field is to blame.  chunked: sent without a content-length."""

    category: str
    name: str
    body: bytes
    code: str = "invalid-value"
    pointer: str | None = None
    status: int = 400
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False

    def __str__(self) -> str:
        return f"{self.category}: {self.name}"


def asked(**fields: object) -> bytes:
    return json.dumps({"user_id": "1", **fields}).encode()


def packed(**fields: object) -> bytes:
    return bytes(msgpack.packb({"user_id": "1", **fields}))


def must(**condition: object) -> bytes:
    return asked(filter={"must": [condition]})


def nested_groups(depth: int) -> dict[str, object]:
    condition: dict[str, object] = {"field": "a", "eq": 1}
    for _ in range(depth):
        condition = {"none_of": [condition]}
    return {"must": [condition]}


_MSGPACK = "application/msgpack"
_MIB = 1 << 20
_SMALL = '{"user_id": "1", '

BAD: tuple[Bad, ...] = (
    Bad("empty body", "no bytes", b"", "invalid-json"),
    Bad("empty body", "no bytes of msgpack", b"", "invalid-msgpack", content_type=_MSGPACK),
    Bad("not JSON", "words", b"hello", "invalid-json"),
    Bad("not JSON", "trailing bytes", asked() + b"x", "invalid-json"),
    Bad("not JSON", "single quotes", b"{'user_id': '1'}", "invalid-json"),
    Bad("not JSON", "cut short", asked()[:-1], "invalid-json"),
    Bad("not JSON", "byte order mark", b"\xef\xbb\xbf" + asked(), "invalid-json"),
    Bad("not an object", "array", b"[]", pointer="#"),
    Bad("not an object", "string", b'"1"', pointer="#"),
    Bad("not an object", "null", b"null", pointer="#"),
    Bad("content type", "text", asked(), "unsupported-media-type", status=415, content_type="text/plain"),
    Bad(
        "content type", "form", asked(), "unsupported-media-type", status=415, content_type="application/x-www-form-urlencoded"
    ),
    Bad(
        "content type",
        "latin-1",
        asked(),
        "unsupported-media-type",
        status=415,
        content_type="application/json; charset=latin-1",
    ),
    Bad("content encoding", "gzip", asked(), "unsupported-media-type", status=415, headers={"content-encoding": "gzip"}),
    Bad("content encoding", "br", asked(), "unsupported-media-type", status=415, headers={"content-encoding": "br"}),
    Bad("body size", "over the limit", asked(pad="x" * _MIB), "body-too-large", status=413),
    Bad("body size", "over the limit, no length", asked(pad="x" * _MIB), "body-too-large", status=413, chunked=True),
    Bad("nesting", "arrays", b"[" * 100_000, pointer="#"),
    Bad(
        "nesting",
        "inside a known field",
        (_SMALL + '"filter": ').encode() + b'{"must":[' * 50_000,
        pointer="#/filter/must/0/must",
        code="unknown-field",
    ),
    Bad("nesting", "inside an unknown field", (_SMALL + '"x": ').encode() + b"[" * 100_000, "unknown-field", "#/x"),
    Bad("nesting", "msgpack", b"\x91" * 100_000, pointer="#", content_type=_MSGPACK),
    Bad("huge integer", "5,000 digits", (_SMALL + '"k": ' + "9" * 5000 + "}").encode(), pointer="#/k"),
    Bad("huge integer", "over 64 bits", asked(k=2**64), "limit-exceeded", "#/k"),
    Bad("huge integer", "a user over 63 bits", asked(user_id=2**63), pointer="#/user_id"),
    Bad("huge integer", "an id over 63 bits", asked(exclude_item_ids=[2**63]), pointer="#/exclude_item_ids/0"),
    Bad("repeated field", "top", b'{"user_id": "1", "k": 1, "k": 2}', "duplicate-field", "#/k"),
    Bad("repeated field", "the user", b'{"user_id": "1", "user_id": "2"}', "duplicate-field", "#/user_id"),
    Bad(
        "repeated field",
        "nested",
        b'{"user_id": "1", "filter": {"must": [{"field": "a", "eq": "1", "eq": "2"}]}}',
        "duplicate-field",
        "#/filter/must/0/eq",
    ),
    Bad(
        "repeated field",
        "msgpack",
        b"\x82\xa7user_id\xa11\xa7user_id\xa12",
        "duplicate-field",
        "#/user_id",
        content_type=_MSGPACK,
    ),
    Bad("unknown field", "top", asked(limit=3), "unknown-field", "#/limit"),
    Bad("unknown field", "nested", asked(context={"device": "ios"}), "unknown-field", "#/context/device"),
    Bad("unknown field", "with a slash", asked(**{"a/b~c": 1}), "unknown-field", "#/a~1b~0c"),
    Bad("missing field", "user_id", b'{"k": 3}', pointer="#/user_id"),
    Bad("missing field", "a condition's field", asked(filter={"must": [{"eq": "x"}]}), pointer="#/filter/must/0/field"),
    Bad("wrong type", "fraction for user", asked(user_id=4.5), pointer="#/user_id"),
    Bad("wrong type", "null for user", asked(user_id=None), pointer="#/user_id"),
    Bad("wrong type", "bool for int", asked(k=True), pointer="#/k"),
    Bad("wrong type", "text for int", asked(k="10"), pointer="#/k"),
    Bad("wrong type", "float for int", b'{"user_id": "1", "k": 1e1}', pointer="#/k"),
    Bad("wrong type", "object for array", asked(exclude_item_ids={}), pointer="#/exclude_item_ids"),
    Bad("wrong type", "float id", asked(exclude_item_ids=["1", 1.5]), pointer="#/exclude_item_ids/1"),
    Bad("wrong type", "bool id", asked(context={"basket": [True]}), pointer="#/context/basket/0"),
    Bad("wrong type", "explain", asked(explain="everything"), pointer="#/explain"),
    Bad("wrong type", "number for playlist", asked(context={"playlists": ["a", 1]}), pointer="#/context/playlists/1"),
    Bad("wrong type", "text for views", asked(context={"viewed": "1"}), pointer="#/context/viewed"),
    Bad("pins", "a place in words", asked(pins=[{"item_id": "1", "position": "top"}]), pointer="#/pins/0/position"),
    Bad("pins", "no position", asked(pins=[{"item_id": "1"}]), pointer="#/pins/0/position"),
    Bad("pins", "an empty id", asked(pins=[{"item_id": "", "position": 1}]), pointer="#/pins/0/item_id"),
    Bad("pins", "too many", asked(pins=[{"item_id": "1", "position": 1}] * 21), "limit-exceeded", "#/pins"),
    Bad("pins", "a field too many", asked(pins=[{"item_id": "1", "position": 1, "for": "x"}]), "unknown-field", "#/pins/0/for"),
    Bad("seed", "negative", asked(seed=-1), pointer="#/seed"),
    Bad("seed", "more than JSON readers keep", asked(seed=2**53), pointer="#/seed"),
    Bad("k", "zero", asked(k=0), pointer="#/k"),
    Bad("k", "negative", asked(k=-1), pointer="#/k"),
    Bad("k", "a billion", asked(k=10**9), "limit-exceeded", "#/k"),
    Bad("k", "one too many", asked(k=201), "limit-exceeded", "#/k"),
    Bad("not finite", "NaN literal", b'{"user_id": "1", "min_coverage": NaN}', "invalid-json"),
    Bad("not finite", "Infinity literal", b'{"user_id": "1", "min_coverage": -Infinity}', "invalid-json"),
    Bad("not finite", "overflow", b'{"user_id": "1", "min_coverage": 1e999}', pointer="#/min_coverage"),
    Bad("not finite", "msgpack NaN", packed(min_coverage=float("nan")), pointer="#/min_coverage", content_type=_MSGPACK),
    Bad(
        "not finite",
        "msgpack infinity in a filter",
        packed(filter={"must": [{"field": "a", "gte": float("inf")}]}),
        pointer="#/filter/must/0/gte",
        content_type=_MSGPACK,
    ),
    Bad("ids", "empty user", asked(user_id=""), pointer="#/user_id"),
    Bad("ids", "long user", asked(user_id="u" * 257), "limit-exceeded", "#/user_id"),
    Bad("ids", "empty item", asked(exclude_item_ids=["1", ""]), pointer="#/exclude_item_ids/1"),
    Bad("ids", "long item", asked(exclude_item_ids=["i" * 257]), "limit-exceeded", "#/exclude_item_ids/0"),
    Bad("ids", "too many to exclude", asked(exclude_item_ids=["1"] * 2001), "limit-exceeded", "#/exclude_item_ids"),
    Bad("ids", "too many in the basket", asked(context={"basket": ["1"] * 501}), "limit-exceeded", "#/context/basket"),
    Bad("ids", "too many viewed", asked(context={"viewed": ["1"] * 201}), "limit-exceeded", "#/context/viewed"),
    Bad("ids", "empty viewed", asked(context={"viewed": ["1", ""]}), pointer="#/context/viewed/1"),
    Bad("ids", "too many playlists", asked(context={"playlists": ["p"] * 17}), "limit-exceeded", "#/context/playlists"),
    Bad("ids", "empty playlist", asked(context={"playlists": [""]}), pointer="#/context/playlists/0"),
    Bad("ids", "long playlist", asked(context={"playlists": ["p" * 257]}), "limit-exceeded", "#/context/playlists/0"),
    Bad("unicode", "bytes that are not UTF-8", b'{"user_id": "\xff\xfe"}', "invalid-json"),
    Bad("unicode", "lone high surrogate", b'{"user_id": "\\ud800"}', "invalid-json"),
    Bad("unicode", "lone low surrogate", b'{"user_id": "a\\udc00b"}', "invalid-json"),
    Bad("unicode", "msgpack text that is not UTF-8", b"\x81\xa7user_id\xa2\xff\xfe", "invalid-msgpack", content_type=_MSGPACK),
    Bad("filter field", "unknown", must(field="no_such_attribute", eq="x"), "unknown-filter-field", "#/filter/must/0/field"),
    Bad("filter field", "empty", must(field="", eq="x"), pointer="#/filter/must/0/field"),
    Bad("filter field", "a path", must(field="../../etc/passwd", eq="x"), "unknown-filter-field", "#/filter/must/0/field"),
    Bad("filter shape", "no operator", must(field="a"), pointer="#/filter/must/0"),
    Bad("filter shape", "two operators", must(field="a", eq=1, lte=2), pointer="#/filter/must/0"),
    Bad("filter shape", "two lower bounds", must(field="a", gt=1, gte=2), pointer="#/filter/must/0"),
    Bad("filter shape", "a range and more", must(field="a", gt=1, lt=2, ne=1), pointer="#/filter/must/0"),
    Bad("filter shape", "a test beside a group", must(field="a", any_of=[{"field": "a", "eq": 1}]), pointer="#/filter/must/0"),
    Bad("filter shape", "two groups", must(any_of=[{"field": "a"}], all_of=[{"field": "a"}]), pointer="#/filter/must/0"),
    Bad("filter shape", "an empty group", must(any_of=[]), pointer="#/filter/must/0/any_of"),
    Bad(
        "filter shape",
        "a bad test in a group",
        must(any_of=[{"field": "a", "eq": 1}, {"field": "a"}]),
        pointer="#/filter/must/0/any_of/1",
    ),
    Bad("filter shape", "nested groups without end", asked(filter=nested_groups(40)), pointer="#/filter"),
    Bad("filter shape", "unknown operator", must(field="a", like="x"), "unknown-field", "#/filter/must/0/like"),
    Bad("filter shape", "not a list", asked(filter={"must": {"field": "a"}}), pointer="#/filter/must"),
    Bad("filter value", "null", must(field="a", eq=None), pointer="#/filter/must/0/eq"),
    Bad("filter value", "object", must(field="a", eq={}), pointer="#/filter/must/0/eq"),
    Bad("filter value", "text for a bound", must(field="a", gte="1"), pointer="#/filter/must/0/gte"),
    Bad("filter value", "bool for a bound", must(field="a", lt=True), pointer="#/filter/must/0/lt"),
    Bad("filter value", "long text", must(field="a", eq="v" * 257), "limit-exceeded", "#/filter/must/0/eq"),
    Bad("filter size", "conditions", asked(filter={"must": [{"field": "a", "eq": "x"}] * 17}), "limit-exceeded", "#/filter"),
    Bad("filter size", "tests in a group", must(any_of=[{"field": "a", "gt": 1, "lt": 2}] * 9), "limit-exceeded", "#/filter"),
    Bad("filter size", "values", must(field="a", **{"in": ["x"] * 501}), "limit-exceeded", "#/filter/must/0/in"),
    Bad("timeout_ms", "zero", asked(timeout_ms=0), pointer="#/timeout_ms"),
    Bad("timeout_ms", "negative", asked(timeout_ms=-5), pointer="#/timeout_ms"),
    Bad("timeout_ms", "an hour", asked(timeout_ms=3_600_000), "limit-exceeded", "#/timeout_ms"),
    Bad("min_coverage", "negative", asked(min_coverage=-0.1), pointer="#/min_coverage"),
    Bad("min_coverage", "over one", asked(min_coverage=1.01), pointer="#/min_coverage"),
    Bad("min_coverage", "text", asked(min_coverage="1"), pointer="#/min_coverage"),
    Bad(
        "msgpack",
        "extension type",
        msgspec.msgpack.encode({"user_id": msgspec.msgpack.Ext(1, b"x")}),
        pointer="#/user_id",
        content_type=_MSGPACK,
    ),
    Bad("msgpack", "bytes for text", packed(user_id=b"1"), pointer="#/user_id", content_type=_MSGPACK),
    Bad("msgpack", "cut short", packed()[:-1], "invalid-msgpack", content_type=_MSGPACK),
    Bad("msgpack", "trailing bytes", packed() + b"\x01", "invalid-msgpack", content_type=_MSGPACK),
    Bad(
        "msgpack", "a map that claims 4 billion entries", b"\xdf\xff\xff\xff\xff", "limit-exceeded", "#", content_type=_MSGPACK
    ),
    Bad(
        "msgpack",
        "an array that claims 4 billion entries",
        b"\xdd\xff\xff\xff\xff",
        "limit-exceeded",
        "#",
        content_type=_MSGPACK,
    ),
    Bad("msgpack", "number for a key", b"\x81\x01\x02", pointer="#", content_type=_MSGPACK),
    Bad("msgpack", "JSON, whose first byte is a msgpack number", asked(), pointer="#", content_type=_MSGPACK),
)

ODD_BUT_VALID: tuple[tuple[str, bytes], ...] = (
    ("a user nobody knows", asked(user_id="nobody-has-this-id")),
    ("an id like a path", asked(user_id="../../etc/passwd")),
    ("an id like SQL", asked(user_id="1'; DROP TABLE users; --")),
    ("an id with a NUL and an emoji", asked(user_id="a\0b🛒")),
    ("items nobody knows, twice", asked(exclude_item_ids=["no-such-item", "no-such-item"])),
    ("an empty filter", asked(filter={"must": [], "must_not": []})),
    ("the tiniest float", asked(min_coverage=5e-324)),
    ("the largest k", asked(k=200)),
    ("integers for ids", asked(user_id=42, exclude_item_ids=[7, "8"], context={"basket": [-1], "viewed": [2**63 - 1]})),
    ("an integer to pin", asked(pins=[{"item_id": 7, "position": 1}])),
    (
        "null wherever a field may be left out",
        asked(
            **dict.fromkeys(("k", "exclude_item_ids", "pins", "seed", "timeout_ms", "min_coverage", "explain")),
            filter={"must": None, "must_not": None},
            context={"basket": None, "viewed": None, "playlists": None},
        ),
    ),
    ("null for a filter and a context", asked(filter=None, context=None)),
    ("an escaped key", b'{"user\\u005fid": "1"}'),
)
