"""What the supervisor asks of whatever runs its shards and rankers: find, start, ask, end. `deploy/runtime/ray_actors.py` is
Ray's.

A handle is what stands for one actor here; only who made it looks inside. No call takes longer than a bounded time, but for
`ask`, whose answer is awaited for as long as the actor may yet give one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cluster.topology import ReplicaStatus
from deploy.runtime.reconcile import Node, Slot

Handle = Any


class ActorGone(Exception):
    """The actor's process is gone, or will never be. Any other error of `ask` says only that it did not answer."""


class Actors(Protocol):
    """The actors of one cluster."""

    async def find(self, slot: Slot) -> Handle | None:
        """The slot's actor, as an earlier supervisor may have left it; None if there is none."""
        ...

    async def nodes(self) -> Sequence[Node]:
        """The nodes that actors may be placed on."""
        ...

    async def start(self, slot: Slot, node: Node) -> Handle:
        """Begin to start the slot's actor. If there is one already, it is that one."""
        ...

    async def ask(self, handle: Handle) -> ReplicaStatus:
        """How the actor is. Raises ActorGone."""
        ...

    async def kill(self, handle: Handle) -> None:
        """End the actor's process."""
        ...

    async def stop(self, handle: Handle) -> None:
        """Let the actor finish what it is doing."""
        ...
