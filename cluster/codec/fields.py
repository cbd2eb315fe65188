"""The shapes of bodies on the data plane, position by position, and how arrays are read from them and checked.

A field named n_... counts; a `bytes` field is an array whose dtype the field fixes, possibly several joined. The value's type
says what a field means (`cluster/types.py`). Functions here that refuse a value raise msgspec.ValidationError; `refusing` turns
that into our own errors.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Generic, ParamSpec, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Raw, ValidationError
from numpy.typing import NDArray

from cluster.errors import InternalError, InvalidQuery, MalformedFrame, OskolokError
from cluster.filtering import Op
from cluster.order import all_finite
from cluster.types import Floats, Keys

assert sys.byteorder == "little", "arrays are sent as this machine's own bytes, which have to be little-endian"

Name = Annotated[str, Meta(max_length=4_096)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Plain = str | int | float | bool | None | list[str | int | float | bool | None]
"""What a payload or an error's detail may hold. Tuples come back as lists."""

P = ParamSpec("P")
T = TypeVar("T")
Number = TypeVar("Number", np.int64, np.int32, np.float32, np.bool_)

_ITEM_BYTES: Mapping[type[np.generic], int] = {np.int64: 8, np.int32: 4, np.float32: 4, np.bool_: 1}

_ENCODER = msgspec.msgpack.Encoder()


class WireCondition(msgspec.Struct, array_like=True):
    field: Name
    op: Op
    values: tuple[str | int | float | bool, ...] = ()
    parts: Annotated[tuple[WireCondition, ...], Meta(max_length=64)] = ()


class WireFilter(msgspec.Struct, array_like=True):
    must: Annotated[list[WireCondition], Meta(max_length=64)]
    must_not: Annotated[list[WireCondition], Meta(max_length=64)]


class WireQuery(msgspec.Struct, array_like=True):
    generation: Name
    asks: Annotated[list[tuple[Name, Count, tuple[tuple[Name, float], ...]]], Meta(max_length=256)]
    filter: Raw
    exclude: bytes
    vectors: dict[Name, Count]
    seeds: dict[Name, Count]
    profile: dict[Name, tuple[Name, ...]]
    seed_keys: bytes
    floats: bytes
    include: bytes = b""
    group_by: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    marks: Annotated[tuple[WireFilter, ...], Meta(max_length=64)] = ()
    cap: Count = 0
    named: bytes = b""


class WireHits(msgspec.Struct, array_like=True):
    source: Name
    n_members: Count
    more: bool
    next_score: float
    next_key: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    strategy: Name
    took_us: float


class WireShardReply(msgspec.Struct, array_like=True):
    generation: Name
    shard: Count
    rows: bytes
    keys: bytes
    n_match: Count
    match: bytes
    sources: list[WireHits]
    members: bytes
    scores: bytes
    n_items: Count
    n_eligible: Count
    took_us: float
    queue_us: float
    n_facts: Count = 0
    facts: bytes = b""
    named: bytes = b""
    unknown_values: Annotated[tuple[tuple[Name, Name, Name], ...], Meta(max_length=64)] = ()


class WireFetchQuery(msgspec.Struct, array_like=True):
    generation: Name
    rows: bytes
    filter: Raw
    vectors: Name = ""


class WireFetchReply(msgspec.Struct, array_like=True):
    generation: Name
    item_ids: tuple[Name | int, ...]
    payloads: tuple[dict[Name, Plain], ...]
    eligible: bytes
    dim: Count = 0
    vectors: bytes = b""


class WireRankQuery(msgspec.Struct, array_like=True):
    generation: Name
    schema_hash: Name
    keys: bytes
    n_match: Count
    match: bytes
    n_sources: Count
    source_scores: bytes
    source_ranks: bytes
    user: bytes
    context: bytes
    n_heavy: Count


