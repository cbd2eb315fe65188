"""The encoding of a user record in a store: a compact msgpack array that names its user and its generation.

Both names are checked on reading, so no fault of a store or a connection and no key collision can return another user's record.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from cluster.types import Affinity, Seeds, UserRecord

assert sys.byteorder == "little", "arrays are stored as this machine's own bytes, which have to be little-endian"

_FLOAT_BYTES = 4


_Seeds = tuple[bytes, bytes, bytes]


class _Stored(msgspec.Struct, array_like=True):
    version: Literal[2]
    user_id: str
    generation: str
    vectors: dict[str, bytes]
    history: _Seeds
    profile: dict[str, tuple[tuple[str, ...], bytes]]
    features: bytes
    seeds: dict[str, _Seeds]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


def encode_record(record: UserRecord) -> bytes:
    """The record's bytes."""
    return _ENCODER.encode(
        _Stored(
            version=2,
            user_id=record.user_id,
            generation=record.generation,
            vectors={space: vector.tobytes() for space, vector in record.vectors.items()},
            history=_seed_bytes(record.history),
            profile={name: (affinity.values, affinity.weights.tobytes()) for name, affinity in record.profile.items()},
            features=record.features.tobytes(),
            seeds={name: _seed_bytes(seeds) for name, seeds in record.seeds.items()},
        )
    )


def decode_record(raw: bytes | memoryview, *, user_id: str, generation: str) -> UserRecord | None:
    """The record, its arrays read-only views of `raw`; None unless these bytes are this user's of this generation.

    `raw` must therefore outlive the record unchanged: bytes, not a view of a store's page.
    """
    try:
        stored = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if stored.user_id != user_id or stored.generation != generation or not _is_whole(stored):
        return None
    return UserRecord(
        user_id=stored.user_id,
        generation=stored.generation,
        vectors={space: np.frombuffer(vector, np.float32) for space, vector in stored.vectors.items()},
        history=_seeds(stored.history),
        profile=_profile(stored.profile),
        features=np.frombuffer(stored.features, np.float32),
        seeds={name: _seeds(seeds) for name, seeds in stored.seeds.items()},
    )


class CheckedReads:
    """Lets through what was read of a user if it is theirs. n_rejected: how often it was not."""

    n_rejected = 0

    def checked(self, raw: bytes | memoryview | None, *, user_id: str, generation: str) -> UserRecord | None:
        if raw is None:
            return None
        record = decode_record(raw, user_id=user_id, generation=generation)
        self.n_rejected += record is None
        return record


def _is_whole(stored: _Stored) -> bool:
    """Whether every array has the length that its neighbours promise."""
    return (
        all(len(s[0]) % 8 == 0 and len(s[1]) == len(s[2]) == len(s[0]) // 2 for s in (stored.history, *stored.seeds.values()))
        and all(len(vector) % _FLOAT_BYTES == 0 for vector in stored.vectors.values())
        and all(len(weights) == len(values) * _FLOAT_BYTES for values, weights in stored.profile.values())
        and len(stored.features) % _FLOAT_BYTES == 0
    )


def _seed_bytes(seeds: Seeds) -> _Seeds:
    return seeds.keys.tobytes(), seeds.weights.tobytes(), seeds.ages_days.tobytes()


def _seeds(stored: _Seeds) -> Seeds:
    keys, weights, ages = stored
    return Seeds(np.frombuffer(keys, np.int64), np.frombuffer(weights, np.float32), np.frombuffer(ages, np.float32))


def _profile(stored: Mapping[str, tuple[tuple[str, ...], bytes]]) -> dict[str, Affinity]:
    return {name: Affinity(values, np.frombuffer(weights, np.float32)) for name, (values, weights) in stored.items()}
