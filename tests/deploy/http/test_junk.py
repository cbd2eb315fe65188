"""Megabytes of junk: refused at the price of reading them once, and answered in a few lines, whatever they say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import Config
from cluster.errors import LimitExceeded, OskolokError
from deploy.http.convert import to_request
from deploy.http.decoding import decode, decode_batch, values_max
from deploy.http.members import _PART_BYTES, check_members
from deploy.http.schema import Format, RecommendBody, to_json
from deploy.problems import Refused, problem_of

CONFIG = Config()
BYTES = CONFIG.limits.body_bytes
ANSWER_BYTES_MAX = 4096
USER = b'{"user_id": "1", '


def full_of(unit: bytes, *, begin: bytes = USER, end: bytes = b"}") -> bytes:
    """JSON of as many units as a body may hold."""
    n = (BYTES - len(begin) - len(end) + 1) // (len(unit) + 1)
    return begin + b",".join([unit] * n) + end


LONG = b"x" * (BYTES - 64)
JUNK: Mapping[str, bytes] = {
    "a repeated number": full_of(b'"k":1'),
    "a repeated object": full_of(b'"context":{}'),
    "repeated filters": full_of(b'"filter":{"must":[{"field":"a","eq":1}]}'),
    "a long name": USER + b'"' + LONG + b'":1}',
    "a long name of escapes": USER + b'"' + rb"\u0001" * (len(LONG) // 6) + b'":1}',
    "a long name of quotes": USER + b'"' + rb"\"" * (len(LONG) // 2) + b'":1}',
    "a long name that looks like a path": USER + b'"' + b" - at `$" * (len(LONG) // 8) + b'":1}',
    "a long word for a choice": USER + b'"explain":"' + LONG[:-9] + b'"}',
    "a long user": b'{"user_id":"' + LONG + b'"}',
    "a long attribute": USER + b'"filter":{"must":[{"field":"' + LONG[:-32] + b'","eq":1}]}}',
    "conditions": full_of(b'{"field":"a","eq":1}', begin=USER + b'"filter":{"must":[', end=b"]}}"),
    "values": full_of(b"1", begin=USER + b'"filter":{"must":[{"field":"a","in":[', end=b"]}]}}"),
    "ids": full_of(b'"1"', begin=USER + b'"exclude_item_ids":[', end=b"]}"),
    "pins": full_of(b'{"item_id":1,"position":1}', begin=USER + b'"pins":[', end=b"]}"),
    "brackets": b"[" * BYTES,
    "brackets in a field": USER + b'"filter":' + b'{"must":[' * (BYTES // 10),
    "digits": USER + b'"k":' + b"9" * len(LONG) + b"}",
    "the largest integer that is read": USER + b'"k":' + b"9" * 4300 + b"}",
}
BATCHES: Mapping[str, bytes] = {
    "numbers": full_of(b"1", begin=b'{"requests":[', end=b"]}"),
    "objects": full_of(b"{}", begin=b'{"requests":[', end=b"]}"),
    "repeated requests": full_of(b'"requests":[]', begin=b"{"),
    "repeated time": full_of(b'"timeout_ms":1', begin=b'{"requests":[],'),
    "a long name": b'{"requests":[],"' + LONG + b'":1}',
    "text": b'{"requests":"' + LONG + b'"}',
}


def one(body: bytes, form: Format = "json") -> None:
    to_request(decode(body, form, RecommendBody, CONFIG.limits), CONFIG)


def many(body: bytes, form: Format = "json") -> None:
    decode_batch(body, form, CONFIG.limits)


def answer_to(read: Callable[[bytes, Format], None], body: bytes, form: Format = "json") -> bytes:
    with pytest.raises((Refused, OskolokError)) as caught:
        read(body, form)
    problem = problem_of(caught.value, instance="/v1/recommend/batch", request_id="r" * 128)
    assert problem.status == 400
    return bytes(to_json(problem))


CASES = [(one, name, body) for name, body in JUNK.items()] + [(many, f"a batch of {n}", body) for n, body in BATCHES.items()]


@pytest.mark.parametrize(("read", "body"), [(read, body) for read, _, body in CASES], ids=[name for _, name, _ in CASES])
def test_junk_is_refused_at_the_price_of_reading_it_a_few_times(read: Callable[..., None], body: bytes) -> None:
    assert len(answer_to(read, body)) <= ANSWER_BYTES_MAX
    numbers = full_of(b"1", begin=b"[", end=b"]")
    reading = cpu_s(lambda: msgspec.json.decode(numbers, type=msgspec.Raw))
    refusing = cpu_s(lambda: answer_to(read, body))
    assert refusing <= 6 * reading


def cpu_s(work: Callable[[], object]) -> float:
    """The best of a few, in seconds of this process's CPU: others on the machine do not count."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize(
    "fields",
    [
        {"exclude_item_ids": [1] * 900_000},
        {"filter": {"must": [{"field": "a", "eq": 1}] * 47_000}},
        {"x" * 1_000_000: 1},
        {"user_id": "x" * 1_000_000},
        {"explain": '"' * 1_000_000},
        {"context": {"basket": [[1] * 9_000] * 100}},
    ],
    ids=["ids", "conditions", "long name", "long user", "quotes", "lists of lists"],
)
def test_msgpack_is_no_way_around(fields: dict[str, object]) -> None:
    assert len(answer_to(one, msgpack.packb({"user_id": "1", **fields}), "msgpack")) <= ANSWER_BYTES_MAX


