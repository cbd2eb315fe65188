"""The one error tree: every way in which a part of the cluster can refuse or fail.

OskolokError
├── ConfigError              a configuration file or value is wrong
├── InvalidQuery             the caller asked for something malformed
│   ├── LimitExceeded        ... or for more than a configured limit allows
│   ├── UnknownFilterField   ... or filters on an attribute the catalogue does not have
│   └── UnknownItem          ... or asks about an item the catalogue does not have
├── GenerationError          a generation on disk cannot be used
│   ├── GenerationMissing    ... it is not there
│   ├── GenerationCorrupt    ... its bytes are not the bytes that were published
│   └── SchemaMismatch       ... it was built for another feature schema, format or partition
├── GenerationMismatch       a query names a generation this process does not hold
├── Overloaded               a bounded queue is full
├── DeadlineExceeded         the time budget ran out
├── CoverageTooLow           fewer items were searched than the request requires
├── Unavailable              a part is not available right now
│   ├── ShardUnavailable
│   │   └── ShardLoading     ... because it is still reading its snapshot
│   ├── RankerUnavailable
│   └── UserStoreUnavailable
├── TransportError           the data plane itself failed
│   ├── ConnectionLost
│   ├── HandshakeRefused
│   └── MalformedFrame       not a frame of ours, or over the frame size limit
└── InternalError            a bug of ours, or a foreign error that is not mapped

Messages are lowercase, without a final full stop, with the numbers in them. Errors cross the wire as
(class name, message, details) and come back as the same class: `to_wire` and `from_wire`.
"""

from __future__ import annotations


class OskolokError(Exception):
    """The root. `details` are plain values that travel with the message. Any error may have `help`: what to do about it."""

    def __init__(self, message: str = "", /, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[object, ...]:
        return from_wire, (type(self).__name__, self.message, self.details)


class ConfigError(OskolokError):
    """A configuration file or value is wrong; the message lists every problem found."""


class InvalidQuery(OskolokError):
    """`details`: field (JSON pointer without '#'), allowed (text), as far as they are known."""


class LimitExceeded(InvalidQuery):
    """Over a configured limit. `details`: field, allowed, limit_key."""


class UnknownFilterField(InvalidQuery):
    """`details`: field, allowed (the names the catalogue has)."""


class UnknownItem(InvalidQuery):
    """`details`: field."""


class GenerationError(OskolokError):
    """A generation on disk cannot be used."""


class GenerationMissing(GenerationError):
    """No such generation, or no pointer to one."""


class GenerationCorrupt(GenerationError):
    """A file's size or sha256 differs from the manifest, or the manifest itself cannot be read."""


class SchemaMismatch(GenerationError):
    """Built for another feature schema, format version or partition than this process expects."""


class GenerationMismatch(OskolokError):
    """The query names a generation that this process does not serve."""


class Overloaded(OskolokError):
    """A bounded queue is full. `details`: retry_after_s."""


class DeadlineExceeded(OskolokError):
    """The time budget ran out. `details`: stage."""


class CoverageTooLow(OskolokError):
    """`details`: coverage (as answered over HTTP)."""


class Unavailable(OskolokError):
    """A part of the cluster is not available right now."""


class ShardUnavailable(Unavailable):
    """No live connection to the shard, or its process died while answering."""


class ShardLoading(ShardUnavailable):
    """The shard's process is up and still reads its snapshot."""


class RankerUnavailable(Unavailable):
    """No ranker could be reached."""


class UserStoreUnavailable(Unavailable):
    """The user store did not answer in time or refused."""


class TransportError(OskolokError):
    """The data plane itself failed."""


class ConnectionLost(TransportError):
    """The peer closed the connection while a call was in flight."""


class HandshakeRefused(TransportError):
    """The peer does not hold the shared secret, or speaks another protocol version."""


class MalformedFrame(TransportError):
    """Bytes that are no frame of ours, or a frame over the size limit."""


class InternalError(OskolokError):
    """A bug of ours, or a foreign error that is not mapped."""


def all_classes() -> dict[str, type[OskolokError]]:
    """Every class of the tree by name, the root included."""
    found: dict[str, type[OskolokError]] = {}
    pending: list[type[OskolokError]] = [OskolokError]
    while pending:
        cls = pending.pop()
        found[cls.__name__] = cls
        pending.extend(cls.__subclasses__())
    return found


def to_wire(error: BaseException) -> tuple[str, str, dict[str, object]]:
    """(class name, message, details) of an error; anything foreign becomes an InternalError that names its type."""
    if isinstance(error, OskolokError):
        return type(error).__name__, error.message, error.details
    return InternalError.__name__, f"{type(error).__name__}: {error}", {}


def from_wire(name: str, message: str, details: dict[str, object]) -> OskolokError:
    """The error that `to_wire` took apart. An unknown class name (a newer peer) becomes an InternalError."""
    cls = all_classes().get(name)
    if cls is None:
        return InternalError(f"{name}: {message}", **details)
    return cls(message, **details)
