"""Keeps Python's garbage collector out of the way of requests.

A process that has loaded what it serves holds a few hundred thousand objects that live as long as it does. Collections would
walk them again and again, up to 50 ms at a time, to find next to nothing: what a request makes is freed by counting.
"""

from __future__ import annotations

import gc

_YOUNG_MAX = 20_000  # objects made and not yet freed; 700 by default, which a few requests reach


def settle() -> None:
    """What is alive now is here to stay: never look at it again, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, 20, 20)
