"""Which of our processes listen where, and whether a port is free."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from cluster.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A TCP socket that takes connections. command: the start of the process's command line."""

    pid: int
    address: str
    port: int
    command: str

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback


def listeners_of(pids: Iterable[int]) -> list[Listener]:
    """Every TCP listener of these processes. A process that has ended, or that we may not read, has none."""
    listeners: list[Listener] = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())[:80]
            listeners += [
                Listener(pid, connection.laddr.ip, connection.laddr.port, command)
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            ]
    return sorted(listeners)


def require_free(host: str, port: int) -> None:
    """Raise ConfigError unless this address could be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a connection that was just closed would be in the way
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be used: {error.strerror}", help="stop what listens there, or choose another http.port"
            ) from None


def process_tree(pid: int) -> list[int]:
    """The process and every living process below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return [pid]
