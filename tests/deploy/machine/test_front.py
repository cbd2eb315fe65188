"""HAProxy's configuration as Serve writes it, as it is mended, and as HAProxy itself reads it; and who ends with whom."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.machine.front import ARRIVED, TIMEOUTS_S, error_pages, mended
from deploy.machine.haproxy import find_haproxy
from deploy.problems import KINDS, URN

SERVES_CONFIG = """\
global
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
    stats timeout 30s
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout http-keep-alive 90s
    errorfile 502 {folder}/500.http
    errorfile 503 {folder}/500.http
frontend prometheus
    bind :9101
frontend http_frontend
    bind *:8000
    acl x hdr(host) bind :1
    default_backend b
backend b
    timeout server 3600s
    timeout http-keep-alive 90s
    server s 127.0.0.1:30000 check
    server fallback 127.0.0.1:30001 check backup
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    for name, page in error_pages().items():
        (tmp_path / name).write_bytes(page)
    return mended(SERVES_CONFIG.replace("{folder}", str(tmp_path)), tmp_path)


def lines(config: str, word: str) -> list[str]:
    return [line.strip() for line in config.splitlines() if line.split()[:1] == [word]]


def test_only_what_callers_use_is_open_beyond_this_machine(config: str) -> None:
    assert lines(config, "bind") == ["bind 127.0.0.1:9101", "bind *:8000", "bind 127.0.0.1:8404"], (
        "http.host is Serve's business"
    )
    assert "acl x hdr(host) bind :1" in config
    assert " mode 600 level admin" in config and "666" not in config


def test_nobody_holds_a_connection_for_an_hour(config: str) -> None:
    found = dict(line.split()[1:] for line in lines(config, "timeout"))
    assert found == {name: f"{seconds}s" for name, seconds in TIMEOUTS_S.items()}


def test_requests_are_stamped_and_wait_for_no_router(config: str) -> None:
    assert [line.split()[2] for line in lines(config, "http-request")] == [ARRIVED]
    assert lines(config, "server") == ["server s 127.0.0.1:30000 check"]


def test_mending_twice_is_mending_once(config: str, tmp_path: Path) -> None:
    assert mended(config, tmp_path) == config


def test_haproxy_understands_it(config: str, tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(config)
    done = subprocess.run([find_haproxy(), "-c", "-f", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_haproxy_answers_itself_is_a_problem_document() -> None:
    for page in error_pages().values():
        head, _, body = page.partition(b"\r\n\r\n")
        problem = json.loads(body)
        kind = KINDS[problem["type"].removeprefix(URN)]
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode()) and problem["status"] == kind.status
        assert headers["content-type"] == "application/problem+json"
        assert int(headers["content-length"]) == len(body)
        assert ("retry-after" in headers) is (kind.status == 503)


def test_it_ends_with_who_started_it() -> None:
    """The middle process starts one that binds itself to it and would sleep, tells its id, and is killed."""
    bound = "import os, time; from deploy.machine.front import end_with; end_with(os.getppid())"
    inner = f"{bound}; print(os.getpid(), flush=True); time.sleep(60)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    middle = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert middle.stdout is not None
    pid = int(middle.stdout.readline())
    os.kill(middle.pid, signal.SIGKILL)
    middle.wait()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(pid)
    middle.stdout.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
