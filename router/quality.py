"""How much heavy ranking the load allows: the share of `n_heavy` to ask for, adapted to how long rankers take.

The rule of Twitter's product mixer. A call within the target adds `step` to the factor, a late one takes away
step * p / (100 - p). Up and down cancel out when p of 100 calls are in time, so a factor that rests between its bounds has put
the p-th percentile of latency on the target, without any model of load. It knows neither the clock nor what a call does.

Each router has its own, not each ranker: the router decides before a query is encoded, on the latency that requests see, with
queue and transport included, and it produces /metrics and explained answers. The pool deals with a single slow ranker, since it
prefers less loaded ones; here only the percentile over the whole pool counts. Several routers on one pool see the same queues.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cluster.config.sections import HeavySection


@dataclass(frozen=True, slots=True)
class Quality:
    """factor: in [floor, 1].  up, down: what a call in time adds and a late one takes away."""

    factor: float
    floor: float
    target_ms: float
    up: float
    down: float

    @classmethod
    def of(cls, section: HeavySection) -> Quality:
        """Full quality, which is where it stays unless `adaptive`."""
        floor = min(1.0, section.n_heavy_min / section.n_heavy) if section.adaptive else 1.0
        down = section.step * section.percentile / (100 - section.percentile)
        return cls(factor=1.0, floor=floor, target_ms=section.target_ms, up=section.step, down=down)

    def after(self, took_ms: float) -> Quality:
        """The factor that has also seen this call. took_ms: infinite if it never came back."""
        moved = self.factor + self.up if took_ms <= self.target_ms else self.factor - self.down
        return replace(self, factor=min(1.0, max(self.floor, moved)))

    def of_rows(self, n_heavy: int) -> int:
        """What is left of so many rows, rounded up, so that the floor is kept."""
        return min(n_heavy, int(-(-self.factor * n_heavy // 1)))
