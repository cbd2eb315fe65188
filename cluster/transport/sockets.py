"""The operating system's side of the data plane: binding Unix sockets safely, and options of TCP connections."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from cluster.private import own_folder

LISTEN_BACKLOG = 512
UNIX_PATH_BYTES_MAX = 107

_TCP_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # A peer whose machine vanished sends no FIN. These end such a connection after about 5 s, idle or not.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5_000),
)


def bind_unix(path: str) -> socket.socket:
    """A bound Unix socket that only this user can connect to. Its folder is made if it is missing, and closed to others.

    A socket left behind by a process that died is replaced. Raises ConfigError if the path is too long, is taken by
    something else, or has a living server behind it, or if others can write to its folder.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise ConfigError(
            f"the unix socket path has {len(os.fsencode(path))} bytes, at most {UNIX_PATH_BYTES_MAX} are allowed: {path}"
        )
    own_folder(Path(path).parent)
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        os.chmod(path, 0o600)  # before listen(), so that nobody connects to it while it is open to all
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot bind {path}: {error.strerror}") from None
    return bound


def unlink_unix(path: str) -> None:
    """Remove a socket from the file system; fine if it is gone."""
    Path(path).unlink(missing_ok=True)


def tune(transport: asyncio.Transport) -> None:
    """Send small frames at once, and notice vanished peers; nothing to do on a Unix socket."""
    endpoint: Any = transport.get_extra_info("socket")
    if endpoint is not None and endpoint.family != socket.AF_UNIX:
        for level, option, value in _TCP_OPTIONS:
            endpoint.setsockopt(level, option, value)


def send(transport: asyncio.Transport, pieces: tuple[bytes, ...]) -> None:
    """Write the pieces of one frame together."""
    if len(pieces) == 1:
        transport.write(pieces[0])
    else:
        transport.writelines(pieces)


def peer_name(transport: asyncio.Transport) -> str:
    """The other end of a connection, for messages."""
    return str(transport.get_extra_info("peername") or transport.get_extra_info("sockname") or "a peer that has gone")


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            unlink_unix(path)
            return
        except OSError:
            pass  # full backlog or a timeout: somebody listens
    raise ConfigError(f"another server listens on {path}")
