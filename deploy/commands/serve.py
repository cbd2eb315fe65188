"""`oskolok serve`: start the cluster, print its addresses, serve until a signal, leave nothing behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.config.sections import Config
from deploy.client import local_url
from deploy.commands import options
from deploy.commands.common import configuration, err, out

if TYPE_CHECKING:
    from deploy.runtime.launcher import Launcher


def serve(config: options.ConfigFile = None, set: options.Set = None) -> None:
    """Start the cluster and serve until Ctrl-C.

    With ray.address = "" (the default) the cluster runs on this machine; with "auto", on the Ray cluster that this machine is
    part of. The current generation below storage.path is served; `oskolok build` publishes one.
    """
    loaded = configuration(config, set).config
    with running(loaded):
        out.print(addresses(loaded))
        wait_for_signal()
        err.print("stopping")


@contextmanager
def running(config: Config) -> Iterator[Launcher]:
    """A started cluster, stopped at the end whatever happens. Warns of every port that other machines can reach."""
    from deploy.runtime.launcher import Launcher

    launcher = Launcher(config, tell)
    try:
        launcher.start()
        for listener in launcher.exposed():
            where = f"{listener.address}:{listener.port}"
            err.print(f"[yellow]warning:[/] {listener.command} listens on {where}: other machines can reach it")
        yield launcher
    finally:
        with handling_signals(signal.SIG_IGN):  # a second Ctrl-C does not leave half of it running
            launcher.stop()


def tell(step: str, what: str) -> None:
    """One line for each step of the start."""
    err.print(f"  {step:<10} {what}", markup=False)


def addresses(config: Config) -> str:
    """Where to go from here."""
    url = local_url(config.http)
    request = """-H 'content-type: application/json' -d '{"user_id": "42", "k": 5}'"""
    return (
        f"\n  API docs   {url}/docs\n  Metrics    {url}/metrics\n  State      {url}/readyz?verbose   or: oskolok status\n"
        f"  Try        curl -s {url}/v1/recommend {request}\n  Stop       Ctrl-C\n"
    )


def wait_for_signal() -> None:
    """Return on Ctrl-C or SIGTERM."""
    stop = threading.Event()
    with handling_signals(lambda *_: stop.set()):
        while not stop.wait(3600):
            pass


@contextmanager
def handling_signals(handler: Callable[..., None] | signal.Handlers) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to this handler meanwhile."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
