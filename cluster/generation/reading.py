"""Opening a published generation: no byte of it reaches a parser before its hash has matched the manifest.

A file is opened once; its size and content are checked through that descriptor, and the same descriptor (or a map of it, or
its /proc/self/fd path) is what the reader gets, so nobody can swap the file in between. It does not know what files contain.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import GenerationCorrupt, GenerationMissing
from cluster.generation import manifest as manifests
from cluster.generation.manifest import MANIFEST, MANIFEST_BYTES_MAX, MANIFEST_HASH, Manifest
from cluster.spec import GenerationSpec


class VerifiedFile:
    """A file whose bytes are the published ones, open for reading. Valid until the `with` block ends; a map of it longer."""

    __slots__ = ("fd", "name", "size")

    def __init__(self, name: str, fd: int, size: int) -> None:
        self.name = name
        self.fd = fd
        self.size = size

    @property
    def path(self) -> str:
        """A path for libraries that only take one: it leads to the verified file whatever happens to its name."""
        return f"/proc/self/fd/{self.fd}"

    def read_bytes(self) -> bytes:
        with open(self.fd, "rb", closefd=False, buffering=0) as stream:
            stream.seek(0)
            return stream.readall()

    def mmap(self) -> mmap.mmap:
        """A read-only map, which stays valid after the file is closed or removed."""
        return mmap.mmap(self.fd, self.size, access=mmap.ACCESS_READ)


class Generation:
    """A published generation: its manifest, read and checked, and its files, each verified when it is opened."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Generation:
        """Read the manifest and see that exactly the files it names are there, none of them a link. Hashes no file yet.

        Raises GenerationMissing, GenerationCorrupt, or SchemaMismatch for another format version.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise GenerationMissing(f"no generation at {folder}")
        manifest = manifests.decode(
            _read_small(folder, MANIFEST, MANIFEST_BYTES_MAX), _read_small(folder, MANIFEST_HASH, bytes_max=256)
        )
        present = set(_files(folder)) - {MANIFEST, MANIFEST_HASH}
        _require_none(manifest.files.keys() - present, "missing")
        _require_none(present - manifest.files.keys(), "not in the manifest")
        return cls(folder, manifest)

    @property
    def spec(self) -> GenerationSpec:
        return self.manifest.spec

    @property
    def id(self) -> str:
        return self.spec.id

    @contextmanager
    def verified(self, name: str) -> Iterator[VerifiedFile]:
        """Open a file by its name in the manifest; by the time the block runs, its bytes are the published ones.

        Raises GenerationMissing if the manifest has no such file, GenerationCorrupt if size, hash or kind differ.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise GenerationMissing(f"generation {self.id} has no file {name}")
        fd = _open_beneath(self.path, name)
        try:
            size = _size_of_regular(fd, name)
            if size != entry.size:
                raise GenerationCorrupt(f"{name} has {size} bytes, the manifest says {entry.size}")
            with open(fd, "rb", closefd=False, buffering=0) as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != entry.sha256:
                raise GenerationCorrupt(f"{name} has sha256 {found[:12]}…, the manifest says {entry.sha256[:12]}…")
            os.lseek(fd, 0, os.SEEK_SET)
            yield VerifiedFile(name, fd, size)
        finally:
            os.close(fd)

    def verify(self) -> None:
        """Hash every file. Raises GenerationCorrupt at the first that differs."""
        for name in self.manifest.files:
            with self.verified(name):
                pass


def _open_beneath(folder: Path, name: str) -> int:
    """A descriptor of a file below the folder. No part of the name may be a link, and opening never blocks (on a pipe)."""
    *parents, last = name.split("/")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parents:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError as error:
        what = "is a link" if error.errno in (errno.ELOOP, errno.ENOTDIR) else (error.strerror or str(error)).lower()
        raise GenerationCorrupt(f"{name} cannot be opened: {what}") from None
    finally:
        os.close(fd)


def _size_of_regular(fd: int, name: str) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise GenerationCorrupt(f"{name} is not a regular file")
    return status.st_size


def _read_small(folder: Path, name: str, bytes_max: int) -> bytes:
    fd = _open_beneath(folder, name)
    try:
        size = _size_of_regular(fd, name)
        if size > bytes_max:
            raise GenerationCorrupt(f"{name} has {size} bytes, at most {bytes_max} are read")
        return VerifiedFile(name, fd, size).read_bytes()
    finally:
        os.close(fd)


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """The names of all files below the folder. Raises GenerationCorrupt at a link or a device."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name
            else:
                raise GenerationCorrupt(f"{name} is neither a regular file nor a folder")


def _require_none(names: set[str], what: str) -> None:
    if names:
        raise GenerationCorrupt(f"{len(names)} files are {what}, the first is {min(names)}")
