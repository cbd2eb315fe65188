"""`oskolok stop` on one machine: the process that serves the storage is asked, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.commands.common import OK

SERVER = """
import signal, sys, threading
from pathlib import Path
from deploy.machine.claim import claim
lock, stop = claim(Path(sys.argv[1])), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print(1, flush=True)
stop.wait(30)
lock.release()
"""


def test_the_process_that_serves_is_asked_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["stop", "--set", f"storage.path={tmp_path}", "--set", "cluster.name=shop"]
    assert run(arguments) == OK
    assert capsys.readouterr().out == "no cluster was running\n"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"1\n"
    assert run(arguments) == OK
    assert capsys.readouterr().out == "stopped shop\n"
    assert server.wait(10) == 0
    server.communicate()
