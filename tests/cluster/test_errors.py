"""The error tree: what its head draws is what there is, and every class survives the wire."""

from __future__ import annotations

import pickle
import re

import pytest

from cluster import errors
from cluster.codec.messages import decode_error, encode_error
from cluster.errors import InternalError, LimitExceeded, OskolokError, all_classes, from_wire, to_wire


def test_the_drawing_at_the_top_lists_exactly_the_classes() -> None:
    drawn = re.findall(r"^[│├└─ ]*([A-Z][A-Za-z]+)(?: |$)", (errors.__doc__ or "").split("\n\n")[1], re.MULTILINE)
    assert sorted(drawn) == sorted(all_classes())


@pytest.mark.parametrize("name", sorted(all_classes()))
def test_every_class_crosses_the_wire_as_itself(name: str) -> None:
    sent = all_classes()[name]("42 is over 41", field="/k", allowed=["a", "b"], retry_after_s=1)
    came = decode_error(encode_error(sent))
    assert type(came) is type(sent)
    assert (came.message, came.details) == (sent.message, sent.details)


@pytest.mark.parametrize("name", sorted(all_classes()))
def test_every_class_survives_pickling(name: str) -> None:
    sent = all_classes()[name]("42 is over 41", field="/k")
    came = pickle.loads(pickle.dumps(sent))
    assert (type(came), came.message, came.details) == (type(sent), sent.message, sent.details)


@pytest.mark.parametrize(
    "foreign", [KeyError("shard"), MemoryError(), RuntimeError("contiguous 2D array"), KeyboardInterrupt()]
)
def test_a_foreign_error_crosses_as_an_internal_one_that_names_it(foreign: BaseException) -> None:
    came = decode_error(encode_error(foreign))
    assert type(came) is InternalError
    assert type(foreign).__name__ in came.message


def test_a_class_of_a_newer_peer_becomes_internal() -> None:
    came = from_wire("TooClever", "no", {"field": "/k"})
    assert type(came) is InternalError
    assert came.message == "TooClever: no"


def test_details_may_have_any_name() -> None:
    name, message, details = to_wire(LimitExceeded("over", **{"message": 1, "self": 2, "name": 3}))
    came = from_wire(name, message, details)
    assert came.details == {"message": 1, "self": 2, "name": 3}


@pytest.mark.parametrize("detail", [object(), {"nested": {"deep": 1}}, 2**70, [[1]], "\ud800", b"bytes", float])
def test_a_detail_that_is_not_plain_is_sent_as_text(detail: object) -> None:
    came = decode_error(encode_error(OskolokError("no", detail=detail)))
    assert type(came) is OskolokError
    assert came.details == {"detail": ascii(detail)}


def test_messages_are_bounded_and_always_encodable() -> None:
    came = decode_error(encode_error(OskolokError("\ud800" + "x" * 100_000)))
    assert came.message == "?" + "x" * 4_095
