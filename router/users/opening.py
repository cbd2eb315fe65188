"""From the configured URL to a user store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cluster.config.sections import UsersSection
from cluster.errors import ConfigError
from router.users.breaker import Breaker
from router.users.lmdb_store import LmdbStore
from router.users.redis_store import RedisStore
from router.users.store import UserStore

Access = Literal["read", "write"]

_REDIS_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
_CONNECT_TIMEOUT_MS = 1_000


def open_store(url: str, section: UsersSection, *, access: Access = "read") -> UserStore:
    """The store at `url`: lmdb:///path, redis://, rediss://, valkey://, valkeys:// or unix:///socket.

    Routers read, a build writes. A store on the network is read through a circuit breaker. Raises ConfigError for any other
    url, UserStoreUnavailable where LMDB cannot be written. What is only read is neither opened nor contacted yet.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "lmdb":
        path = urlsplit(url).path
        if not path.strip("/"):
            raise ConfigError("users.store lmdb:// has no path; write lmdb:///absolute/path")
        if access == "read":
            return LmdbStore.reader(Path(path))
        return LmdbStore.writer(Path(path), map_size_bytes=section.map_size_bytes)
    if separator and scheme in _REDIS_SCHEMES:
        store = RedisStore(
            f"{_REDIS_SCHEMES[scheme]}://{rest}",
            pool_max_conns=section.pool_max_conns,
            connect_timeout_ms=_CONNECT_TIMEOUT_MS,
        )
        return Breaker(store) if access == "read" else store
    shown = f"{scheme}://…" if separator else "as it is given"  # never all of it: there may be a password in it
    raise ConfigError(
        f"users.store {shown} is not supported; allowed: lmdb://, redis://, rediss://, valkey://, valkeys://, unix://"
    )
