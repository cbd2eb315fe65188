"""How long ago did a request arrive? HAProxy stamps it, and the time since then, such as the wait for a router that was gone or
stood still, counts as part of its time budget.

Clocks of two machines are not compared: a stamp from another machine is ignored, and so is an impossible one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

ARRIVED = "oskolok-arrived"
"""The header that says when HAProxy had the whole head of a request, in Unix milliseconds, and on which machine."""

_HEADER = ARRIVED.encode()
_HERE = socket.gethostname().encode()
_WAITED_MAX_S = 60.0


def waited_s(headers: Mapping[bytes, bytes], now: float | None = None, here: bytes = _HERE) -> float:
    """Seconds from the stamp to now (Unix seconds), 0 without one.

    >>> waited_s({b"oskolok-arrived": b"100250,a"}, 101.0, b"a"), waited_s({b"oskolok-arrived": b"100250,b"}, 101.0, b"a")
    (0.75, 0.0)
    """
    stamp, _, machine = headers.get(_HEADER, b"").partition(b",")
    if machine != here or not stamp.isdigit() or len(stamp) > 15:
        return 0.0
    waited = (time.time() if now is None else now) - int(stamp) / 1000
    return waited if 0 < waited <= _WAITED_MAX_S else 0.0
