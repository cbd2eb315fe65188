"""What a cluster's processes get from the launcher: names, paths, the secret. Pickled into actors, never written to disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from cluster.config.sections import Config
from cluster.errors import ConfigError
from deploy.machine.environment import Listen

SUPERVISOR = "supervisor"
"""The supervisor's actor name, in the namespace `ray.namespace`."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """generation_path: absolute, the same on every node.  socket_dir: where each node keeps its Unix sockets."""

    config: Config = field(repr=False)  # may hold the user store's password
    generation_path: str
    secret: bytes = field(repr=False)
    socket_dir: str
    listen: Listen


def user_store_url(config: Config) -> str:
    """The configured store, or LMDB below storage.path."""
    return config.users.store or f"lmdb://{Path(config.storage.path).absolute() / 'users'}"


def require_shared_users(url: str, machines: Collection[str]) -> None:
    """Raise ConfigError for users in LMDB, which cannot be shared over a network, if routers may run on several machines."""
    if len(machines) > 1 and url.startswith("lmdb:"):
        raise ConfigError(
            f"users.store is LMDB, a file on one machine, but routers may run on {len(machines)} machines of the Ray cluster: "
            "set users.store to a redis:// or valkey:// address"
        )


def socket_dir(config: Config, storage: Path) -> str:
    """A short folder for sockets, which may be 107 bytes long at most: one for each user, cluster and storage."""
    return f"/tmp/oskolok-{os.getuid()}-{_mark(config, storage)[:12]}"


def front_dir(config: Config, storage: Path) -> Path:
    """The same for HAProxy, which Serve gives a folder of 56 characters below it, and which adds 12 to a socket's name."""
    return Path(f"/tmp/oskolok-{_mark(config, storage)[12:22]}")


def _mark(config: Config, storage: Path) -> str:
    return hashlib.sha256(
        f"{os.getuid()}\0{config.cluster.name}\0{config.ray.namespace}\0{storage.absolute()}".encode()
    ).hexdigest()
