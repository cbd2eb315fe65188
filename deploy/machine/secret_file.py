"""Secrets in files that only their owner may read: created once, then read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cluster.errors import ConfigError

_BYTES = 32


def load_or_create(path: Path) -> str:
    """64 hexadecimal digits. Raises ConfigError if the file is open to others or holds something else."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _load(path)
    with os.fdopen(fd, "w") as stream:
        secret = secrets.token_hex(_BYTES)
        stream.write(secret)
    return secret


def _load(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd) as stream:
        mode = os.fstat(stream.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(f"{path} has mode {mode:o}: only its owner may read a secret; run chmod 600 on it")
        secret = stream.read(2 * _BYTES + 1).strip()
    if len(secret) != 2 * _BYTES or set(secret) - set("0123456789abcdef"):
        raise ConfigError(f"{path} does not hold {2 * _BYTES} hexadecimal digits: remove it, and the next start creates one")
    return secret
