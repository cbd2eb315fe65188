"""Arrow IPC files with a short list of allowed types: plain numbers, strings, booleans, and lists and dictionaries of them.

Extension types are refused on both sides, because a registered one runs code of its own while a schema is read (as in
CVE-2023-47248). Files are uncompressed and in one batch, so that reading is mapping. What the columns mean is the caller's.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from cluster.errors import GenerationCorrupt, SchemaMismatch
from cluster.generation import VerifiedFile

_PLAIN = (pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.dictionary(pa.int32(), pa.string()))
_EXTENSION_KEYS = (b"ARROW:extension:name", b"ARROW:extension:metadata")


def write_table(table: pa.Table, path: Path) -> None:
    """Raises SchemaMismatch for a type that is not allowed."""
    require_plain(table.schema, path.name)
    with pa.ipc.new_file(path, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)


def read_table(file: VerifiedFile) -> pa.Table:
    """The table of a verified file, mapped and not copied; it stays valid when the file is closed.

    Raises GenerationCorrupt if it is no Arrow file, SchemaMismatch for a type that is not allowed.
    """
    try:
        reader = pa.ipc.open_file(pa.py_buffer(file.mmap()))
        require_plain(reader.schema, file.name)
        return reader.read_all()
    except (pa.ArrowException, ValueError) as error:
        raise GenerationCorrupt(f"{file.name} is not an Arrow file: {error}") from None


def require_plain(schema: pa.Schema, what: str) -> None:
    """Raises SchemaMismatch for a column whose type is not on the list."""
    for field in schema:
        if not _is_plain(field.type) or any(key in (field.metadata or {}) for key in _EXTENSION_KEYS):
            raise SchemaMismatch(f"{what}: column {field.name} has type {field.type}, which is not allowed")


def only_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column of a table that `read_table` gave, as one array, not copied."""
    assert column.num_chunks <= 1, f"expected one batch, got {column.num_chunks}"
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _is_plain(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return False
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = kind.value_field
        return inner.type in _PLAIN and not any(key in (inner.metadata or {}) for key in _EXTENSION_KEYS)
    return kind in _PLAIN
