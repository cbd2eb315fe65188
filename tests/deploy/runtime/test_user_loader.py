"""Users come into the store once a generation; a store that is down is waited for in the background."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.config.sections import UsersSection
from cluster.deadline import Deadline
from cluster.errors import ConfigError, UserStoreUnavailable
from cluster.generation import Generation, generation_path, prune
from deploy.runtime.user_loader import UserLoader
from router.users.opening import open_store
from router.users.store import UserStore
from tests.cluster.generation.making import publish
from tests.router.users.records import record_of

SECTION = UsersSection(map_size_bytes=1 << 20)


class Place:
    """An LMDB store that can be made unavailable, and what was told."""

    def __init__(self, folder: Path, generation: Generation) -> None:
        self.url = f"lmdb://{folder}/users"
        self.generation = generation
        self.down = False
        self.told: list[str] = []

    def open(self) -> UserStore:
        if self.down:
            raise UserStoreUnavailable("no space left on device")
        return open_store(self.url, SECTION, access="write")

    def loader(self) -> UserLoader:
        return UserLoader(self.generation, self.url, self.open, lambda step, what: self.told.append(what), retry_s=0.01)

    def ask(self, question: Callable[[UserStore], object]) -> object:
        async def run() -> object:
            store = open_store(self.url, SECTION, access="write")
            try:
                return await question(store)  # type: ignore[misc]
            finally:
                await store.close()

        return asyncio.run(run())

    def knows(self, user_id: str) -> bool:
        return self.ask(lambda store: store.get(user_id, self.generation.id, Deadline.after_ms(1_000))) is not None


@pytest.fixture
def place(tmp_path: Path, tiny_generation: Generation) -> Place:
    return Place(tmp_path, tiny_generation)


def test_users_are_written_once(place: Place) -> None:
    place.loader().start()
    assert place.knows("user-0001") and "records in lmdb" in place.told[-1]
    place.loader().start()
    assert place.told[-1].startswith("as loaded before in lmdb")


def test_users_that_were_forgotten_or_half_written_are_written(place: Place) -> None:
    place.loader().start()
    place.ask(lambda store: store.forget(place.generation.id))
    assert not place.knows("user-0001")
    place.loader().start()
    assert place.knows("user-0001") and "records in lmdb" in place.told[-1]
    place.ask(lambda store: store.seal(place.generation.id, "of another file with this generation's name"))
    place.loader().start()
    assert "records in lmdb" in place.told[-1]


def test_users_of_a_generation_that_was_removed_go_with_the_next_start(tmp_path: Path, tiny_generation: Generation) -> None:
    for day in (1, 2):
        publish(tmp_path, f"g-{day}", created=f"2020-01-0{day}T00:00:00Z")
    here = generation_path(tmp_path, tiny_generation.id)
    shutil.copytree(tiny_generation.path, here)
    place = Place(tmp_path, Generation.open(here))
    place.ask(lambda store: store.put_many([record_of("u", generation="g-1"), record_of("u", generation="g-2")]))
    prune(tmp_path, 2)

    def known(generation: str) -> object:
        return place.ask(lambda store: store.get("u", generation, Deadline.after_ms(1_000)))

    assert known("g-1") is not None
    place.loader().start()
    assert known("g-1") is None and known("g-2") is not None


def test_a_store_that_is_down_delays_the_users_and_not_the_start(place: Place) -> None:
    place.down = True
    loader = place.loader()
    loader.start()
    assert place.told == [
        "not loaded yet: no space left on device",
        "until then every user is unknown; trying again every 0.01 s",
    ]
    place.down = False
    until = time.monotonic() + 10
    while len(place.told) == 2 and time.monotonic() < until:
        time.sleep(0.01)
    loader.stop()
    assert "records in lmdb" in place.told[2] and len(place.told) == 3
    assert place.knows("user-0001")


def test_stopped_it_tries_no_more(place: Place) -> None:
    place.down = True
    loader = place.loader()
    loader.start()
    loader.stop()
    place.down = False
    time.sleep(0.05)
    assert len(place.told) == 2 and not place.knows("user-0001")


def test_a_url_that_names_no_store_refuses_the_start(place: Place) -> None:
    loader = UserLoader(
        place.generation, "mysql://h", lambda: open_store("mysql://h", SECTION, access="write"), lambda *_: None
    )
    with pytest.raises(ConfigError):
        loader.start()
