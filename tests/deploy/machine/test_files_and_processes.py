"""Secrets, sockets, HAProxy and the environment: what the launcher puts on disk and asks of the operating system."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.config.sections import Config
from cluster.errors import ConfigError
from deploy.machine.claim import claim, owner_of
from deploy.machine.environment import missing, ray_variables, serve_variables, weakened
from deploy.machine.haproxy import RAY_SESSION, end_strays, find_haproxy, write_wrapper
from deploy.machine.listeners import listeners_of, process_tree, require_free
from deploy.machine.secret_file import load_or_create
from deploy.runtime.wiring import Wiring, front_dir, require_shared_users, socket_dir, user_store_url


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    made = load_or_create(path)
    assert load_or_create(path) == made
    assert len(bytes.fromhex(made)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_secret_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="mode 644"):
        load_or_create(path)
    path.chmod(0o600)
    path.write_text("hunter2")
    with pytest.raises(ConfigError, match="hexadecimal"):
        load_or_create(path)


def test_a_secret_is_not_read_through_a_link(tmp_path: Path) -> None:
    load_or_create(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="symbolic"):
        load_or_create(tmp_path / "link")


def test_a_wiring_does_not_show_its_secret() -> None:
    wiring = Wiring(Config(), "/g", b"hunter2", "/tmp/x", "loopback")
    assert "hunter2" not in repr(wiring) + str(wiring)


def test_listeners_of_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_server(("0.0.0.0", 0)) as outside:
        found = {one.port: one for one in listeners_of([os.getpid()])}
        assert found[inside.getsockname()[1]].on_loopback
        assert not found[outside.getsockname()[1]].on_loopback
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as outside:
        found = {one.port: one for one in listeners_of([os.getpid()])}
        assert not found[outside.getsockname()[1]].on_loopback


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be used: Address already in use"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


def test_the_tree_of_a_process_is_the_process_and_its_children() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 30 & wait"])
    try:
        deadline = time.monotonic() + 5
        while len(found := process_tree(child.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(found) == 2 and set(found) <= set(process_tree(os.getpid()))
    finally:
        for pid in process_tree(child.pid):
            os.kill(pid, signal.SIGKILL)
        child.wait()


def test_the_wrapper_starts_haproxy_with_its_arguments_and_a_mended_file(tmp_path: Path) -> None:
    folder = tmp_path / "a node"
    folder.mkdir(mode=0o755)
    config = folder / "haproxy.cfg"
    config.write_text("defaults\n    mode http\nlisten stats\n  bind *:8404\n")
    echo = tmp_path / "an echo"
    echo.write_text('#!/bin/sh\necho "$@"\n')
    echo.chmod(0o700)
    wrapper = write_wrapper(str(echo), tmp_path)
    assert stat.S_IMODE(wrapper.stat().st_mode) == 0o700
    arguments = ["-db", "-f", str(config), "-dR", "-sf", "12", "-x", "/a b/admin.sock"]
    said = subprocess.run([str(wrapper), *arguments], capture_output=True, text=True, check=True).stdout
    assert said.split() == " ".join(arguments).split()
    assert "bind 127.0.0.1:8404" in config.read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    once = config.read_text()
    subprocess.run([str(wrapper), *arguments], capture_output=True, check=True)
    assert config.read_text() == once, "a reload of the same file changes nothing"


def test_the_binary_that_comes_with_serve_is_found() -> None:
    assert os.access(find_haproxy(), os.X_OK)


def test_strays_of_our_folder_are_ended_and_no_others(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sh", "-c", "sleep 30; : $0", f"{tmp_path}/haproxy.cfg"], start_new_session=True)
    other = subprocess.Popen(["sh", "-c", "sleep 30; : $0", f"{tmp_path}-other/haproxy.cfg"], start_new_session=True)
    environ = {**os.environ, "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{tmp_path}/haproxy.cfg"}
    marked = subprocess.Popen(["sleep", "30"], start_new_session=True, env=environ)
    try:
        time.sleep(0.05)
        end_strays(tmp_path)
        assert ours.wait(5) == marked.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for one in (ours, marked, other):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
        other.wait()


def test_rays_agents_are_known_by_the_logs_they_keep_open(tmp_path: Path) -> None:
    """They write their titles over their arguments and their environment. A reader of the same log is left alone."""
    session = tmp_path / "session"
    session.mkdir()
    (tmp_path / "front").mkdir()
    (tmp_path / "front" / RAY_SESSION).write_text(str(session))
    script = f"exec 3> {session}/agent.log; exec -a $0 sleep 30"
    agent, reader = (
        subprocess.Popen(["bash", "-c", script, title], start_new_session=True) for title in ("ray::Agent", "tail")
    )
    try:
        time.sleep(0.2)
        end_strays(tmp_path / "front")
        assert agent.wait(5) == -signal.SIGKILL
        assert reader.poll() is None
    finally:
        for process in (agent, reader):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        reader.wait()


def test_what_is_asked_of_ray_and_serve() -> None:
    folder = Path("/tmp/x")
    laptop = ray_variables("loopback", Path("/s/token")) | serve_variables(folder, "haproxy")
    assert laptop["RAY_worker_niceness"] == "0"
    assert (laptop["RAY_AUTH_MODE"], laptop["RAY_AUTH_TOKEN_PATH"]) == ("token", "/s/token")
    assert laptop["RAY_SERVE_ENABLE_HA_PROXY"] == laptop["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert laptop["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert laptop["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == "15", "an hour by default, for heads of requests too"
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in serve_variables(folder, "serve")
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in ray_variables("nodes", None)
    assert missing({"A": "1", "B": "2"}, {"A": "0"}) == {"B": "2"}


def test_haproxys_sockets_have_room(tmp_path: Path) -> None:
    folder = front_dir(Config(), tmp_path / ("x" * 200))
    assert len(f"{folder}/{'f' * 56}/admin.sock.4194304.tmp") <= 107, "Serve adds a node's id, HAProxy its process"
    assert front_dir(Config(), tmp_path) == front_dir(Config(), tmp_path) != folder


def test_authentication_that_was_switched_off_is_told() -> None:
    assert weakened({}) == weakened({"RAY_AUTH_MODE": "token"}) == ""
    assert "RAY_AUTH_MODE=disabled" in weakened({"RAY_AUTH_MODE": "disabled"})


def test_users_in_a_file_are_refused_for_routers_on_several_machines() -> None:
    require_shared_users("lmdb:///s/users", {"10.0.0.1"})
    require_shared_users("redis://:hunter2@h/0", {"10.0.0.1", "10.0.0.2"})
    with pytest.raises(ConfigError, match=r"users.store is LMDB.*run on 2 machines.*redis://"):
        require_shared_users("lmdb:///s/users", {"10.0.0.1", "10.0.0.2"})


def test_where_users_and_sockets_are(tmp_path: Path) -> None:
    config = Config.model_validate({"storage": {"path": str(tmp_path)}})
    assert user_store_url(config) == f"lmdb://{tmp_path}/users"
    redis = Config.model_validate({"users": {"store": "redis://h:6379/0"}})
    assert user_store_url(redis) == "redis://h:6379/0"
    long = tmp_path / ("x" * 200)
    assert len(f"{socket_dir(config, long)}/shard-1023-0.sock") <= 107
    assert socket_dir(config, long) != socket_dir(config, tmp_path)


def test_a_storage_is_served_by_one_cluster(tmp_path: Path) -> None:
    assert owner_of(tmp_path) == 0
    lock = claim(tmp_path)
    assert owner_of(tmp_path) == os.getpid()
    with pytest.raises(
        ConfigError, match=rf"already serves {tmp_path} \(process {os.getpid()}\): `oskolok stop` ends it, or set"
    ):
        claim(tmp_path)
    lock.release()
    lock.release()
    assert owner_of(tmp_path) == 0
    claim(tmp_path).release()


def test_a_storage_is_free_once_its_process_was_killed(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from deploy.machine.claim import claim; "
        f"lock = claim(Path({str(tmp_path)!r})); print(1, flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"1\n"
    with pytest.raises(ConfigError, match=f"process {holder.pid}"):
        claim(tmp_path)
    holder.kill()
    holder.communicate()
    claim(tmp_path).release()
