"""Fills the places of a slate from the line-up, one after the other: pins, exploration, and the best item that no rule forbids.

Limits and floors are ordered by importance. A place goes to the best item that keeps all of them. If no item does, the least
important rules in the way are ignored for this place, and that is noted. So a slate has min(k, n) places under any rules, and a
rule is broken only where every item left would break it or a more important one. The procedure is greedy: with several caps, an
earlier choice might have kept them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.config.slate import Family
from router.slate.diversity import Gains
from router.slate.limits import Floor, Limit

Mask = NDArray[np.bool_]


Constraint = Limit | Floor


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """places: that may explore.  cold: (n,) who may be tried out.  draw: place -> (n,) numbers of which the largest wins,
    None if the place does not explore this time.
    """

    places: frozenset[int]
    cold: Mask
    draw: Callable[[int], NDArray[np.float64] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """What a slate of this line-up keeps, n in line.

    of: limits and floors by family, the most important one first.  precedence: of the families.  pins: place -> position in
    line.  diverse: positions, ascending, of which `gains` says what they add to those chosen.  start: the first place.
    """

    of: Mapping[Family, Sequence[Constraint]] = field(default_factory=dict)
    precedence: tuple[Family, ...] = ("pins", "caps", "quotas", "explore")
    pins: Mapping[int, int] = field(default_factory=dict)
    exploration: Exploration | None = None
    gains: Gains | None = None
    diverse: NDArray[np.intp] | None = None
    start: int = 0

    def every(self) -> list[Constraint]:
        return self._of(self.precedence)

    def before(self, family: Family) -> list[Constraint]:
        """Those more important than the family."""
        return self._of(self.precedence[: self.precedence.index(family)])

    def after(self, family: Family) -> list[Constraint]:
        """Those of the family, and those less important than it."""
        return self._of(self.precedence[self.precedence.index(family) :])

    def _of(self, families: Sequence[Family]) -> list[Constraint]:
        return [constraint for family in families for constraint in self.of.get(family, ())]


@dataclass(slots=True, eq=False)
class Assembly:
    """picks: positions in line, in the order of places.  relaxed: position -> the limits that gave way for it.

    pinned: positions that stand at their pin.  draws: (place, chosen, otherwise, pool, explored) of each exploring place.
    missed: names of floors that were not reached.  reached: positions before this one were looked at for an ordinary place.
    """

    picks: list[int] = field(default_factory=list)
    relaxed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    draws: list[tuple[int, int, int, NDArray[np.intp], bool]] = field(default_factory=list)
    missed: tuple[str, ...] = ()
    reached: int = 0


def assemble(n: int, k: int, constraints: Constraints) -> Assembly:
    """min(k, n) of n in line."""
    return _Places(n, k, constraints).filled()


class _Places:
    def __init__(self, n: int, k: int, constraints: Constraints) -> None:
        self.constraints = constraints
        self.before_pins = constraints.before("pins")
        self.after_pins = constraints.after("pins")
        self.every = constraints.every()
        self.end = constraints.start + min(k, n)
        self.open = np.ones(n, np.bool_)
        self.waiting = {place: at for place, at in constraints.pins.items() if constraints.start <= place < self.end}
        self.local = np.full(n, -1)
        if constraints.diverse is not None:
            self.local[constraints.diverse] = np.arange(len(constraints.diverse))
        self.made = Assembly()
        self.limits = [constraint for constraint in self.every if isinstance(constraint, Limit)]
        self.floors = [constraint for constraint in self.every if isinstance(constraint, Floor)]
        self.closings = {limit.first for limit in self.limits}
        for place, at in self.waiting.items():
            self.open[at] = False
            for constraint in self.after_pins:
                constraint.take(at, place)
        self.free = self._free(constraints.start)

    def filled(self) -> Assembly:
        for place in range(self.constraints.start, self.end):
            if place in self.closings:
                self.free = self._free(place)
            pin = self.waiting.pop(place, None)
            if pin is None or not self._pinned(pin, place):
                self._fill(place)
        self.made.missed = tuple(floor.name for floor in self.floors if floor.missing)
        return self.made

    def _pinned(self, pin: int, place: int) -> bool:
        """Whether the pin gets its place: it does unless it breaks a limit that is more important."""
        if any(isinstance(constraint, Limit) and constraint.blocks(pin, place) for constraint in self.before_pins):
            self.open[pin] = True
            for constraint in self.after_pins:
                constraint.release(pin, place)
            self.free = self._free(place)
            return False
        self.made.pinned.append(pin)
        self._take(pin, place, self.before_pins)
        return True

    def _fill(self, place: int) -> None:
        at = -1 if self._pressed(place) else self._best(self.free)
        broken: tuple[str, ...] = ()
        if at < 0:
            allowed, broken = self._allowed(place, self.every)
            at = self._best(allowed)
        self.made.reached = max(self.made.reached, at + 1)
        exploration = self.constraints.exploration
        if exploration is not None and place in exploration.places:
            tried = self._tried(exploration, place, at)
            at, broken = (at, broken) if tried is None else (tried, ())
        if broken:
            self.made.relaxed[at] = broken
        self._take(at, place, self.every)

    def _take(self, at: int, place: int, constraints: Sequence[Constraint]) -> None:
        self.open[at] = self.free[at] = False
        self.made.picks.append(at)
        for constraint in constraints:
            full = constraint.take(at, place)
            if full is not None:
                self.free &= ~full
        if self.constraints.gains is not None and self.local[at] >= 0:
            self.constraints.gains.chosen(int(self.local[at]))

    def _free(self, place: int) -> Mask:
        """Who keeps every limit at this place. Kept up to date by `_take`, because few places fill a limit."""
        free = self.open.copy()
        for limit in self.limits:
            if limit.holds_at(place):
                free &= ~limit.blocked
        return free

    def _pressed(self, place: int) -> bool:
        """Whether floors may need every place that is left."""
        owed = sum([floor.claimed for floor in self.floors])
        return owed > 0 and owed >= self.end - place - len(self.waiting)

    def _best(self, allowed: Mask) -> int:
        """The allowed position that comes first or, with diversity, adds most; -1 if none is allowed."""
        gains, diverse = self.constraints.gains, self.constraints.diverse
        if gains is not None and diverse is not None:
            best = gains.best(allowed[diverse])
            if best >= 0:
                return int(diverse[best])
        first = int(allowed.argmax())
        return first if allowed[first] else -1

    def _tried(self, exploration: Exploration, place: int, otherwise: int) -> int | None:
        """The item to try out here; None if the draw says not to explore, or no item can be tried out."""
        allowed, broken = self._allowed(place, self.constraints.before("explore"))
        pool = np.flatnonzero(allowed & exploration.cold) if not broken else np.empty(0, np.intp)
        drawn = exploration.draw(place)
        tried = int(pool[drawn[pool].argmax()]) if drawn is not None and len(pool) else None
        self.made.draws.append((place, otherwise if tried is None else tried, otherwise, pool, tried is not None))
        return tried

    def _allowed(self, place: int, constraints: Sequence[Constraint]) -> tuple[Mask, tuple[str, ...]]:
        """Who may have the place, at least one, and the limits that had to give way for it."""
        allowed: Mask = self.open
        broken: list[str] = []
        left = self.end - place - len(self.waiting)
        owed, serving = 0, np.zeros(0, np.bool_)
        for constraint in constraints:
            if isinstance(constraint, Limit):
                if not constraint.holds_at(place):
                    continue
                kept = allowed & ~constraint.blocked
                if kept.any():
                    allowed = kept
                else:
                    broken.append(constraint.name)
            elif constraint.claimed:
                owed += min(constraint.claimed, int(np.count_nonzero(self.open & constraint.members)))
                serving = serving | constraint.members if len(serving) else constraint.members
                if owed >= left:
                    kept = allowed & serving
                    allowed = kept if kept.any() else allowed
        return allowed, tuple(broken)
