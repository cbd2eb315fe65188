"""Whatever holds histories of users is closed to the machine's other users, though the process's umask would leave it open."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.replay.house import House
from router.request import Request
from router.users.lmdb_store import LmdbStore
from tests.deploy.replay.keeping import USERS, config, keeping
from tests.worlds import build_tiny, tiny_config

PROGRAM = """
import os, sys
from deploy.cli import main
sys.argv = ["oskolok", "version"]
try:
    main()
except SystemExit:
    print(os.umask(0))
"""


@pytest.fixture(autouse=True)
def everything_is_open_by_default() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_folders_of_generations_and_of_builds(tmp_path: Path) -> None:
    build_tiny(tmp_path, config=tiny_config(tmp_path / "store"))
    assert modes(tmp_path / "store" / "generations", tmp_path / "store" / "build") == {0o700}


def test_folder_of_users_in_lmdb(tmp_path: Path) -> None:
    LmdbStore.writer(tmp_path / "users", map_size_bytes=1 << 20)
    assert modes(tmp_path / "users") == {0o700}


def test_folder_of_kept_requests(tmp_path: Path) -> None:
    built = build_tiny(tmp_path, config=tiny_config(tmp_path / "store"))
    house = House.open(tmp_path / "store" / "generations" / built.spec.id, users=USERS)
    with keeping(house, config(tmp_path / "store"), tmp_path / "replay") as asked:
        asked.recommend(Request(USERS[0], 3))
    assert asked.log.n_kept == 1 and modes(tmp_path / "replay") == {0o700}


def test_files_that_a_command_makes() -> None:
    """In a process of its own: the umask is the process's, and what it starts inherits it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) == 0o077


def modes(*paths: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}
