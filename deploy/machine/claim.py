"""Allows one cluster per storage and machine: two clusters would overwrite each other's sockets, users and secrets."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cluster.errors import ConfigError

_FILE = "serving.lock"


class Claim:
    """A storage taken by this process until `release`, or until the process ends in whatever way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def on(cls, storage: Path) -> Claim:
        """Raises ConfigError, which names the process that has it."""
        fd = os.open(storage / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 20).decode(errors="replace").strip()
            os.close(fd)
            raise ConfigError(
                f"a cluster already serves {storage} (process {owner}): `oskolok stop` ends it, or set another storage.path"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        return cls(fd)

    @staticmethod
    def owner(storage: Path) -> int:
        """The process that has the storage, 0 if none has."""
        try:
            fd = os.open(storage / _FILE, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 20)
            return int(owner) if owner.isdigit() else 0
        finally:
            os.close(fd)
        return 0

    def release(self) -> None:
        """Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
