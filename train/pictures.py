"""What all pictures of builds and evaluations have in common. They need matplotlib, which serving and building do not."""

from __future__ import annotations

from importlib.util import find_spec


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None
