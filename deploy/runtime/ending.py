"""Ends a cluster in the Ray that this process is part of: the application in Serve, and the supervisor with its actors.

A Ray cluster that was joined may run other applications in the same Serve: those stay.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

STOP_TIMEOUT_S = 15.0
"""For what Serve still answers; it would take longer only if its controller has died."""


def end_application() -> None:
    """Take our application out of Serve, and end Serve if that was its last."""
    from ray import serve

    from deploy.runtime.serving import APPLICATION

    def end() -> None:
        with contextlib.suppress(Exception):  # somebody else ends it too, or Serve is gone already
            if set(serve.status().applications) - {APPLICATION}:
                serve.delete(APPLICATION)
            else:
                serve.shutdown()

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(STOP_TIMEOUT_S)


def end_supervisor(ray: Any, supervisor: Any) -> None:
    """The supervisor ends its actors, then it is ended, though it may be between two lives."""
    with contextlib.suppress(Exception):
        ray.get(supervisor.stop.remote(), timeout=5)
    with contextlib.suppress(Exception):
        ray.kill(supervisor)
