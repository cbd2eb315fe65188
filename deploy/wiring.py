"""What the launcher tells the processes it starts: names, paths, the secret. Pickled into actors, never written to disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.config import Config

Listen = Literal["loopback", "nodes"]
"""loopback: everything on this machine, data plane over Unix sockets only.  nodes: over TCP between machines as well."""

SUPERVISOR = "supervisor"
"""The supervisor's actor name, in the namespace `ray.namespace`."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """generation_path: absolute, the same on every node.  socket_dir: where each node keeps its Unix sockets."""

    config: Config
    generation_path: str
    secret: bytes
    socket_dir: str
    listen: Listen

    def __repr__(self) -> str:
        return f"Wiring({self.config.cluster.name!r}, {self.generation_path!r}, listen={self.listen!r})"  # without the secret


def user_store_url(config: Config) -> str:
    """The configured store, or LMDB below storage.path."""
    return config.users.store or f"lmdb://{Path(config.storage.path).absolute() / 'users'}"


def socket_dir(config: Config, storage: Path) -> str:
    """A short folder for sockets, which may be 107 bytes long at most: one for each user, cluster and storage."""
    mark = hashlib.sha256(f"{config.cluster.name}\0{config.ray.namespace}\0{storage.absolute()}".encode()).hexdigest()[:12]
    return f"/tmp/oskolok-{os.getuid()}-{mark}"
