"""Folders that only their owner may read: they hold histories of users, secrets and sockets.

What lies in such a folder is out of others' reach, with whatever mode a library makes its files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cluster.errors import ConfigError

_OTHERS = 0o077


def private_folder(path: Path) -> Path:
    """The folder, made if it is missing, closed to others if it is ours and was open. One of another owner is left as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid == os.getuid() and found.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    return path


def own_folder(path: Path) -> Path:
    """The same in a place where anybody can create folders, such as /tmp, and might have created this one.

    Raises ConfigError for a link, a folder of another owner, or one in which others could have put something.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to another user (uid {found.st_uid}) or is a link; remove it")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{path} has mode {stat.S_IMODE(found.st_mode):o}, so other users can write to it; remove it")
    return private_folder(path)
