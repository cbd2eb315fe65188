"""How `cluster/lookup.py` looks as bytes: msgpack arrays like those of `cluster/codec/messages.py`, refused for the same
reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from cluster.codec.fields import Count, Name, array_of, matrix_of, refusing, require, sent_query, sent_reply
from cluster.errors import InvalidQuery, MalformedFrame
from cluster.lookup import LookupQuery, LookupReply
from cluster.order import all_finite


class WireLookupQuery(msgspec.Struct, array_like=True):
    generation: Name
    keys: bytes
    spaces: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()


class WireLookupReply(msgspec.Struct, array_like=True):
    generation: Name
    known: bytes
    vectors: dict[Name, tuple[Count, bytes]]


_QUERY = msgspec.msgpack.Decoder(WireLookupQuery)
_REPLY = msgspec.msgpack.Decoder(WireLookupReply)


def encode_lookup_query(query: LookupQuery) -> bytes:
    return sent_query(WireLookupQuery(query.generation, query.keys.tobytes(), query.spaces))


@refusing(InvalidQuery)
def decode_lookup_query(body: bytes) -> LookupQuery:
    """The query. Raises InvalidQuery or MalformedFrame."""
    wire = _QUERY.decode(body)
    return LookupQuery(wire.generation, array_of(wire.keys, np.int64, "keys"), wire.spaces)


def encode_lookup_reply(reply: LookupReply) -> bytes:
    vectors = {space: (rows.shape[1], rows.tobytes()) for space, rows in reply.vectors.items()}
    return sent_reply(WireLookupReply(reply.generation, reply.known.tobytes(), vectors))


@refusing(MalformedFrame)
def decode_lookup_reply(body: bytes, n_keys: int) -> LookupReply:
    """The reply to a query of n_keys keys. Raises MalformedFrame."""
    wire = _REPLY.decode(body)
    require(max(wire.known, default=0) <= 1, "known holds more than 0 and 1")
    vectors = {space: matrix_of(raw, n_keys, dim, space) for space, (dim, raw) in wire.vectors.items()}
    require(all(map(all_finite, vectors.values())), "a vector has an entry that is not finite")
    return LookupReply(wire.generation, array_of(wire.known, np.bool_, "known", n_keys), vectors)
