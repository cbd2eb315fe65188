"""A user tower as two files of a generation, and back.

models/two-tower-items.arrow  key, vector: one row an item, by ascending key, in one batch, so that reading is mapping
models/two-tower.arrow        name, shape, values: one row a layer; what else it must know, as JSON in the schema's metadata
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from cluster.errors import GenerationCorrupt, SchemaMismatch
from cluster.generation import Generation
from cluster.types import Floats
from router.users.user_tower import SPACE, TowerWeights, UserTower

FORMAT = 1
ITEMS_FILE = "models/two-tower-items.arrow"
LAYERS_FILE = "models/two-tower.arrow"

_HEADER = b"two-tower"
_LAYERS = ("mean", "scale", "w1", "b1", "w2", "b2")


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The metadata of the layers' file."""

    format: int
    features: tuple[str, ...]
    weight_exponent: float
    n_history_max: int


def write_tower(weights: TowerWeights, *, items: Path, layers: Path) -> None:
    """The same weights give the same bytes."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(weights.table.reshape(-1)), weights.table.shape[1])
    _write(pa.table({"key": pa.array(weights.keys), "vector": vectors}), items)
    header = Header(FORMAT, weights.features, weights.weight_exponent, weights.n_history_max)
    arrays = [np.asarray(getattr(weights, name), np.float32) for name in _LAYERS]
    table = pa.table(
        {
            "name": pa.array(_LAYERS),
            "shape": pa.array([array.shape for array in arrays], pa.list_(pa.int32())),
            "values": pa.array([array.reshape(-1) for array in arrays], pa.list_(pa.float32())),
        }
    )
    _write(table.replace_schema_metadata({_HEADER: msgspec.json.encode(header)}), layers)


def read_tower(generation: Generation) -> UserTower | None:
    """The generation's user tower; None if it has none. Both files are verified before either is read; the table is mapped.

    Raises GenerationCorrupt if a file is not what was published, SchemaMismatch if it is of another format or of another spec.
    """
    if LAYERS_FILE not in generation.manifest.files:
        return None
    space = generation.spec.space(SPACE)
    with generation.verified(ITEMS_FILE) as items, generation.verified(LAYERS_FILE) as layers:
        tower = UserTower(read_weights(items.mmap(), layers.mmap()), generation.spec.features.user)
    if space is None or space.dim != tower.dim:
        raise SchemaMismatch(f"the user tower has {tower.dim} dimensions, the space has {space and space.dim}")
    return tower


def read_weights(items: object, layers: object) -> TowerWeights:
    """From the two files' bytes, or maps of them, which are not copied.

    Raises GenerationCorrupt for what is no tower, SchemaMismatch for another format.
    """
    try:
        table = pa.ipc.open_file(pa.py_buffer(items)).read_all()
        parts = pa.ipc.open_file(pa.py_buffer(layers)).read_all()
        header = msgspec.json.decode((parts.schema.metadata or {})[_HEADER], type=Header)
        if header.format != FORMAT:
            raise SchemaMismatch(f"the user tower has format {header.format}, this code reads format {FORMAT}")
        arrays: dict[str, Floats] = {
            name: np.array(values, np.float32).reshape(shape)
            for name, shape, values in zip(*(parts.column(c).to_pylist() for c in ("name", "shape", "values")), strict=True)
        }
        keys, vectors = (_one_chunk(table, name) for name in ("key", "vector"))
        return TowerWeights(
            keys=keys.to_numpy(),
            table=vectors.values.to_numpy().reshape(len(keys), vectors.type.list_size),
            features=header.features,
            weight_exponent=header.weight_exponent,
            n_history_max=header.n_history_max,
            **arrays,
        )
    except (pa.ArrowException, msgspec.MsgspecError, KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise GenerationCorrupt(f"the user tower cannot be read: {error}") from None


def _write(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)


def _one_chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
