"""The section [slate]: the rules of the final list, and their order of importance.

`router/slate/` applies the rules; `cluster/config/contradictions.py` finds those that contradict the rest of a file.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Section, key

if TYPE_CHECKING:
    from cluster.filtering import Filter

Family = Literal["pins", "explore", "caps", "quotas"]
Places = Annotated[int, Field(ge=1, le=1000)]


class Selection(Section):
    """The items of a rule: those of a source, with one of an attribute's values, or with a statistic within bounds."""

    source: str = key("", "items that this source proposed")
    attribute: str = key("", "category, categories or boolean attribute: items with any of `values`")
    values: tuple[str | bool, ...] = key((), max_length=500)
    stat: str = key("", "item statistic, such as age_days: items with a value within the bounds")
    at_least: float = key(-inf, ge=-inf, allow_inf_nan=True)
    at_most: float = key(inf, ge=-inf, allow_inf_nan=True)

    @property
    def mark(self) -> Filter | None:
        """The filter that shards evaluate for the rule, None if the router can decide by itself."""
        from cluster.filtering import Condition, Filter  # with it comes numpy, which verbs that only read a file do without

        return Filter(must=(Condition(self.attribute, "in", self.values),)) if self.attribute else None

    @property
    def what(self) -> str:
        """The selection in a word, for the names of rules in counts."""
        return self.source or self.attribute or self.stat


class Cap(Section):
    """At most `max` items per value of a category attribute, in the whole slate or in its first positions."""

    attribute: str
    max: Places
    first: int = key(0, "only in this many first positions; 0 = the whole slate", ge=0, le=1000)


class Pin(Section):
    """An item at a position, counted from 1, whenever it may be shown."""

    item_id: str | int
    position: Places


class Boost(Selection):
    """Moves items: the value of a place, 1 / log2(place + 1), is multiplied by `multiply`, then `add` is added."""

    multiply: float = key(1.0, gt=0, le=100)
    add: float = key(0.0, ge=-10, le=10)


class Quota(Selection):
    """How many positions of a slate the items take, at least and at most. min_share is of the slate, rounded up."""

    min: int = key(0, "ignored in a slate with fewer positions", ge=0, le=1000)
    min_share: Fraction = 0.0
    max: int = key(1000, ge=0, le=1000)


class New(Section):
    """Reserves the last positions for the best-ranked new items, unless as many stand higher: little data speaks for them."""

    every: int = key(20, "one position in this many, rounded; 0 = off", ge=0, le=1000)
    days: float = key(14.0, "age of a new item at most, by catalog.created_column; without it: off", gt=0, le=3650)

    def n_of(self, n_places: int) -> int:
        """How many of the positions are reserved for new items."""
        return (2 * n_places + self.every) // (2 * self.every) if self.every else 0


class Diversity(Section):
    """Prefers items unlike those before them: maximal marginal relevance or a determinantal point process on item vectors."""

    method: Literal["off", "mmr", "dpp"] = "off"
    space: str = key("als", "embedding space whose cosine measures how alike items are")
    relevance: float = key(0.7, "weight of the ranking; diversity has the rest", ge=0, lt=1)
    depth: int = key(100, "number of best candidates to diversify", ge=2, le=500)


class Explore(Selection):
    """Positions that show random items of the selection, such as cold ones; an explained answer has the propensity."""

    method: Literal["off", "thompson", "uniform"] = key("off", "thompson: by draws of each item's Beta posterior")
    positions: tuple[Places, ...] = key((), "positions of the slate, from 1", max_length=100)
    share: float = key(1.0, "probability that a position explores", gt=0, le=1)
    successes: str = key("log_clicks", "item statistic; log_… is read as ln(1 + count)")
    trials: str = key("log_views", "item statistic; log_… is read as ln(1 + count)")
    prior_successes: float = key(1.0, gt=0, le=1e6)
    prior_failures: float = key(20.0, gt=0, le=1e6)


class SlateSection(Section):
    """Business rules on the final list."""

    k_default: int = key(20, ge=1, le=1000)
    exclude_seen: bool = key(False, "never recommend what the user bought before")
    cap_by: str = key("", 'category attribute with at most `cap` items per value in a slate; "" = off; for more use caps')
    cap: Places = 3
    precedence: tuple[Family, ...] = key(
        ("pins", "caps", "quotas", "explore"), "if two rules conflict, the earlier one holds", min_length=4
    )
    caps: tuple[Cap, ...] = key((), "the most important first", max_length=16)
    pins: tuple[Pin, ...] = key((), max_length=100)
    boosts: tuple[Boost, ...] = key((), max_length=32)
    quotas: tuple[Quota, ...] = key((), "the most important first", max_length=16)
    new: New = New()
    diversity: Diversity = Diversity()
    explore: Explore = Explore()

    @cached_property
    def all_caps(self) -> tuple[Cap, ...]:
        """`cap_by` and `caps`, the most important one first."""
        return (*((Cap(attribute=self.cap_by, max=self.cap),) if self.cap_by else ()), *self.caps)

    @cached_property
    def only_cap(self) -> int:
        """`max` of the cap over the whole slate if that is the only rule, else 0."""
        others = self.pins or self.selections or self.diversity.method != "off"
        one = len(self.all_caps) == 1 and self.all_caps[0].first == 0
        return self.all_caps[0].max if one and not others else 0

    @cached_property
    def selections(self) -> tuple[Selection, ...]:
        """The selections of all rules that have one."""
        return (*self.boosts, *self.quotas, *((self.explore,) if self.explore.method != "off" else ()))

    @cached_property
    def group_by(self) -> tuple[str, ...]:
        """The attributes whose groups are counted, each once."""
        return tuple(dict.fromkeys(cap.attribute for cap in self.all_caps))

    @cached_property
    def marks(self) -> tuple[Filter, ...]:
        """The filters of the selections, each once."""
        return tuple(dict.fromkeys(mark for selection in self.selections if (mark := selection.mark) is not None))
