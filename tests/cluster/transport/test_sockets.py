"""Unix sockets: only for their owner, never over a living server or somebody's file."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from cluster.errors import ConfigError
from cluster.transport.sockets import bind_unix, unlink_unix
from tests.cluster.served import socket_folder


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 777"):
        bind_unix(str(folder / "s"))


def test_the_socket_and_a_folder_made_for_it_are_closed_to_others() -> None:
    with socket_folder() as folder:
        path = f"{folder}/new/s.sock"
        with bind_unix(path):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(f"{folder}/new").st_mode) == 0o700
        unlink_unix(path)
        unlink_unix(path)
        assert not os.path.exists(path)


def test_a_dead_servers_socket_is_replaced() -> None:
    with socket_folder() as folder:
        path = f"{folder}/s.sock"
        bind_unix(path).close()
        assert os.path.exists(path)
        bind_unix(path).close()


def test_a_living_servers_socket_is_not() -> None:
    with socket_folder() as folder, bind_unix(f"{folder}/s.sock") as living:
        living.listen()
        with pytest.raises(ConfigError, match="another server listens"):
            bind_unix(f"{folder}/s.sock")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{folder}/s.sock")


def test_a_file_in_its_place_is_left_alone() -> None:
    with socket_folder() as folder:
        path = f"{folder}/s.sock"
        with open(path, "w") as file:
            file.write("precious")
        with pytest.raises(ConfigError, match="is not a socket"):
            bind_unix(path)
        with open(path) as file:
            assert file.read() == "precious"


def test_a_path_the_kernel_would_not_take_is_refused_with_its_length() -> None:
    with pytest.raises(ConfigError, match="unix socket path has 205 bytes, at most 107"):
        bind_unix("/tmp/" + "x" * 200)
