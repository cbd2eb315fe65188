"""A generation in use stays on disk: every process that serves it holds it, and a held generation is not removed.

A hold is a shared lock on the generation's manifest. The kernel releases it however the process ends, so nothing has to be
renewed or cleaned up, and a process that stands still for an hour keeps its hold. The lock is on a file and not on the folder
because NFS, by which several machines may share one storage, carries locks between machines only for files. On a file system
without locks no generation can be known to be free, so none is removed. filelock does not serve here: its locks of files are
exclusive, and its shared lock is an SQLite file of its own.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cluster.errors import GenerationMissing
from cluster.generation.manifest import MANIFEST


class Hold:
    """A lock on a generation, from `shared` or `alone` until `release` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def shared(cls, generation: Path) -> Hold:
        """For a reader. Raises GenerationMissing if there is no such generation, or it is being removed."""
        manifest = generation / MANIFEST
        try:
            fd = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise GenerationMissing(f"no generation at {generation}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise GenerationMissing(f"the generation at {generation} is being removed") from None
        except OSError:
            return cls(fd)  # no locks here: see above
        if not _is(manifest, fd):
            os.close(fd)
            raise GenerationMissing(f"the generation at {generation} was removed")
        return cls(fd)

    @classmethod
    def alone(cls, generation: Path) -> Hold | None:
        """For removing it; None while anybody reads it, or where the file system cannot tell. Raises GenerationMissing."""
        try:
            fd = os.open(generation / MANIFEST, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)  # NFS wants it writable
        except FileNotFoundError:
            raise GenerationMissing(f"no generation at {generation}") from None
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return cls(fd)

    def release(self) -> None:
        """Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is(path: Path, fd: int) -> bool:
    """Whether the path still names the open file."""
    try:
        named = path.stat()
    except OSError:
        return False
    return os.path.samestat(named, os.fstat(fd))
