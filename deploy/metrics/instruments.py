"""Counters, gauges and histograms cheap enough for a hundred of them per request, handed to prometheus-client when scraped.

prometheus-client's own take a lock and cost 0.6 µs an observation, measured; one request makes about a hundred. These belong
to one event loop, take no lock and cost 0.1 to 0.2 µs. Exposition, escaping and formats stay prometheus-client's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Count:
    """One time series of a counter or gauge: add to or set `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """One time series of a histogram over ascending upper bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Cell = TypeVar("Cell", Count, Spread)


class Family(Generic[Cell]):
    """All time series of one name. A series exists from the moment its labels are first asked for."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.cells: dict[tuple[str, ...], Cell] = {}

    def __getitem__(self, labels: str | tuple[str, ...]) -> Cell:
        key = labels if isinstance(labels, tuple) else (labels,)
        cell = self.cells.get(key)
        if cell is None:
            assert len(key) == len(self.labels), f"{self.name} has labels {self.labels}, got {key}"
            cell = self.cells[key] = self._new()
        return cell

    def clear(self) -> None:
        """Forget every series: for gauges about things that came and went."""
        self.cells.clear()

    def _new(self) -> Cell:
        raise NotImplementedError

    def collected(self) -> Metric:
        """As prometheus-client's metric."""
        raise NotImplementedError


class Counters(Family[Count]):
    def _new(self) -> Count:
        return Count()

    def collected(self) -> Metric:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, cell in self.cells.items():
            family.add_metric(labels, cell.value)
        return family


class Gauges(Family[Count]):
    def _new(self) -> Count:
        return Count()

    def collected(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, cell in self.cells.items():
            family.add_metric(labels, cell.value)
        return family


class Spreads(Family[Spread]):
    def __init__(self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        super().__init__(name, help, labels)
        self.bounds = tuple(bounds)

    def _new(self) -> Spread:
        return Spread(self.bounds)

    def collected(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for labels, cell in self.cells.items():
            family.add_metric(labels, list(zip(names, accumulate(cell.counts), strict=True)), cell.total)
        return family


class Instruments(Collector):
    """Every family of one process, in the order in which they were made."""

    def __init__(self) -> None:
        self.families: list[Family[Count] | Family[Spread]] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def counters(self, name: str, help: str, *labels: str) -> Counters:
        family = Counters(name, help, labels)
        self.families.append(family)
        return family

    def gauges(self, name: str, help: str, *labels: str) -> Gauges:
        family = Gauges(name, help, labels)
        self.families.append(family)
        return family

    def spreads(self, name: str, help: str, bounds: Sequence[float], *labels: str) -> Spreads:
        family = Spreads(name, help, labels, bounds)
        self.families.append(family)
        return family

    def collect(self) -> Iterator[Metric]:
        for family in self.families:
            yield family.collected()

    def describe(self) -> Iterable[Metric]:
        """Named without being counted: registering must not scrape."""
        return ()
