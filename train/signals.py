"""Everything a generation knows from the log, as of one moment. The same code makes what serves and what ranking learns from,
so the two differ in nothing but the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.config import Config
from cluster.types import UserRecord
from train import als
from train.als import Factors
from train.catalogue import Catalogue
from train.cold_items import place_cold_items
from train.confidence import confidences
from train.event_log import EventLog
from train.interactions import Interactions, interactions
from train.item_stats import Stats, item_stats
from train.tops import TopList, bought_by_window, top_lists
from train.users import UserFeatures, user_features, user_records

SPACE = "als"


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """As of `pairs.as_of`. Rows of `factors` follow the log's users and the catalogue's items."""

    log: EventLog
    catalogue: Catalogue
    pairs: Interactions
    factors: Factors
    lists: list[TopList]
    stats: Stats
    users: UserFeatures

    @property
    def summary(self) -> str:
        """In a few words."""
        return f"{len(self.lists):,} top lists, {len(self.stats)} item statistics, {len(self.users.names)} user features"

    def records(self, config: Config, generation: str, users: NDArray[np.integer] | None = None) -> Iterator[UserRecord]:
        """What the user store would hold of some users, positions in the log, or of all; strangers have no record."""
        return user_records(
            self.log,
            self.pairs,
            self.catalogue,
            users=np.arange(self.log.n_users) if users is None else users,
            generation=generation,
            vectors={SPACE: self.factors.users},
            features=self.users,
            profile=profile_attributes(config),
            section=config.users,
        )


def fit_vectors(log: EventLog, catalogue: Catalogue, config: Config, *, as_of: int, on_sweep: Callable[[int], None]) -> Factors:
    """Vectors of users and items; with the default settings a pair's confidence is its decayed count.

    On Complete Journey's next two weeks, that beat equal weights by 35 % in recall@300 and logarithmic counts by 19 %.
    """
    pairs = interactions(log, as_of=as_of, half_life_days=config.train.half_life_days)
    confidence = confidences(pairs.matrix(pairs.weights), config.train.als)
    factors = als.fit(confidence, config.train.als, seed=config.train.seed, on_sweep=on_sweep)
    items = place_cold_items(factors.items, catalogue, config.catalog.category, seed=config.train.seed)
    return Factors(factors.users, items)


def make_signals(log: EventLog, catalogue: Catalogue, factors: Factors, config: Config, *, as_of: int) -> Signals:
    """The rest of the signals, given the vectors of the same moment. Sees no event after `as_of`."""
    windows = config.sources.tops.windows_days
    pairs = interactions(log, as_of=as_of, half_life_days=config.train.half_life_days)
    bought = bought_by_window(log, as_of=as_of, windows_days=windows)
    return Signals(
        log=log,
        catalogue=catalogue,
        pairs=pairs,
        factors=factors,
        lists=top_lists(catalogue, bought, windows_days=windows, group_by=config.sources.tops.group_by),
        stats=item_stats(catalogue, pairs, bought, windows_days=windows),
        users=user_features(log, pairs, catalogue, factors.users, windows_days=windows),
    )


def profile_attributes(config: Config) -> tuple[str, ...]:
    """The attributes users have affinities for: the configured ones, and what the top lists are grouped by."""
    group_by = config.sources.tops.group_by
    named = config.train.profile
    return named if not group_by or group_by in named else (*named, group_by)


def save_factors(factors: Factors, folder: Path) -> None:
    np.save(folder / "users.npy", factors.users)
    np.save(folder / "items.npy", factors.items)


def load_factors(folder: Path) -> Factors:
    """Mapped, not read."""
    return Factors(np.load(folder / "users.npy", mmap_mode="r"), np.load(folder / "items.npy", mmap_mode="r"))
