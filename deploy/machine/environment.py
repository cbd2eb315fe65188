"""The environment variables that Ray and Serve read when they are imported, all in one place.

They must be set before `import ray`, and every process that the local Ray starts inherits them. Pure, but for counting CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from deploy.machine.front import TIMEOUTS_S

Listen = Literal["loopback", "nodes"]
"""loopback: everything on this machine, data plane over Unix sockets only.  nodes: over TCP between machines as well."""

Front = Literal["haproxy", "serve"]
"""What accepts HTTP connections: HAProxy, or Serve's own proxy where HAProxy is not installed."""


def serve_variables(folder: Path, front: Front) -> dict[str, str]:
    """The settings of Serve. folder: short, for HAProxy's sockets."""
    variables = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.http.edge:middlewares",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # 0.1 costs 2 % of a core for nothing: routers are not rescaled
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # 5 s is too short for a busy laptop, and the proxy then starts over
    }
    if front == "haproxy":
        variables |= {
            # Both an hour by default. On nodes where `deploy/machine/front.py` does not run, a request's head has this long
            # too.
            "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(TIMEOUTS_S["client"]),
            "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(TIMEOUTS_S["server"]),
            "RAY_SERVE_HAPROXY_RETRIES": "1",  # with three, callers wait three seconds to hear that the only router is gone
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # an HAProxy that died is missed after three; by default after 30 s
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",  # the default is in /tmp, open to every user
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a log line a request; our own metrics say more
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),  # 4 on any machine otherwise
        }
    return variables


def ray_variables(listen: Listen, token_file: Path | None) -> dict[str, str]:
    """The settings of Ray. token_file: the cluster's authentication token; None leaves it to what the machine has."""
    variables = {
        "RAY_worker_niceness": "0",  # 15 by default, which starves workers beside anything else that computes
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        # One BLAS thread a process: shards are the parallelism, and BLAS threads that wait for each other on shared cores
        # cost a shard several times its own work. Ray sets this too, but after numpy has been loaded, which is too late.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if token_file is not None:
        variables["RAY_AUTH_TOKEN_PATH"] = str(token_file)
    if listen == "loopback":
        # Ray has no option to stay on 127.0.0.1: it replaces a loopback address by the machine's. This switch, made for
        # laptops whose firewall asks about every listener, makes the node's address 127.0.0.1 and all of Ray follows.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        variables["RAY_enable_metrics_collection"] = "0"  # nobody scrapes a laptop's Ray; it costs 2 % of a core
    return variables


def missing(wanted: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables to set: one that is already set stays as it is."""
    return {name: value for name, value in wanted.items() if name not in environ}


def weakened(environ: Mapping[str, str]) -> str:
    """The warning if Ray's authentication is switched off; "" if not. The switch is respected, but not silently."""
    mode = environ.get("RAY_AUTH_MODE", "token")
    if mode == "token":
        return ""
    return f"RAY_AUTH_MODE={mode} is set: whoever reaches Ray's ports can run code here; unset it to have a token asked for"
