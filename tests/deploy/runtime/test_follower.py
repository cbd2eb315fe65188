"""What a router knows of the cluster: the newest it heard, kept when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import deploy.runtime.follower
from cluster.clients.protocols import Fleet
from cluster.cluster_state import ClusterView
from cluster.errors import ShardLoading, Unavailable
from cluster.topology import Topology
from deploy.runtime.follower import Follower
from tests.deploy.fakes import view


class Fleets:
    """Makes a fleet of nobody from any topology."""

    def fleet(self, topology: Topology) -> Fleet:
        return Fleet(topology.version, topology.spec, (), None)


class Supervisor:
    """Answers what a test puts in, fails when told to, and remembers what callers knew."""

    def __init__(self) -> None:
        self.newest: ClusterView | None = None
        self.gone = False
        self.known: list[int] = []

    async def poll(self, known: int) -> ClusterView | None:
        self.known.append(known)
        await asyncio.sleep(0.001)
        if self.gone:
            raise Unavailable("no supervisor")
        return self.newest


def follow(steps: Callable[[Follower, Supervisor], object]) -> tuple[Follower, list[int]]:
    """A follower that is being run while `steps`, a coroutine function, goes on; and the versions it told of."""
    told: list[int] = []

    async def run() -> Follower:
        supervisor = Supervisor()
        follower = Follower(supervisor.poll, Fleets(), lambda topology: told.append(topology.version))
        following = asyncio.create_task(follower.run())
        await steps(follower, supervisor)  # type: ignore[misc]
        assert not following.done()
        following.cancel()
        return follower

    return asyncio.run(run()), told


def test_nothing_is_known_before_the_first_word() -> None:
    async def steps(follower: Follower, supervisor: Supervisor) -> None:
        await asyncio.sleep(0.01)
        with pytest.raises(ShardLoading):
            follower.fleet()
        assert follower.view is None

    follow(steps)


def test_each_new_version_is_followed_once() -> None:
    async def steps(follower: Follower, supervisor: Supervisor) -> None:
        for version in (3, 4):
            supervisor.newest = view("ready", version=version)
            await asyncio.sleep(0.02)
            assert follower.fleet().version == version

    follower, told = follow(steps)
    assert told == [3, 4]
    assert follower.view is not None and follower.view.version == 4


def test_the_last_word_counts_while_the_supervisor_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy.runtime.follower, "RETRY_S", 0.001)

    async def steps(follower: Follower, supervisor: Supervisor) -> None:
        supervisor.newest = view("ready", version=3)
        await asyncio.sleep(0.02)
        supervisor.gone = True
        await asyncio.sleep(0.02)
        assert follower.fleet().version == 3
        supervisor.gone, supervisor.newest = False, view("ready", version=4)
        await asyncio.sleep(0.02)
        assert follower.fleet().version == 4
        assert supervisor.known[-1] == 4

    follow(steps)


def test_an_older_view_is_not_taken() -> None:
    async def steps(follower: Follower, supervisor: Supervisor) -> None:
        supervisor.newest = view("ready", version=9)
        await asyncio.sleep(0.02)
        supervisor.newest = view("dead", version=1)
        await asyncio.sleep(0.02)
        assert follower.fleet().version == 9

    follow(steps)
