"""Static top lists: items by popularity, by rate and by freshness, over windows of days, of everything and of each segment.

    purchases      the share of what was bought in the window
    clicks         the share of the clicks in the window
    ctr            clicks / views
    pctr           the same drawn towards the segment's typical rate, by a Beta prior fitted to it (`rates`)
    weighted_ctr   clicks / views, each event counting by its weight and halved every half window
    weighted_pctr  the same drawn towards the segment's typical rate
    new            2^(−age / window): since created_at or, lacking that, since the item's first event
    rising         purchases in the window over those in the window before, each with a gamma prior's events added (`rates`)

A list holds every item of its segment, even items without events, so a global list can always fill k places. Such an item has
the typical score where scores are smoothed, and 0 elsewhere. Lists cover the whole catalogue; the partition later gives each
shard its own items. The router chooses the lists for a user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config.sections import EventsSection
from cluster.config.sources import TOPS_KINDS, TopsKind
from cluster.errors import ConfigError
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventKind, EventLog, half_life_decay
from train.lists.item_counts import Doubles, Exposure, WindowCounts, count_windows, first_seen
from train.lists.rates import beta_prior, growth, growth_prior, rate

_Rows = NDArray[np.int32]

_NEEDS: dict[TopsKind, tuple[EventKind, ...]] = {
    "purchases": ("purchase",),
    "clicks": ("click",),
    "ctr": ("view", "click"),
    "pctr": ("view", "click"),
    "weighted_ctr": ("view", "click"),
    "weighted_pctr": ("view", "click"),
    "new": (),
    "rising": ("purchase",),
}


@dataclass(frozen=True, slots=True, eq=False)
class TopList:
    """rows: (h,) int32 rows of the catalogue, ascending.  scores: (h,) float32, aligned, finite, >= 0."""

    name: str
    rows: _Rows
    scores: NDArray[np.float32]


def possible_kinds(log: EventLog, section: EventsSection, *, asked: Sequence[TopsKind] = ()) -> tuple[TopsKind, ...]:
    """The kinds of list this log has the events for, among `asked` or, if that is empty, among all.

    Raises ConfigError when an asked one is not possible, naming the column or the event types that are missing. What the
    log has is asked of the whole of it, so that a view as of an earlier moment has the same lists.
    """
    present = log.count_by_kind()
    possible, problems = [], []
    for kind in asked or TOPS_KINDS:
        missing = [event for event in _NEEDS[kind] if event not in present]
        if not missing:
            possible.append(kind)
        elif asked and not section.type_column:
            problems.append(f"{kind} needs {_plural(missing)}, and events.type_column names no column that tells them apart")
        elif asked:
            mapped = ", ".join(f"events.{event}_types" for event in missing)
            problems.append(f"{kind} needs {_plural(missing)}, and column {section.type_column!r} has no value of {mapped}")
    if problems:
        raise ConfigError("\n".join(f"sources.tops.kinds: {problem}" for problem in problems))
    return tuple(possible)


def make_tops(
    log: EventLog,
    catalogue: Catalogue,
    *,
    as_of: int,
    kinds: Sequence[TopsKind],
    windows_days: Sequence[int],
    group_by: str,
) -> list[TopList]:
    """For each kind and window a global list, `<kind>/<days>d`, and one per value, `<kind>/<days>d/<attribute>=<value>`.

    kinds: as `possible_kinds` gives them.  group_by: a category or categories attribute, "" for global lists only.
    """
    everything = np.arange(len(catalogue), dtype=np.int32)
    groups = list(_groups(catalogue, group_by)) if group_by else []
    counts = count_windows(log, as_of=as_of, windows_days=windows_days)
    ages = (as_of - first_seen(log, catalogue, as_of=as_of)) / DAY_S if "new" in kinds else np.empty(0)
    lists: list[TopList] = []
    for kind in kinds:
        for days, window in zip(windows_days, counts, strict=True):
            score, name = _score(kind, window, ages, days), f"{kind}/{days}d"
            segments = [(name, everything), *((f"{name}/{group_by}={value}", rows) for value, rows in groups)]
            lists.extend(TopList(segment, rows, score(rows).astype(np.float32)) for segment, rows in segments)
    return lists


def bought_by_window(log: EventLog, *, as_of: int, windows_days: Sequence[int]) -> NDArray[np.float64]:
    """What was bought of each item in the days before `as_of`, as a sum of event weights: (n_windows, n_items) float64."""
    bought = np.zeros((len(windows_days), log.n_items))
    for at, days in enumerate(windows_days):
        for chunk in log.as_of(as_of).since(as_of - days * DAY_S).chunks():
            bought[at] += np.bincount(chunk.items, chunk.weights, minlength=log.n_items)
    return bought


def _score(kind: TopsKind, window: WindowCounts, ages: Doubles, days: int) -> Callable[[_Rows], Doubles]:
    """What scores the rows of a segment by a kind; shares, priors and growth are those of the segment.

    ages: (n_items,) days since the item is there, NaN if it is not; read for "new" only.
    """
    match kind:
        case "purchases":
            return lambda rows: _shares(window.bought[rows])
        case "clicks":
            return lambda rows: _shares(window.n_clicked[rows])
        case "ctr":
            return _observed(window.exposure())
        case "pctr":
            return _smoothed(window.exposure())
        case "weighted_ctr":
            return _observed(window.weighted_exposure())
        case "weighted_pctr":
            return _smoothed(window.weighted_exposure())
        case "new":
            fresh = np.where(np.isnan(ages), 0.0, half_life_decay(ages, days))
            return lambda rows: fresh[rows]
        case "rising":
            overall = growth_prior(window.n_bought, window.n_bought_before)
            return lambda rows: growth(window.n_bought[rows], window.n_bought_before[rows], overall)


def _observed(exposure: Exposure) -> Callable[[_Rows], Doubles]:
    rates = rate(exposure.clicked, exposure.shown)
    return lambda rows: rates[rows]


def _smoothed(exposure: Exposure) -> Callable[[_Rows], Doubles]:
    whole = beta_prior(exposure.clicked, exposure.shown)

    def score(rows: _Rows) -> Doubles:
        clicked, shown = exposure.clicked[rows], exposure.shown[rows]
        return beta_prior(clicked, shown, fallback=whole).smoothed(clicked, shown)

    return score


def _shares(counts: Doubles) -> Doubles:
    """The counts as shares of their sum; zeros if that is zero."""
    return counts / max(float(counts.sum()), np.finfo(np.float64).tiny)


def _groups(catalogue: Catalogue, attribute: str) -> Iterator[tuple[str, _Rows]]:
    """Each value of the attribute and the rows that have it, ascending and unique."""
    rows, codes, values = catalogue.members(attribute)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(values) + 1))
    for at, value in enumerate(values):
        yield value, np.unique(rows[order[bounds[at] : bounds[at + 1]]]).astype(np.int32)


def _plural(events: Sequence[EventKind]) -> str:
    return " and ".join(f"{event}s" for event in events)
