"""Folders that others cannot look into, and places that others may have prepared."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cluster.errors import ConfigError
from cluster.private import own_folder, private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("folder", [private_folder, own_folder])
def test_a_new_folder_is_closed_and_an_open_one_is_closed_again(folder, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "inside"
    assert folder(path) == path and mode(path) == 0o700
    path.chmod(0o755)
    assert mode(folder(path)) == 0o700


def test_a_folder_of_a_build_is_closed_however_open_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert mode(private_folder(tmp_path)) == 0o700


@pytest.mark.parametrize("open_to", [0o777, 0o770])
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path, open_to: int) -> None:
    path = tmp_path / "sockets"
    path.mkdir()
    path.chmod(open_to)
    with pytest.raises(ConfigError, match=f"mode {open_to:o}"):
        own_folder(path)


def test_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="link"):
        own_folder(tmp_path / "link")