def test_msgpack_with_one_field_over_and_over() -> None:
    body = b"\xdf" + (300_000).to_bytes(4, "big") + msgpack.packb("k") + b"\x01"
    assert b"limit-exceeded" in answer_to(one, body, "msgpack"), "told by the map's own length, before its fields are read"
    twice = b"\x83" + msgpack.packb("user_id") + msgpack.packb("1") + 2 * (msgpack.packb("k") + b"\x01")
    assert b"duplicate-field" in answer_to(one, twice, "msgpack")


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30).flatmap(
    lambda text: st.integers(1, 3_000).map(lambda times: text * times)
)
FIELDS = st.sampled_from(["user_id", "k", "filter", "must", "field", "eq", "in", "context", "basket", "explain", "pins"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(FIELDS | TEXTS, below, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(body=st.dictionaries(FIELDS | TEXTS, VALUES, max_size=5))
def test_no_answer_to_what_is_wrong_is_longer_than_4_kib(body: dict[str, object]) -> None:
    forms: tuple[tuple[Format, bytes], ...] = (("json", json.dumps(body).encode()),)
    if not any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in leaves(body)):
        forms = (*forms, ("msgpack", msgpack.packb(body)))
    for form, encoded in forms:
        for read in (one, many):
            try:
                read(encoded, form)
            except (Refused, OskolokError) as error:
                problem = problem_of(error, instance="/v1/recommend/batch", request_id="r" * 128)
                assert problem.status == 400 and len(to_json(problem)) <= ANSWER_BYTES_MAX


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for below in value.values() for leaf in leaves(below)]
    if isinstance(value, list):
        return [leaf for below in value for leaf in leaves(below)]
    return [value]


@settings(deadline=None, max_examples=100)
@given(
    texts=st.lists(st.text(st.sampled_from(',"\\:é[{x'), max_size=_PART_BYTES // 40), min_size=1, max_size=60),
    repeats=st.integers(1, 40),
)
def test_only_commas_outside_texts_count(texts: list[str], repeats: int) -> None:
    texts = texts * repeats
    body = json.dumps(texts).encode()
    check_members(body, "json", len(texts) - 1)
    if len(texts) > 1:
        with pytest.raises(LimitExceeded):
            check_members(body, "json", len(texts) - 2)


def test_whoever_keeps_every_limit_is_within_the_limit_of_values() -> None:
    limits = CONFIG.limits
    values = ["v,:" * 60] * limits.filter_values
    body = {
        "user_id": 1,
        "k": limits.k,
        "filter": {
            "must": [{"field": "a", "in": values}] * (limits.filter_conditions // 2),
            "must_not": [{"field": "a", "in": list(range(limits.filter_values))}] * (limits.filter_conditions // 2),
        },
        "exclude_item_ids": ['a"b\\c,'] * limits.exclude_item_ids,
        "context": {
            "basket": [1] * limits.basket_items,
            "viewed": ["1"] * limits.viewed_items,
            "playlists": ["p"] * limits.playlists,
        },
        "pins": [{"item_id": at, "position": 1} for at in range(limits.pins)],
        "seed": 1,
        "timeout_ms": 1,
        "min_coverage": 0.5,
        "explain": "full",
    }
    for form, encoded in (("json", json.dumps(body).encode()), ("msgpack", msgpack.packb(body))):
        to_request(decode(encoded, form, RecommendBody, limits), CONFIG)  # type: ignore[arg-type]
    assert values_max(limits) < 20_000
