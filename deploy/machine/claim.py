"""Allows one cluster per storage and machine: two clusters would overwrite each other's sockets, users and secrets."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from cluster.errors import ConfigError


def claim(storage: Path) -> FileLock:
    """Take the storage until the lock's `release`, or until this process ends in whatever way.

    Raises ConfigError, which names the process that has it.
    """
    lock = FileLock(_lock_file(storage), mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"a cluster already serves {storage} (process {_read_owner(storage)}): "
            "`oskolok stop` ends it, or set another storage.path"
        ) from None
    _owner_file(storage).write_text(str(os.getpid()))
    return lock


def owner_of(storage: Path) -> int:
    """The process that has the storage, 0 if none has."""
    if not _lock_file(storage).exists():
        return 0
    try:
        with FileLock(_lock_file(storage)).acquire(blocking=False):
            return 0
    except Timeout:
        owner = _read_owner(storage)
        return int(owner) if owner.isdigit() else 0


def _lock_file(storage: Path) -> Path:
    return storage / "serving.lock"


def _owner_file(storage: Path) -> Path:
    return storage / "serving.pid"


def _read_owner(storage: Path) -> str:
    try:
        return _owner_file(storage).read_text()
    except FileNotFoundError:  # it has taken the lock this instant
        return ""
