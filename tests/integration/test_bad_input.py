"""The table of bad input over real HTTP, through HAProxy and Serve, beside traffic that must not notice."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.deploy.bad_input import BAD, ODD_BUT_VALID, Bad
from tests.integration.running import JSON, Cluster, Reply, load

pytestmark = pytest.mark.ray


def send(cluster: Cluster, bad: Bad) -> Reply:
    def chunks() -> Iterator[bytes]:
        for at in range(0, len(bad.body), 65_536):
            yield bad.body[at : at + 65_536]

    headers = {"content-type": bad.content_type, **bad.headers}
    return cluster.request("POST", "/v1/recommend", chunks() if bad.chunked else bad.body, headers)


def test_bad_input_is_refused_beside_valid_traffic(cluster: Cluster) -> None:
    before = cluster.pids() | {"router": cluster.pid_titled("ray::ServeReplica:oskolok:router")}
    memory = resident_bytes(before["router"])
    with load(cluster, per_s=20, threads=4) as alone:
        time.sleep(2)
    wrong = []
    with load(cluster, per_s=20, threads=4) as valid:
        for _ in range(3):
            for bad in BAD:
                reply = send(cluster, bad)
                found = (
                    reply.status,
                    reply.json["type"].rpartition(":")[2],
                    [e["pointer"] for e in reply.json.get("errors", [])],
                )
                expected = (bad.status, bad.code, [] if bad.pointer is None else [bad.pointer])
                if found != expected or b"Traceback" in reply.body:
                    wrong.append((str(bad), found, expected))
    assert wrong == []
    assert valid.failures == [] and valid.statuses == {200}
    assert valid.quantile_s(0.5) <= 2 * alone.quantile_s(0.5) + 0.010
    assert cluster.pids() | {"router": cluster.pid_titled("ray::ServeReplica:oskolok:router")} == before
    assert resident_bytes(before["router"]) - memory < 50 << 20


@pytest.mark.parametrize(("name", "body"), ODD_BUT_VALID, ids=[name for name, _ in ODD_BUT_VALID])
def test_odd_input_that_is_allowed(cluster: Cluster, name: str, body: bytes) -> None:
    assert cluster.request("POST", "/v1/recommend", body, JSON).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-timeout-seconds": "0.000001"},
        {"x-request-timeout-seconds": "0"},
        {"x-request-timeout-seconds": "nonsense"},
        {"x-request-disconnect-disabled": "?1"},
        {"serve_multiplexed_model_id": "x" * 100},
        {"x-request-id": "a b\tc"},
    ],
)
def test_headers_that_would_turn_serves_levers(cluster: Cluster, headers: dict[str, str]) -> None:
    reply = cluster.request("POST", "/v1/recommend", b'{"user_id": "user-0001", "k": 3}', JSON | headers)
    assert (reply.status, len(reply.json["items"])) == (200, 3)
    assert reply.json["request_id"] == reply.headers["x-request-id"] != "a b\tc"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\n" + b"x-filler: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["long header", "long path", "negative length", "two lengths", "TLS", "broken chunk"],
)
def test_what_is_not_http(cluster: Cluster, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=5) as connection:
        answer = b""
        with contextlib.suppress(OSError):  # the server may hang up before we are done
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
    status = answer.split(b" ", 2)[1:2]
    assert not status or 400 <= int(status[0]) < 500
    assert cluster.recommend("user-0001").status == 200


def test_callers_that_hang_or_leave(cluster: Cluster) -> None:
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", cluster.port), timeout=10) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(head + b'{"user')
        with load(cluster, per_s=20, threads=4) as valid:
            time.sleep(1)
            for connection in slow[:20]:
                connection.close()
            answer = slow[20].recv(4096)
        assert b" 408 " in answer.split(b"\r\n")[0]
        assert valid.failures == [] and valid.statuses == {200}
    finally:
        for connection in slow:
            connection.close()


def test_a_caller_who_never_ends_the_headers(cluster: Cluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\nx-slow: ")
        assert b" 408 " in connection.recv(4096).split(b"\r\n")[0]


def test_two_requests_in_one_packet(cluster: Cluster) -> None:
    body = b'{"user_id": "user-0001", "k": 1}'
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    last = head.replace(b"host: x", b"host: x\r\nconnection: close")
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=5) as connection:
        connection.sendall(head + body + last + body)
        received = b""
        while part := connection.recv(65_536):
            received += part
    assert received.count(b"HTTP/1.1 200") == 2


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * 4096
