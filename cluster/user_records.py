"""users.arrow: the users of one generation, from the build to the user store. Writing a stream of records, reading it back.

Arrow IPC without extension types, a batch per thousand users, so neither side holds more than that. What a store does with
a record is `router/users`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.errors import SchemaMismatch
from cluster.generation import Generation
from cluster.spec import GenerationSpec
from cluster.types import NO_FLOATS, NO_KEYS, Affinity, Floats, Keys, Seeds, UserRecord

USERS_FILE = "users.arrow"

_BATCH_USERS = 1024
_FLOAT = pa.float32()


def users_schema(spec: GenerationSpec) -> pa.Schema:
    """The columns for this generation's spaces, seed sets, profile attributes and user features."""
    fields = [pa.field("user_id", pa.string(), nullable=False)]
    fields += [pa.field(f"vector.{space.name}", pa.list_(_FLOAT, space.dim)) for space in spec.spaces]
    for name in _seed_sets(spec):
        fields += [pa.field(f"{name}.key", pa.list_(pa.int64())), pa.field(f"{name}.weight", pa.list_(_FLOAT))]
        fields += [pa.field(f"{name}.age_days", pa.list_(_FLOAT))]
    for attribute in spec.profile:
        fields += [pa.field(f"profile.{attribute}.value", pa.list_(pa.string()))]
        fields += [pa.field(f"profile.{attribute}.weight", pa.list_(_FLOAT))]
    fields.append(pa.field("feature", pa.list_(_FLOAT, len(spec.features.user))))
    return pa.schema(fields, metadata={"generation": spec.id})


def write_users(path: Path, spec: GenerationSpec, records: Iterable[UserRecord]) -> int:
    """Write the records, in their order; how many there were. A user without a vector in some space has null there.

    Of a record's seed sets those that the spec names are kept.
    """
    schema = users_schema(spec)
    n_users = 0
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        stream = iter(records)
        while batch := list(itertools.islice(stream, _BATCH_USERS)):
            writer.write_batch(_batch(batch, spec, schema))
            n_users += len(batch)
    return n_users


def read_users(generation: Generation) -> Iterator[UserRecord]:
    """The users of a generation, verified before the first is read. SchemaMismatch if the file is not as its spec says."""
    spec = generation.spec
    with generation.verified(USERS_FILE) as file:
        mapped = file.mmap()
    reader = pa.ipc.open_file(pa.py_buffer(mapped))
    expected = users_schema(spec)
    if not reader.schema.equals(expected, check_metadata=True):
        raise SchemaMismatch(f"{USERS_FILE} of {spec.id} has columns {reader.schema.names}, expected {expected.names}")
    for at in range(reader.num_record_batches):
        yield from _records(reader.get_batch(at), spec)


def _batch(records: Sequence[UserRecord], spec: GenerationSpec, schema: pa.Schema) -> pa.RecordBatch:
    columns: list[pa.Array] = [pa.array([record.user_id for record in records], pa.string())]
    columns += [_vectors([record.vectors.get(space.name) for record in records], space.dim) for space in spec.spaces]
    columns += _seed_columns([record.history for record in records])
    for name in spec.seeds:
        columns += _seed_columns([record.seeds.get(name, _NO_SEEDS) for record in records])
    for attribute in spec.profile:
        affinities = [record.profile.get(attribute, _NO_AFFINITY) for record in records]
        values = pa.array(itertools.chain.from_iterable(a.values for a in affinities), pa.string())
        columns.append(pa.ListArray.from_arrays(_offsets([len(a.values) for a in affinities]), values))
        columns.append(_lists([a.weights for a in affinities]))
    columns.append(_vectors([record.features for record in records], len(spec.features.user)))
    return pa.record_batch(columns, schema=schema)


def _records(batch: pa.RecordBatch, spec: GenerationSpec) -> Iterator[UserRecord]:
    user_ids = batch.column("user_id").to_pylist()
    spaces = {space.name: _rows(batch.column(f"vector.{space.name}"), space.dim) for space in spec.spaces}
    known = {name: batch.column(f"vector.{name}").is_valid().to_numpy(zero_copy_only=False) for name in spaces}
    features = _rows(batch.column("feature"), len(spec.features.user))
    history, *others = [_Seeds.of(batch, name) for name in _seed_sets(spec)]
    further = dict(zip(spec.seeds, others, strict=True))
    profiles: dict[str, tuple[NDArray[np.int32], Floats, list[str]]] = {}
    for attribute in spec.profile:
        values = batch.column(f"profile.{attribute}.value")
        shares = _flat(batch.column(f"profile.{attribute}.weight"))
        profiles[attribute] = (*shares, values.flatten().to_pylist())
    for row, user_id in enumerate(user_ids):
        yield UserRecord(
            user_id=user_id,
            generation=spec.id,
            vectors={name: vectors[row] for name, vectors in spaces.items() if known[name][row]},
            history=history.at(row),
            profile={name: _affinity(row, *profile) for name, profile in profiles.items()},
            features=features[row],
            seeds={name: seeds.at(row) for name, seeds in further.items() if len(seeds.at(row).keys)},
        )


class _Seeds(NamedTuple):
    """One seed set of a batch of users: user i's is at bounds[i]:bounds[i + 1]."""

    bounds: NDArray[np.int32]
    keys: Keys
    weights: Floats
    ages_days: Floats

    @classmethod
    def of(cls, batch: pa.RecordBatch, name: str) -> _Seeds:
        weights, ages = _flat(batch.column(f"{name}.weight"))[1], _flat(batch.column(f"{name}.age_days"))[1]
        return cls(*_flat(batch.column(f"{name}.key")), weights, ages)

    def at(self, row: int) -> Seeds:
        mine = slice(self.bounds[row], self.bounds[row + 1])
        return Seeds(self.keys[mine], self.weights[mine], self.ages_days[mine])


def _seed_sets(spec: GenerationSpec) -> tuple[str, ...]:
    """What the columns of each seed set are called after: the further ones begin with "seeds."."""
    return ("history", *(f"seeds.{name}" for name in spec.seeds))


def _seed_columns(seeds: Sequence[Seeds]) -> list[pa.Array]:
    return [_lists([getattr(one, part) for one in seeds]) for part in ("keys", "weights", "ages_days")]


def _affinity(row: int, bounds: NDArray[np.int32], weights: Floats, values: list[str]) -> Affinity:
    mine = slice(bounds[row], bounds[row + 1])
    return Affinity(tuple(values[mine]), weights[mine])


_NO_AFFINITY = Affinity((), NO_FLOATS)
_NO_SEEDS = Seeds(NO_KEYS, NO_FLOATS, NO_FLOATS)


def _vectors(vectors: Sequence[Floats | None], width: int) -> pa.Array:
    """A fixed-size list column; None becomes null."""
    missing = np.array([vector is None for vector in vectors])
    zero = np.zeros(width, np.float32)
    flat = np.concatenate([zero if vector is None else vector for vector in vectors])
    mask = pa.array(missing) if missing.any() else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, _FLOAT), width, mask=mask)


def _lists(arrays: Sequence[NDArray[np.generic]]) -> pa.Array:
    return pa.ListArray.from_arrays(_offsets([len(array) for array in arrays]), pa.array(np.concatenate(arrays)))


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())


def _rows(column: pa.Array, width: int) -> Floats:
    """(n, width) float32 of a fixed-size list column; a null's row holds zeros."""
    flat: Floats = column.values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return flat[column.offset : column.offset + len(column)]


def _flat(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Where each list begins, (n + 1,), and all their values."""
    return column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False)