class WireRankReply(msgspec.Struct, array_like=True):
    order: bytes
    scores: bytes
    n_heavy: Count
    skipped: Name
    light_us: float
    heavy_us: float
    queue_us: float


class WireError(msgspec.Struct, array_like=True):
    name: Name
    message: str
    details: dict[Name, Plain]


class Pieces(Generic[Number]):
    """An array that was joined from others, to be taken apart from its beginning to its end."""

    __slots__ = ("_at", "_joined", "_name")

    def __init__(self, array: NDArray[Number], name: str) -> None:
        self._joined: NDArray[Number] = array
        self._name = name
        self._at = 0

    def take(self, n: int) -> NDArray[Number]:
        begin, self._at = self._at, self._at + n
        if self._at > len(self._joined):
            raise ValidationError(f"{self._name} has {len(self._joined)} entries, at least {self._at} were announced")
        return self._joined[begin : self._at]

    def end(self) -> None:
        if self._at != len(self._joined):
            raise ValidationError(f"{self._name} has {len(self._joined)} entries, {self._at} were announced")


def joined(arrays: Iterable[NDArray[Any]]) -> bytes:
    """The bytes of some arrays, one behind the other."""
    return b"".join([array.tobytes() for array in arrays])


def array_of(raw: bytes, dtype: type[Number], name: str, length: int | None = None) -> NDArray[Number]:
    """The array of these bytes, (length,) if a length is expected."""
    if len(raw) % _ITEM_BYTES[dtype]:
        raise ValidationError(f"{name} has {len(raw)} bytes, which is no whole number of {dtype.__name__}")
    array: NDArray[Number] = np.frombuffer(raw, dtype)
    if length is not None and len(array) != length:
        raise ValidationError(f"{name} has {len(array)} entries, expected {length}")
    return array


def matrix_of(raw: bytes, n_rows: int, n_columns: int, name: str) -> NDArray[np.float32]:
    """(n_rows, n_columns) float32."""
    return array_of(raw, np.float32, name, n_rows * n_columns).reshape(n_rows, n_columns)


def finite(array: Floats, name: str) -> Floats:
    """The array, unless an entry of it is not finite."""
    require(all_finite(array), f"{name} has an entry that is not finite")
    return array


def ascending(keys: Keys, name: str) -> Keys:
    """The keys, unless they are not ascending and unique."""
    if len(keys) > 1:
        require(every(keys[1:] > keys[:-1]), f"{name} is not ascending and unique")
    return keys


def every(mask: NDArray[np.bool_]) -> bool:
    """Whether all of the mask holds."""
    return b"\0" not in mask.tobytes()  # a third of the time of mask.all(), which counts in small arrays


def require(holds: bool, otherwise: str) -> None:
    """Refuse the body, with this reason, unless the condition holds."""
    if not holds:
        raise ValidationError(otherwise)


def refusing(refusal: type[OskolokError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decoders of bodies that do not fit raise `refusal`; of bodies that are not even msgpack, MalformedFrame."""

    def wrap(decode: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(decode)
        def decode_or_refuse(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return decode(*args, **kwargs)
            except ValidationError as error:
                raise refusal(f"{decode.__name__}: {error}") from None
            except (ValueError, RecursionError) as error:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
                raise MalformedFrame(f"{decode.__name__}: {error}") from None

        return decode_or_refuse

    return wrap


def sent_query(wire: msgspec.Struct) -> bytes:
    """A query's bytes. InvalidQuery for what has none."""
    return _sent(wire, InvalidQuery)


def sent_reply(wire: msgspec.Struct) -> bytes:
    """A reply's bytes. InternalError for what has none."""
    return _sent(wire, InternalError)


def _sent(wire: msgspec.Struct, refusal: type[OskolokError]) -> bytes:
    try:
        return _ENCODER.encode(wire)
    except (TypeError, ValueError, OverflowError) as error:
        raise refusal(f"cannot be sent: {error}") from None
