"""Loads a generation's users into the user store, unless they are there. A store that is down delays only that.

After the last record, the store is sealed with the hash of the loaded file: a later start with the same generation writes
nothing. Until the users are loaded, every user gets the answers of an unknown user, marked as such.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from cluster.deadline import Deadline
from cluster.errors import ConfigError, OskolokError
from cluster.generation import Generation
from cluster.user_records import USERS_FILE, read_users
from router.users.retiring import forget_retired
from router.users.store import UserStore

RETRY_S = 2.0
_ASK_MS = 2_000

Tell = Callable[[str, str], None]


class UserLoader:
    """store_url: for messages.  opening: opens the store for writing, again for each attempt."""

    def __init__(
        self,
        generation: Generation,
        store_url: str,
        opening: Callable[[], UserStore],
        tell: Tell,
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._generation = generation
        self._mark = generation.manifest.files[USERS_FILE].sha256
        self._kind = store_url.partition("://")[0]
        self._opening = opening
        self._tell = tell
        self._retry_s = retry_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when the users are in the store, or when that has failed: then it is tried again in the background.

        Raises ConfigError for a url that names no store.
        """
        if error := self._attempt():
            self._tell("users", f"not loaded yet: {error}")
            self._tell("users", f"until then every user is unknown; trying again every {self._retry_s:g} s")
            self._thread = threading.Thread(target=self._retry, name="users", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Try no more. An attempt that is going on has a second to end; what it has written is whole records."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _retry(self) -> None:
        while not self._stopped.wait(self._retry_s) and self._attempt():
            pass

    def _attempt(self) -> str:
        """What kept the users from being loaded, "" if they are."""
        began = time.monotonic()
        try:
            n_users = asyncio.run(self._load())
        except ConfigError:
            raise
        except (OskolokError, OSError) as error:
            return str(error)
        where = f"in {self._kind}, {time.monotonic() - began:.1f} s"
        self._tell("users", f"{n_users:,} records {where}" if n_users is not None else f"as loaded before {where}")
        return ""

    async def _load(self) -> int | None:
        """How many were written; None if they were there already."""
        store = self._opening()
        try:
            await forget_retired(store, self._generation.path.parents[1])
            if await store.seal_of(self._generation.id, Deadline.after_ms(_ASK_MS)) == self._mark:
                return None
            n_users = await store.put_many(read_users(self._generation))
            await store.seal(self._generation.id, self._mark)
            return n_users
        finally:
            await store.close()
