"""Writes a generation: everything is written aside, and one rename publishes it. A crash at any step leaves the old one active.

The steps of `publish`: hash and fsync every file, write the manifest, fsync every folder, read everything back from the disk
and verify it, rename, move the pointer. What the files contain is the callers' business.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cluster.errors import GenerationError
from cluster.generation import manifest as manifests
from cluster.generation.manifest import FORMAT, MANIFEST, MANIFEST_HASH, FileEntry, Manifest, SourceEntry
from cluster.generation.names import is_file_name
from cluster.generation.reading import Generation
from cluster.generation.storage import BUILDING, Step, generation_path, move_pointer, no_step, remove_orphans, sync, try_lock
from cluster.private import private_folder
from cluster.spec import GenerationSpec


class GenerationWriter:
    """A generation being written. Leaving the `with` block without `publish` removes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as storage, GenerationWriter(storage, "g1") as writer:
    ...     _ = writer.path_for("models/light.json").write_text("{}")
    ...     writer.directory.name
    '.building-g1'
    """

    def __init__(self, storage_path: str | os.PathLike[str], generation_id: str, *, step: Step = no_step) -> None:
        """Raises GenerationError if the id is not valid, published already, or being written by a live process."""
        self.storage = Path(storage_path)
        self.generation_id = generation_id
        self._final = generation_path(storage_path, generation_id)
        self._step = step
        self.directory = self._final.with_name(BUILDING + generation_id)
        remove_orphans(storage_path)
        if self._final.exists():
            raise GenerationError(f"generation {generation_id} is already published")
        private_folder(self._final.parent)
        try:
            self.directory.mkdir()
        except FileExistsError:
            raise GenerationError(f"generation {generation_id} is being written by another process") from None
        self._lock_fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not try_lock(self._lock_fd):
            self._release()
            raise GenerationError(f"another process is cleaning up generation {generation_id}; try again")

    def path_for(self, name: str) -> Path:
        """Where to write one of the generation's files; the folders on the way to it exist. Raises GenerationError."""
        if not is_file_name(name) or name in (MANIFEST, MANIFEST_HASH):
            raise GenerationError(f"{name!r} is not a valid name for a file of a generation")
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(
        self, spec: GenerationSpec, *, shards: Sequence[Mapping[str, Any]], sources: Sequence[SourceEntry] = ()
    ) -> Generation:
        """Make what was written a generation, and the active one. `shards`: JSON values, one entry a shard.

        Raises GenerationError for a file that may not be part of it, GenerationCorrupt if the disk gives back other bytes.
        """
        assert spec.id == self.generation_id, f"the spec is of {spec.id}, the folder is of {self.generation_id}"
        assert len(shards) == spec.n_shards, f"{len(shards)} shard entries for {spec.n_shards} shards"
        names, folders = self._written()
        files = {name: self._settle(name) for name in names}
        body, hash_line = manifests.encode(Manifest(FORMAT, spec, tuple(dict(s) for s in shards), files, tuple(sources)))
        for name, content in ((MANIFEST, body), (MANIFEST_HASH, hash_line)):
            self._step(f"write {name}")
            (self.directory / name).write_bytes(content)
            self._settle(name)
        for folder in folders:
            sync(folder, self._step)
        Generation.open(self.directory).verify()
        self._step("rename the generation")
        self.directory.rename(self._final)
        sync(self._final.parent, self._step)
        move_pointer(self.storage, spec.id, self._step)
        self._release()
        return Generation.open(self._final)

    def abandon(self) -> None:
        """Remove what was written. Does nothing once published or abandoned."""
        if self._lock_fd >= 0:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._release()

    def __enter__(self) -> GenerationWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()

    def _release(self) -> None:
        os.close(self._lock_fd)
        self._lock_fd = -1

    def _written(self) -> tuple[list[str], list[Path]]:
        """Names of all files, and all folders with the innermost first."""
        names, folders = [], []
        for parent, _, files in os.walk(self.directory, topdown=False):
            folders.append(Path(parent))
            names += [os.path.relpath(os.path.join(parent, file), self.directory) for file in files]
        for name in names:
            path = self.directory / name
            if not is_file_name(name) or path.is_symlink() or not path.is_file():
                raise GenerationError(f"{name!r} is not allowed in a generation")
        return sorted(names), folders

    def _settle(self, name: str) -> FileEntry:
        """Flush a file to the disk and hash it. The page cache forgets it, so that verifying reads what the disk holds."""
        path = self.directory / name
        sync(path, self._step)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return FileEntry(size=os.fstat(stream.fileno()).st_size, sha256=digest)
