"""HTTP load on loopback, for a bounded time: closed loop (c callers, each waits for its answer) and open loop (a rate).

In the open loop a request has an intended start, and its latency counts from there: a server that stalls cannot hide it
by holding the callers back (coordinated omission). The generator is one uvloop process that does as little as possible
per answer, because it shares the machine's cores with what it measures; it checks the status and counts bytes, no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import uvloop

from bench.tools.harness import in_fresh_process, percentiles

_HEAD_END = b"\r\n\r\n"


@dataclass
class LoadReport:
    """What came back. latencies_s: of answers with status 200, from (intended) start to last byte."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)

    @property
    def n_failed(self) -> int:
        """Answers that were neither 200 nor a polite refusal (429), and connections that broke (status 0)."""
        return sum(n for status, n in self.statuses.items() if status not in (200, 429))

    def metrics(self) -> dict[str, float]:
        """requests_per_s, p50_ms and p99_ms of the successful ones, and n_failed."""
        spread = percentiles(self.latencies_s, "ms") if self.latencies_s else {"p50_ms": np.inf, "p99_ms": np.inf}
        return {"requests_per_s": len(self.latencies_s) / self.seconds, **spread, "n_failed": float(self.n_failed)}


def closed_loop(port: int, path: str, bodies: Sequence[bytes], *, concurrency: int, seconds: float) -> LoadReport:
    """`concurrency` connections, each sending the next body as soon as its answer is there. Runs in its own process."""
    return in_fresh_process(_run_closed, port, path, list(bodies), concurrency, seconds)[0]


def open_loop(
    port: int, path: str, bodies: Sequence[bytes], *, rate: float, seconds: float, connections: int = 64
) -> LoadReport:
    """Poisson arrivals at `rate` requests a second over a pool of connections. Runs in its own process."""
    return in_fresh_process(_run_open, port, path, list(bodies), rate, seconds, connections)[0]


class _Caller(asyncio.Protocol):
    """One keep-alive connection with at most one request out.

    on_untaken: for a request on a connection that the server was just closing for having been idle, unless that is a failure.
    """

    def __init__(self, report: LoadReport, on_idle, on_untaken=None) -> None:
        self.report = report
        self.on_idle = on_idle
        self.on_untaken = on_untaken
        self.request = b""
        self.started_at = 0.0
        self.waiting = False
        self._received = bytearray()
        self._missing = -1
        self._status = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def send(self, request: bytes, started_at: float) -> None:
        self.request, self.started_at = request, started_at
        self.waiting = True
        self.transport.write(request)

    def data_received(self, chunk: bytes) -> None:
        if not self.waiting:  # HAProxy's 408 for a connection that asks nothing, which it then closes
            return
        if self._missing < 0:
            self._received += chunk
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            self._status = int(head[9:12])
            at = head.index(b"content-length:") + 15
            length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else len(head)])
            self._missing = length - (len(self._received) - end - len(_HEAD_END))
            self._received.clear()
        else:
            self._missing -= len(chunk)
        if self._missing == 0:
            self._missing = -1
            if self._status == 408 and self.on_untaken is not None:
                self._untaken()
            else:
                self._done(self._status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.waiting:
            return
        if self.on_untaken is not None and self._missing < 0 and not self._received:
            self._untaken()
        else:
            self._done(0)

    def _untaken(self) -> None:
        self.waiting = False
        self.on_untaken(self.request, self.started_at)

    def _done(self, status: int) -> None:
        self.waiting = False
        took = time.perf_counter() - self.started_at
        self.report.statuses[status] += 1
        if status == 200:
            self.report.latencies_s.append(took)
        else:
            self.report.refused_s.append(took)
        self.on_idle(self)


def _requests(port: int, path: str, bodies: Sequence[bytes]) -> list[bytes]:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return [(head % len(body)).encode() + body for body in bodies]


def _run_closed(port: int, path: str, bodies: Sequence[bytes], concurrency: int, seconds: float) -> LoadReport:
    requests = _requests(port, path, bodies)
    report = LoadReport(seconds)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        ends_at = time.perf_counter() + seconds

        def next_request(caller: _Caller) -> None:
            nonlocal turn
            now = time.perf_counter()
            if now < ends_at and not caller.transport.is_closing():
                turn += 1
                caller.send(requests[turn % len(requests)], now)

        callers = [
            (await loop.create_connection(lambda: _Caller(report, next_request), "127.0.0.1", port))[1]
            for _ in range(concurrency)
        ]
        started = time.perf_counter()
        ends_at = started + seconds
        for caller in callers:
            next_request(caller)
        await asyncio.sleep(seconds)
        await _drain(callers)
        report.seconds = time.perf_counter() - started

    uvloop.run(run())
    return report


def _run_open(port: int, path: str, bodies: Sequence[bytes], rate: float, seconds: float, connections: int) -> LoadReport:
    requests = _requests(port, path, bodies)
    report = LoadReport(seconds)
    gaps = np.random.default_rng(0).exponential(1 / rate, int(rate * seconds * 1.2) + 10)
    arrivals = np.cumsum(gaps)
    arrivals = arrivals[arrivals < seconds]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        idle: list[_Caller] = []
        late: deque[tuple[bytes, float]] = deque()

        def freed(caller: _Caller) -> None:
            if caller.transport.is_closing():
                return
            if late:
                caller.send(*late.popleft())
            else:
                idle.append(caller)

        def ask(request: bytes, intended: float) -> None:
            while idle and idle[-1].transport.is_closing():  # a server may hang up on a connection that was idle for long
                idle.pop()
            if idle:
                idle.pop().send(request, intended)
            else:
                late.append((request, intended))

        callers = [
            (await loop.create_connection(lambda: _Caller(report, freed, ask), "127.0.0.1", port))[1]
            for _ in range(connections)
        ]
        idle.extend(callers)
        started = time.perf_counter()
        for turn, arrival in enumerate(arrivals):
            intended = started + arrival
            pause = intended - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            ask(requests[turn % len(requests)], intended)
        await _drain(callers)
        report.seconds = max(seconds, time.perf_counter() - started)
        report.statuses[0] += len(late)

    uvloop.run(run())
    return report


async def _drain(callers: Sequence[_Caller], patience_s: float = 5.0) -> None:
    """Wait for the answers that are still out, then hang up."""
    gives_up_at = time.perf_counter() + patience_s
    while any(caller.waiting for caller in callers) and time.perf_counter() < gives_up_at:
        await asyncio.sleep(0.005)
    for caller in callers:
        caller.transport.close()
