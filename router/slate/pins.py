"""Which items have a fixed place in a request's slate: those that the request pins, then those of the configuration."""

from __future__ import annotations

from cluster.config.slate import SlateSection
from cluster.errors import InvalidQuery
from cluster.partition import item_key
from cluster.types import Candidates
from router.request import Request


def pins_of(request: Request, section: SlateSection) -> dict[int, int]:
    """Place, from 0 -> item key. A configured pin steps back behind the request's, and is off where k ends before it.

    The request's ids are of the generation's type already (`router/planning/ids.py`). Raises InvalidQuery for the request's
    pins: a position beyond k, an item or a position that is there twice.
    """
    pins: dict[int, int] = {}
    for at, pin in enumerate(request.pins):
        if not 1 <= pin.position <= request.k:
            raise InvalidQuery(
                f"position is {pin.position}", field=f"/pins/{at}/position", allowed=f"1 to k, which is {request.k}"
            )
        key = item_key(pin.item_id)
        if pin.position - 1 in pins or key in pins.values():
            raise InvalidQuery("an item or a position is pinned twice", field=f"/pins/{at}", allowed="each once")
        pins[pin.position - 1] = key
    for fixed in section.pins:
        key = item_key(fixed.item_id)
        if fixed.position <= request.k and fixed.position - 1 not in pins and key not in pins.values():
            pins[fixed.position - 1] = key
    return pins


def refuses_pins(request: Request, candidates: Candidates) -> bool:
    """Whether an item that the request pins is not among the candidates: it may not be shown, or its owner did not answer."""
    return any(item_key(pin.item_id) not in candidates.keys for pin in request.pins)
