"""HAProxy and what is behind it when that is gone, or stands still, and who may talk to it."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from deploy.machine.front import TIMEOUTS_S
from deploy.runtime.wiring import front_dir
from tests.integration.running import Cluster, Load, command_of, hung, kill, load, wait_until

pytestmark = pytest.mark.ray

IN_FLIGHT_MAX = 12
"""`admission.max_in_flight` of the cluster."""

_ESTABLISHED = "01"  # as the kernel writes it


def answers(cluster: Cluster) -> bool:
    with suppress(OSError):
        return cluster.recommend("user-0001").status == 200
    return False


def later_than(found: Load, moment: float) -> list[int]:
    statuses = [reply.status for reply in found.replies if reply.sent_at >= moment]
    assert len(statuses) > 50
    return statuses


def test_the_only_router_is_killed(cluster: Cluster) -> None:
    """What comes while it is gone is told so at once, and nothing of it is in the way of what comes after."""
    with load(cluster, per_s=40, threads=24) as found:
        time.sleep(1)
        kill(cluster.pid_titled("ray::ServeReplica"))
        wait_until(lambda: not answers(cluster), 5, "the kill was not felt")
        wait_until(lambda: answers(cluster), 60, "no router came back")
        again = time.monotonic()
        time.sleep(4)
    assert set(later_than(found, again + 1)) == {200}
    assert found.statuses == {200, 503}
    refused = [reply for reply in found.replies if reply.status == 503]
    assert all(reply.json["type"].endswith(("unavailable", "starting")) for reply in refused)
    assert all(reply.headers["retry-after"] for reply in refused)
    assert sum(reply.took_s > 2 for reply in found.replies) <= IN_FLIGHT_MAX
    assert len(found.failures) <= IN_FLIGHT_MAX, "what it was answering"


def test_the_only_router_stands_still(cluster: Cluster) -> None:
    """Requests that waited in front of it are over when it goes on; it spends nothing on them."""
    router = cluster.pid_titled("ray::ServeReplica")
    with load(cluster, per_s=40, threads=200) as found:
        time.sleep(1)
        with hung(router):
            time.sleep(4)
        going = time.monotonic()
        time.sleep(4)
    assert set(later_than(found, going + 1)) == {200}
    waited = [reply for reply in found.replies if reply.sent_at < going - 1.5 and reply.took_s > 1.2]
    assert len(waited) > 40
    assert 200 not in {reply.status for reply in waited}, "an answer after its deadline"


def test_callers_who_do_not_read_their_answer_are_let_go(cluster: Cluster) -> None:
    """They cost nobody else anything meanwhile, and hold their place no longer than `timeout client`."""
    with ExitStack() as stack:
        stalled = [stack.enter_context(who_never_reads(cluster.port)) for _ in range(4)]
        time.sleep(TIMEOUTS_S["client"] / 2)
        assert not any(let_go(one) for one in stalled), "an answer that was taken, or no patience"
        assert answers(cluster)
        wait_until(lambda: all(let_go(one) for one in stalled), 2 * TIMEOUTS_S["client"], "stalled readers hold their places")
    assert answers(cluster)


def who_never_reads(port: int) -> socket.socket:
    """A connection that has asked for far more than fits between HAProxy and somebody who does not read."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    caller.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 80)
    return caller


def let_go(caller: socket.socket) -> bool:
    """Whether the other side has closed the connection. The caller would have to read everything to hear of it."""
    from_port, to_port = caller.getsockname()[1], caller.getpeername()[1]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    theirs = [row[3] for row in rows if row[1].endswith(f":{to_port:04X}") and row[2].endswith(f":{from_port:04X}")]
    return theirs != [_ESTABLISHED]


def test_haproxy_is_killed(cluster: Cluster) -> None:
    (haproxy,) = {one.pid for one in cluster.listeners() if one.port == cluster.port}
    kill(haproxy)
    wait_until(lambda: answers(cluster), 20, "nobody started HAProxy again")


def test_haproxys_own_doors_are_shut(cluster: Cluster) -> None:
    folder = front_dir(cluster.config, Path(cluster.config.storage.path))
    (admin,) = folder.glob("*/admin.sock")
    assert admin.stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o077 for path in (folder, admin.parent)} == {0}
    assert any("haproxy" in command_of(one.pid) for one in cluster.listeners())
