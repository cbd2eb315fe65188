"""What a serving process says of itself: it speaks for the thread that serves, while it loads and when that thread is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.deadline import Deadline
from cluster.errors import GenerationMissing, ShardLoading
from cluster.generation import Generation
from cluster.serving.endpoint import Endpoint
from cluster.serving.serving_actor import ServingActor
from cluster.topology import ReplicaStatus
from cluster.transport.channel import Channel
from cluster.transport.service import Call
from tests.cluster.served import LIMITS, NODE, SECRET, run, socket_folder
from tests.shard.golden import make

GOLDEN = Path(make.__file__).parent / "v2"

BLOCK, END = 1, 2


class Stuck:
    """Its service waits inside a call, as a native library may, until it is freed; or ends the thread."""

    def __init__(self) -> None:
        self.began, self.free = threading.Event(), threading.Event()

    def service(self, _: Callable[[str], str]) -> Callable[[Sequence[Call]], None]:
        def serve(calls: Sequence[Call]) -> None:
            for call in calls:
                if call.method == END:
                    raise SystemExit
                self.began.set()
                self.free.wait(30)
                call.reply(b"")

        return serve


@contextmanager
def acting(stuck: Stuck, *, load: Callable[[Generation], str], batch_max: int = 1) -> Iterator[ServingActor[str]]:
    with socket_folder() as sockets:
        endpoint = Endpoint(
            name="shard-0-0",
            shard=0,
            generation_path=str(GOLDEN),
            secret=SECRET,
            limits=LIMITS,
            unix_path=f"{sockets}/s",
            host="",
            node_id=NODE,
        )
        actor = ServingActor(endpoint, load=load, serve=stuck.service, still_loading=ShardLoading, batch_max=batch_max)
        try:
            yield actor
        finally:
            stuck.free.set()
            actor.stop()


def until(actor: ServingActor[str], condition: Callable[[ReplicaStatus], bool]) -> ReplicaStatus:
    end = time.monotonic() + 10
    while not condition(status := actor.status()):
        assert time.monotonic() < end, status
        time.sleep(0.005)
    return status


def test_a_caller_is_told_no_path_of_what_could_not_be_loaded() -> None:
    def load(_: Generation) -> str:
        raise GenerationMissing("no generation at /srv/secret/place")

    with acting(Stuck(), load=load) as actor:
        status = until(actor, lambda status: status.state == "dead")
        assert "/srv/secret/place" in status.detail, "status tells whoever runs the cluster"
        with pytest.raises(ShardLoading, match=r"^shard-0-0 is unable to load: GenerationMissing$"):
            actor.lookup("g")


async def call(actor: ServingActor[str], method: int) -> Channel:
    """A call that nobody waits for."""
    channel = Channel(actor.status().address, node_id=NODE, secret=SECRET, limits=LIMITS)
    assert await channel.wait_connected(5)
    pending = channel.call(method, b"", Deadline.after_ms(20_000), bytes)
    pending.add_done_callback(lambda done: done.exception())
    await asyncio.sleep(0.01)
    return channel


def test_a_thread_that_is_stuck_in_a_call_is_told_of_and_one_that_comes_back_is_not() -> None:
    for batch_max in (1, 8):
        stuck = Stuck()

        async def scene(actor: ServingActor[str], stuck: Stuck = stuck) -> None:
            channel = await call(actor, BLOCK)
            await asyncio.to_thread(stuck.began.wait, 5)
            wedged = await asyncio.to_thread(until, actor, lambda status: status.unanswered_s > 0.2)
            assert wedged.state == "ready", "Ray's thread knows nothing of it"
            stuck.free.set()
            await asyncio.to_thread(until, actor, lambda status: status.unanswered_s < 0.1)
            channel.close()

        with acting(stuck, load=lambda _: "it", batch_max=batch_max) as actor:
            until(actor, lambda status: status.state == "ready")
            run(scene(actor))


@pytest.mark.filterwarnings(  # it closes nothing
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_a_thread_that_has_ended_is_dead() -> None:
    async def scene(actor: ServingActor[str]) -> None:
        channel = await call(actor, END)
        status = await asyncio.to_thread(until, actor, lambda status: status.state == "dead")
        assert (status.detail, status.unanswered_s) == ("the data-plane thread has ended", 0)
        channel.close()

    with acting(Stuck(), load=lambda _: "it", batch_max=8) as actor:
        until(actor, lambda status: status.state == "ready")
        run(scene(actor))


def test_while_it_loads_the_thread_answers() -> None:
    loading = threading.Event()

    def load(_: Generation) -> str:
        loading.wait(10)
        return "it"

    with acting(Stuck(), load=load) as actor:
        actor.status()
        assert until(actor, lambda status: status.unanswered_s == 0).state == "loading"
        loading.set()
        until(actor, lambda status: status.state == "ready")


def test_the_thread_can_be_told_from_others_by_its_name() -> None:
    with acting(Stuck(), load=lambda _: "it"):
        names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        assert "data-plane" in names
