"""The folder of generations: which exist, which one is active, and what a crash left behind.

<storage>/generations/<id> is always complete. Names that begin with a dot are unfinished work of a writer or of a removal, and
nobody reads them. A writer holds a lock on its folder as long as it lives; an unlocked one is an orphan of a dead build.
Folders are locked themselves, which filelock cannot do: the lock must follow its folder when that is renamed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import GenerationCorrupt, GenerationError, GenerationMissing
from cluster.generation.names import is_generation_id
from cluster.generation.reading import Generation

POINTER = "CURRENT"
BUILDING = ".building-"
REMOVING = ".removing-"
_POINTER_ASIDE = ".CURRENT-next"
_POINTER_BYTES_MAX = 256

Step = Callable[[str], None]
"""Called with a description before every change of the disk. Tests end the process in one to see what is left."""


def no_step(what: str) -> None:
    """Nothing happens between two storage operations."""


def generations_folder(storage_path: str | os.PathLike[str]) -> Path:
    return Path(storage_path) / "generations"


def generation_path(storage_path: str | os.PathLike[str], generation_id: str) -> Path:
    """Where a generation lies, or would. Raises GenerationError for what is no valid id."""
    if not is_generation_id(generation_id):
        raise GenerationError(f"{generation_id!r} is not a generation id; use [a-z0-9._-], at most 100 characters")
    return generations_folder(storage_path) / generation_id


def generation_ids(storage_path: str | os.PathLike[str]) -> list[str]:
    """The published generations, ascending by id."""
    folder = generations_folder(storage_path)
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if is_generation_id(entry.name) and entry.is_dir())


def current_id(storage_path: str | os.PathLike[str]) -> str:
    """The active generation. Raises GenerationMissing where none was published, GenerationCorrupt for a damaged pointer."""
    pointer = Path(storage_path) / POINTER
    try:
        with pointer.open("rb") as stream:
            content = stream.read(_POINTER_BYTES_MAX)
    except FileNotFoundError:
        raise GenerationMissing(f"no generation was published below {storage_path}") from None
    generation_id = content.decode("ascii", "replace").removesuffix("\n")
    if not is_generation_id(generation_id):
        raise GenerationCorrupt(f"{pointer} does not hold a generation id")
    return generation_id


def set_current(storage_path: str | os.PathLike[str], generation_id: str, *, step: Step = no_step) -> None:
    """Make a published generation the active one, once all its bytes have been verified. Readers see the old id or the new.

    Raises GenerationMissing or GenerationCorrupt and leaves the pointer where it was.
    """
    Generation.open(generation_path(storage_path, generation_id)).verify()
    move_pointer(Path(storage_path), generation_id, step)


def move_pointer(storage: Path, generation_id: str, step: Step) -> None:
    """Write aside, fsync, rename, fsync the folder; one process at a time. What a crash leaves aside is overwritten."""
    aside = storage / _POINTER_ASIDE
    with waiting_lock(storage):
        step("write the new pointer aside")
        aside.write_text(f"{generation_id}\n")
        sync(aside, step)
        step("rename the pointer")
        aside.replace(storage / POINTER)
        sync(storage, step)


def remove_orphans(storage_path: str | os.PathLike[str]) -> list[str]:
    """Remove what crashed writers and removals left behind; the names removed. A build still running is left alone."""
    folder, removed = generations_folder(storage_path), []
    unfinished = [*folder.glob(f"{BUILDING}*"), *folder.glob(f"{REMOVING}*")] if folder.is_dir() else []
    for path in unfinished:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if try_lock(fd):
                shutil.rmtree(path)
                removed.append(path.name)
        finally:
            os.close(fd)
    return sorted(removed)


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of an open folder, held until the descriptor is closed; False if someone else holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def waiting_lock(folder: Path) -> Iterator[None]:
    """One process at a time, within this machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def sync(path: Path, step: Step = no_step) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    step(f"fsync {path.name}")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
