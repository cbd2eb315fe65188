"""How many items of a kind a slate may have and must have: running counts while it is filled place by place.

A limit is a cap or a quota's maximum, a floor a quota's minimum. They know the candidates as positions in the line-up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from router.removal import RuleName

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Limit:
    """At most `max` with the same code, which is not 0, in the first `first` places; 0: in all of them.

    codes: (n,) of those in line.  taken: codes of what stands in the slate already.
    """

    def __init__(self, name: RuleName, codes: Codes, *, max: int, first: int, taken: Codes) -> None:
        self.name = name
        self._codes = codes
        self._max = max
        self.first = first
        self._counts: dict[int, int] = {}
        self.blocked: Mask = codes != 0 if max == 0 else np.zeros(len(codes), np.bool_)
        for code in (taken[:first] if first else taken).tolist():
            self._count(code)

    def holds_at(self, place: int) -> bool:
        return self.first == 0 or place < self.first

    def blocks(self, at: int, place: int) -> bool:
        return self.holds_at(place) and bool(self.blocked[at])

    def take(self, at: int, place: int) -> Mask | None:
        """The one at this position gets this place. Who is blocked from now on, if it was the last that may."""
        return self._count(int(self._codes[at])) if self.holds_at(place) else None

    def release(self, at: int, place: int) -> None:
        """It does not get the place after all."""
        code = int(self._codes[at])
        if code and self.holds_at(place):
            if self._counts[code] == self._max:
                self.blocked &= self._codes != code
            self._counts[code] -= 1

    def _count(self, code: int) -> Mask | None:
        if code == 0:
            return None
        count = self._counts[code] = self._counts.get(code, 0) + 1
        if count != self._max:
            return None
        full: Mask = self._codes == code
        self.blocked |= full
        return full


class Floor:
    """At least `min` members. members: (n,) of those in line.  count: of what stands in the slate already.

    places: of the whole slate. A minimum above it cannot hold, so it claims none of them: at k = 1 the best item is shown.
    """

    def __init__(self, name: RuleName, members: Mask, *, min: int, count: int, places: int) -> None:
        self.name = name
        self.members = members
        self._min = min
        self._count = count
        self._can_hold = min <= places

    @property
    def missing(self) -> int:
        return max(0, self._min - self._count)

    @property
    def claimed(self) -> int:
        """Places that it may still ask for."""
        return self.missing if self._can_hold else 0

    def take(self, at: int, place: int) -> None:
        if self.members[at]:
            self._count += 1

    def release(self, at: int, place: int) -> None:
        self._count -= bool(self.members[at])
