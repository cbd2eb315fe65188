"""Which of our processes listen where, as the kernel sees it. Linux only."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ConfigError

_LISTEN = "0A"


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
    """Every TCP listener of these processes, as far as their descriptors may be read."""
    owners = {inode: pid for pid in pids for inode in _socket_inodes(pid)}
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for address, port, state, inode in _rows(Path(table)):
            if state == _LISTEN and inode in owners:
                pid = owners[inode]
                found.append(Listener(pid, address, port, _command(pid)))
    return sorted(found)


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


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        one = pending.pop()
        found.append(one)
        pending.extend(children.get(one, ()))
    return found


def parse_address(text: str) -> tuple[str, int]:
    """An entry of /proc/net/tcp: hexadecimal, in the byte order of 32-bit words of this little-endian machine.

    >>> parse_address("0100007F:1F90"), parse_address("0000000000000000FFFF00000100007F:0050")
    (('127.0.0.1', 8080), ('::ffff:7f00:1', 80))
    """
    digits, port = text.split(":")
    words = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return str(ipaddress.ip_address(words)), int(port, 16)


def _rows(table: Path) -> Iterator[tuple[str, int, str, str]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:  # no IPv6 here
        return
    for line in lines:
        parts = line.split()
        yield *parse_address(parts[1]), parts[3], parts[9]


def _socket_inodes(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()[:80]
    except OSError:
        return "?"
