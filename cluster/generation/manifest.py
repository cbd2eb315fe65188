"""The manifest: what a generation is and what bytes it consists of. Encoding and strict decoding; it opens no file.

The manifest's own bytes are covered by a second, one-line file, so that a flipped bit anywhere is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from cluster.errors import GenerationCorrupt, SchemaMismatch
from cluster.generation.names import is_file_name, is_generation_id
from cluster.spec import GenerationSpec

FORMAT = 2

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
MANIFEST_BYTES_MAX = 64 << 20


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file's length in bytes and the hash of its content, 64 lower-case hex digits."""

    size: int
    sha256: str


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate source draws from and what making that took, for people: nothing is decided by it.

    n_rows: of lists, of vectors or of seeds, by kind.  stages: of the build, which another source may have in common.
    build_seconds: of all of them.
    """

    name: str
    n_rows: int
    build_seconds: float
    stages: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """shards: one entry a shard, for that shard's loader alone to understand.  files: relative name -> entry.

    sources: an entry for each of the spec's, or none of them.
    """

    format: int
    spec: GenerationSpec
    shards: tuple[dict[str, Any], ...]
    files: Mapping[str, FileEntry]
    sources: tuple[SourceEntry, ...] = ()


class _FormatOnly(msgspec.Struct):
    format: int


def encode(manifest: Manifest) -> tuple[bytes, bytes]:
    """The bytes of manifest.json and of manifest.sha256."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    return body, _hash_line(body)


def decode(body: bytes, hash_line: bytes) -> Manifest:
    """The manifest of these two files' bytes.

    Raises GenerationCorrupt if they do not match or make no sense, SchemaMismatch for another format version.
    """
    if hash_line != _hash_line(body):
        raise GenerationCorrupt(f"{MANIFEST} does not have the hash in {MANIFEST_HASH}")
    try:
        version = msgspec.json.decode(body, type=_FormatOnly).format
        if version != FORMAT:
            raise SchemaMismatch(f"generation has format {version}, this code reads format {FORMAT}")
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise GenerationCorrupt(f"{MANIFEST} cannot be read: {error}") from None
    if not is_generation_id(manifest.spec.id):
        raise GenerationCorrupt(f"{MANIFEST} names a generation {manifest.spec.id!r}, which is not a valid id")
    bad_names = [name for name in manifest.files if not is_file_name(name)]
    if bad_names:
        raise GenerationCorrupt(f"{MANIFEST} names {len(bad_names)} files with forbidden names, the first is {bad_names[0]!r}")
    if len(manifest.shards) != manifest.spec.n_shards:
        raise GenerationCorrupt(f"{MANIFEST} has {len(manifest.shards)} shard entries for {manifest.spec.n_shards} shards")
    return manifest


def _hash_line(body: bytes) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  {MANIFEST}\n".encode()
