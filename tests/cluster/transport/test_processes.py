"""A server in a process of its own that is killed, frozen and restarted; and a server on a thread."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cluster.deadline import Deadline
from cluster.errors import ConfigError, ConnectionLost, DeadlineExceeded
from cluster.topology import Address
from cluster.transport.server_thread import ServerThread
from tests.cluster.served import ECHO, HOLD, LIMITS, NODE, SECRET, Puppet, channel_to, run, socket_folder, soon, until


@contextlib.contextmanager
def echo_process(path: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.cluster.transport.echo_process", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == process.pid
            yield process
        finally:
            process.kill()


def test_sigkill_fails_the_calls_in_flight_at_once_and_a_restart_is_found_by_itself() -> None:
    async def check() -> None:
        with socket_folder() as folder:
            path = f"{folder}/s.sock"
            with echo_process(path) as process:
                async with channel_to(Address(NODE, "", 0, path)) as channel:
                    held = [channel.call(HOLD, b"", soon(10_000), bytes) for _ in range(20)]
                    assert await channel.call(ECHO, b"alive", soon(), bytes) == b"alive"
                    process.send_signal(signal.SIGKILL)
                    began = time.monotonic()
                    outcomes = await asyncio.gather(*held, return_exceptions=True)
                    assert {type(outcome) for outcome in outcomes} == {ConnectionLost}
                    assert time.monotonic() - began < 2
                    with pytest.raises(ConnectionLost, match=r"cannot connect|lost the connection"):
                        await channel.call(ECHO, b"", soon(), bytes)
                    process.wait()
                    with echo_process(path):  # binds over the socket that its dead predecessor left
                        assert await channel.wait_connected(5)
                        assert await channel.call(ECHO, b"back", soon(), bytes) == b"back"

    run(check())


def test_a_frozen_server_costs_callers_their_deadline_and_nothing_more() -> None:
    async def check() -> None:
        with socket_folder() as folder, echo_process(f"{folder}/s.sock") as process:
            async with channel_to(Address(NODE, "", 0, f"{folder}/s.sock")) as channel:
                process.send_signal(signal.SIGSTOP)
                began = time.monotonic()
                with pytest.raises(DeadlineExceeded):
                    await channel.call(ECHO, b"", Deadline.after_ms(60), bytes)
                assert time.monotonic() - began < 1.5
                assert (channel.connected, channel.in_flight, channel.load) == (True, 0, 1)
                process.send_signal(signal.SIGCONT)
                assert await channel.call(ECHO, b"thawed", soon(), bytes) == b"thawed"

    run(check())


def test_a_server_on_a_thread_answers_and_stops() -> None:
    with socket_folder() as folder:
        path = f"{folder}/s.sock"
        host = ServerThread(Puppet(), secret=SECRET, limits=LIMITS)
        port = host.start(unix_path=path, host="127.0.0.1")

        async def check() -> None:
            for address in (Address(NODE, "127.0.0.1", port, path), Address("elsewhere", "127.0.0.1", port, path)):
                async with channel_to(address) as channel:
                    assert await channel.call(ECHO, b"hello", soon(), bytes) == b"hello"

        run(check())
        host.stop()
        host.stop()
        assert not any(thread.name == "data-plane" for thread in threading.enumerate())


def test_stopping_a_thread_lets_calls_in_flight_finish() -> None:
    def slow(calls) -> None:
        for call in calls:
            time.sleep(0.05)
            call.reply(b"finished")

    with socket_folder() as folder:
        path = f"{folder}/s.sock"
        host = ServerThread(slow, secret=SECRET, limits=LIMITS)
        host.start(unix_path=path)

        async def check() -> None:
            async with channel_to(Address(NODE, "", 0, path)) as channel:
                future = channel.call(ECHO, b"", soon(), bytes)
                await asyncio.sleep(0.02)
                stopping = asyncio.get_running_loop().run_in_executor(None, host.stop)
                assert await future == b"finished"
                await stopping
                await until(lambda: not channel.connected)

        run(check())


def test_what_keeps_a_thread_from_listening_is_raised_where_it_was_started() -> None:
    with socket_folder() as folder:
        host = ServerThread(Puppet(), secret=SECRET, limits=LIMITS)
        with pytest.raises(ConfigError, match="unix socket path has"):
            host.start(unix_path=f"{folder}/{'x' * 108}")
        host.stop()
    ServerThread(Puppet(), secret=SECRET, limits=LIMITS).stop()
