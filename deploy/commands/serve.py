"""`oskolok serve`: start the cluster, print its addresses, serve until a signal, leave nothing behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.config.sections import Config
from deploy.commands.common import ConfigOption, SetOption, configuration, err, out

if TYPE_CHECKING:
    from deploy.runtime.launcher import Launcher


def serve(config: ConfigOption = None, set: SetOption = None) -> None:
    """Start the cluster and serve until Ctrl-C.

    With ray.address = "" (the default) the cluster runs on this machine; with "auto", on the Ray cluster that this machine is
    part of. The current generation below storage.path is served; `oskolok build` publishes one.
    """
    found = configuration(config, set).config
    with running(found):
        out.print(addresses(found))
        wait_for_signal()
        err.print("stopping")


@contextmanager
def running(config: Config) -> Iterator[Launcher]:
    """A started cluster, stopped at the end whatever happens. Warns of every port that other machines can reach."""
    from deploy.runtime.launcher import Launcher

    launcher = Launcher(config, tell)
    try:
        launcher.start()
        for one in launcher.exposed():
            err.print(f"[yellow]warning:[/] {one.command} listens on {one.address}:{one.port}: other machines can reach it")
        yield launcher
    finally:
        with deaf_to_signals():
            launcher.stop()


def tell(step: str, what: str) -> None:
    """One line for each step of the start."""
    err.print(f"  {step:<10} {what}", markup=False)


def addresses(config: Config) -> str:
    """Where to go from here."""
    host = "127.0.0.1" if config.http.host in ("0.0.0.0", "::") else config.http.host
    url = f"http://{host}:{config.http.port}"
    request = """-H 'content-type: application/json' -d '{"user_id": "42", "k": 5}'"""
    return (
        f"\n  API docs   {url}/docs\n  Metrics    {url}/metrics\n  State      {url}/readyz?verbose   or: oskolok status\n"
        f"  Try        curl -s {url}/v1/recommend {request}\n  Stop       Ctrl-C\n"
    )


def wait_for_signal() -> None:
    """Return on Ctrl-C or SIGTERM."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not stop.wait(3600):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deaf_to_signals() -> Iterator[None]:
    """A second Ctrl-C does not leave half of it running."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
