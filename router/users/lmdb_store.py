"""User records in LMDB: one file on this machine, read in microseconds through shared memory, written by a build.

Routers open it read-only. Any number of processes may read while one writes; a process may open a path once (LMDB's own
rule). The map, which bounds the file, grows by doubling, and only while writing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import lmdb

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from cluster.private import private_folder
from cluster.types import UserRecord
from router.users.record import CheckedReads, encode_record

T = TypeVar("T")

_KEY_BYTES_MAX = 511  # LMDB's own limit
_RECORDS_PER_COMMIT = 4096
_MAX_READERS = 1024


class LmdbStore(CheckedReads):
    """Made by `reader` or `writer`. Every method raises UserStoreUnavailable and nothing else."""

    def __init__(self, opening: Callable[[], lmdb.Environment], path: Path) -> None:
        self._opening = opening
        self._opened: lmdb.Environment | None = None
        self._path = path

    @classmethod
    def reader(cls, path: Path) -> LmdbStore:
        """A store, read-only, opened when it is first asked: it may come to be, or be mended, later than this process."""
        # `lock=True` even here: without a slot in the reader table a writer would reuse the pages being read.
        return cls(partial(_open, path, partial(lmdb.open, readonly=True, create=False)), path)

    @classmethod
    def writer(cls, path: Path, *, map_size_bytes: int) -> LmdbStore:
        """The store, made if it is not there, with a map of at least this size to begin with. Reads too."""
        try:
            private_folder(path)
        except OSError as error:
            raise UserStoreUnavailable(f"cannot create {path}: {error}") from error
        store = cls(partial(_open, path, partial(lmdb.open, map_size=map_size_bytes)), path)
        assert store._env, "opened now: a writer wants the error at once"
        return store

    @property
    def _env(self) -> lmdb.Environment:
        if self._opened is None:
            self._opened = self._opening()
        return self._opened

    def get(self, user_id: str, generation: str, deadline: Deadline) -> asyncio.Future[UserRecord | None]:
        """Does not wait: a lookup is a few memory reads, at worst as many page faults."""
        found: asyncio.Future[UserRecord | None] = asyncio.get_running_loop().create_future()
        try:
            found.set_result(self._record(user_id, generation))
        except UserStoreUnavailable as error:
            found.set_exception(error)
        return found

    def _record(self, user_id: str, generation: str) -> UserRecord | None:
        if (key := _key(user_id, generation)) is None:
            return None
        return self.checked(self._reading(lambda txn: txn.get(key)), user_id=user_id, generation=generation)

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        n_written = 0
        stream = iter(records)
        _mapped(self._env.reader_check)  # slots of readers that were killed would keep old pages from being reused
        while batch := list(islice(_encoded(stream), _RECORDS_PER_COMMIT)):
            self._writing(partial(_put_all, batch))
            n_written += len(batch)
        return n_written

    async def seal(self, generation: str, mark: str) -> None:
        self._writing(lambda txn: txn.put(_seal_key(generation), mark.encode()))

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        mark = self._reading(lambda txn: txn.get(_seal_key(generation)))
        return "" if mark is None else str(mark, "utf-8", "replace")

    async def forget(self, generation: str) -> int:
        self._writing(lambda txn: txn.delete(_seal_key(generation)))
        n_deleted = 0
        while n := self._writing(partial(_delete_some, _prefix(generation))):
            n_deleted += n
        return n_deleted

    async def ping(self, deadline: Deadline) -> None:
        self._reading(lambda txn: txn.stat())

    async def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _reading(self, read: Callable[[lmdb.Transaction], T]) -> T:
        return self._transacted(read, self._env.begin)

    def _writing(self, write: Callable[[lmdb.Transaction], T]) -> T:
        return self._transacted(write, partial(self._env.begin, write=True))

    def _transacted(self, step: Callable[[lmdb.Transaction], T], begin: Callable[[], lmdb.Transaction]) -> T:
        """The step in a transaction of its own, again if the map had to grow first."""
        while True:
            try:
                with begin() as txn:
                    return step(txn)
            except lmdb.MapFullError:
                _mapped(lambda: self._env.set_mapsize(2 * self._env.info()["map_size"]))
            except lmdb.MapResizedError:  # a writer in another process let it grow; take over the new size
                _mapped(lambda: self._env.set_mapsize(0))
            except lmdb.Error as error:
                raise UserStoreUnavailable(f"lmdb {self._path}: {error}") from error


def _open(path: Path, opening: Callable[..., lmdb.Environment]) -> lmdb.Environment:
    try:
        return opening(str(path), max_readers=_MAX_READERS, readahead=False)
    except (lmdb.Error, OSError) as error:
        raise UserStoreUnavailable(f"cannot open lmdb {path}: {error}") from error


def _mapped(call: Callable[[], T]) -> T:
    try:
        return call()
    except lmdb.Error as error:
        raise UserStoreUnavailable(f"lmdb: {error}") from error


def _seal_key(generation: str) -> bytes:
    """Begins with NUL, which no record's key does: that one begins with its generation."""
    return b"\0sealed\0" + generation.encode()


def _prefix(generation: str) -> bytes:
    return generation.encode() + b"\0"


def _key(user_id: str, generation: str) -> bytes | None:
    """<generation> NUL <user id>, the end of a very long one replaced by its hash; None for what is no text.

    A made-up id that equals such a key meets a record that names another user, and is turned away.
    """
    try:
        key = _prefix(generation) + user_id.encode()
    except UnicodeEncodeError:
        return None
    if len(key) <= _KEY_BYTES_MAX:
        return key
    digest = hashlib.sha256(key).hexdigest().encode()
    return key[: _KEY_BYTES_MAX - len(digest)] + digest


def _encoded(records: Iterator[UserRecord]) -> Iterator[tuple[bytes, bytes]]:
    for record in records:
        key = _key(record.user_id, record.generation)
        assert key is not None, f"user id {record.user_id!r} is no text"
        yield key, encode_record(record)


def _put_all(batch: list[tuple[bytes, bytes]], txn: lmdb.Transaction) -> None:
    with txn.cursor() as cursor:
        cursor.putmulti(batch)


def _delete_some(prefix: bytes, txn: lmdb.Transaction) -> int:
    n_deleted = 0
    with txn.cursor() as cursor:
        while n_deleted < _RECORDS_PER_COMMIT and cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
            cursor.delete()
            n_deleted += 1
    return n_deleted
