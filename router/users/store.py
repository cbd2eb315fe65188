"""The one protocol of user stores. A record is looked up by generation and user, and checked to be that user's.

Stores know nothing of what a record is used for, nor of which generation is active.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from cluster.deadline import Deadline
from cluster.types import UserRecord


class UserStore(Protocol):
    """Every method raises UserStoreUnavailable when the store cannot be asked, and nothing else."""

    @property
    def n_rejected(self) -> int:
        """Records read that belonged to someone else, to another generation, or were no records: never returned."""
        ...

    def get(self, user_id: str, generation: str, deadline: Deadline) -> Awaitable[UserRecord | None]:
        """The user's record of that generation, None where there is none. Never later than the deadline.

        A store that need not wait returns a future that is done: whoever asks then makes no task for it.
        """
        ...

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        """Write records, over older ones of the same generation and user; how many."""
        ...

    async def seal(self, generation: str, mark: str) -> None:
        """Say, after the last record of a generation was written, that they are all there. mark: names what was written."""
        ...

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        """The mark with which the generation was sealed, "" if it was not. It goes when the records go."""
        ...

    async def forget(self, generation: str) -> int:
        """Delete a generation's seal and then every record of it; how many records."""
        ...

    async def ping(self, deadline: Deadline) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. A closed store is not used again."""
        ...
