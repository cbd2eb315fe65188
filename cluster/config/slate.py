"""The slate's part of the configuration: which rules the final list keeps, in which order of importance.

What the rules do is `router/slate/`'s business; what contradicts the rest of a file, `cluster/config/contradictions.py`'s.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Section

if TYPE_CHECKING:
    from cluster.filtering import Filter

Family = Literal["pins", "explore", "caps", "quotas"]
Places = Annotated[int, Field(ge=1, le=1000)]


class Selection(Section):
    """Which items a rule is about: of one source, with one of an attribute's values, or with a statistic within bounds."""

    source: Annotated[str, Field(description="items this source proposed")] = ""
    attribute: Annotated[str, Field(description="category, categories or boolean attribute: items with any of `values`")] = ""
    values: Annotated[tuple[str | bool, ...], Field(max_length=500)] = ()
    stat: Annotated[str, Field(description="item statistic, such as age_days: items with one between the bounds")] = ""
    at_least: Annotated[float, Field(ge=-inf, allow_inf_nan=True)] = -inf
    at_most: Annotated[float, Field(ge=-inf, allow_inf_nan=True)] = inf

    @property
    def mark(self) -> Filter | None:
        """The filter that a shard is asked about, None if the router can tell by itself."""
        from cluster.filtering import Condition, Filter  # with it comes numpy, which verbs that only read a file do without

        return Filter(must=(Condition(self.attribute, "in", self.values),)) if self.attribute else None

    @property
    def what(self) -> str:
        """The selection in a word, as it names a rule in counts."""
        return self.source or self.attribute or self.stat


class Cap(Section):
    """At most `max` items of one value of a category attribute, in the whole slate or in its first places."""

    attribute: str
    max: Places
    first: Annotated[int, Field(ge=0, le=1000, description="within this many first places; 0 = the whole slate")] = 0


class Pin(Section):
    """An item at a place, counted from 1, whenever it may be shown."""

    item_id: str | int
    position: Places


class Boost(Selection):
    """Moves items: the value of a place is 1 / log2(place + 1); it is multiplied, then added to."""

    multiply: Annotated[float, Field(gt=0, le=100)] = 1.0
    add: Annotated[float, Field(ge=-10, le=10)] = 0.0


class Quota(Selection):
    """How many places of a slate such items have, at least and at most. min_share is of the slate, rounded up."""

    min: Annotated[int, Field(ge=0, le=1000, description="a slate with fewer places than this is made without it")] = 0
    min_share: Fraction = 0.0
    max: Annotated[int, Field(ge=0, le=1000)] = 1000


class New(Section):
    """New items have little that speaks for them: the best-ranked of them get the last places, unless better ones have them."""

    every: Annotated[int, Field(ge=0, le=1000, description="one place of so many, rounded; 0 = off")] = 20
    days: Annotated[float, Field(gt=0, le=3650, description="listed so lately, by catalog.created_column; without it: off")] = (
        14.0
    )

    def n_of(self, n_places: int) -> int:
        """How many of the places are theirs."""
        return (2 * n_places + self.every) // (2 * self.every) if self.every else 0


class Diversity(Section):
    """Items unlike those before them: maximal marginal relevance or a determinantal point process over item vectors."""

    method: Literal["off", "mmr", "dpp"] = "off"
    space: Annotated[str, Field(description="embedding space whose cosine says how alike items are")] = "als"
    relevance: Annotated[float, Field(ge=0, lt=1, description="weight of the ranking; the rest is diversity's")] = 0.7
    depth: Annotated[int, Field(ge=2, le=500, description="the best this many are diversified")] = 100


class Explore(Selection):
    """Places that try out items of the selection, such as cold ones, at random; the propensity is in an explained answer."""

    method: Annotated[
        Literal["off", "thompson", "uniform"], Field(description="thompson: by draws of each item's Beta posterior")
    ] = "off"
    positions: Annotated[tuple[Places, ...], Field(max_length=100, description="places of the slate, from 1")] = ()
    share: Annotated[float, Field(gt=0, le=1, description="with this probability a place explores")] = 1.0
    successes: Annotated[str, Field(description="item statistic; log_… is read as ln(1 + count)")] = "log_clicks"
    trials: Annotated[str, Field(description="item statistic; log_… is read as ln(1 + count)")] = "log_views"
    prior_successes: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    prior_failures: Annotated[float, Field(gt=0, le=1e6)] = 20.0


class SlateSection(Section):
    """Business rules on the final list."""

    k_default: Annotated[int, Field(ge=1, le=1000)] = 20
    exclude_seen: Annotated[bool, Field(description="never recommend what the user bought before")] = False
    cap_by: Annotated[
        str, Field(description='category attribute with at most `cap` items of a value in a slate; "" = off, more: caps')
    ] = ""
    cap: Places = 3
    precedence: Annotated[
        tuple[Family, ...], Field(description="where two rules cannot both hold, the earlier one does", min_length=4)
    ] = ("pins", "caps", "quotas", "explore")
    caps: Annotated[tuple[Cap, ...], Field(max_length=16, description="the most important one first")] = ()
    pins: Annotated[tuple[Pin, ...], Field(max_length=100)] = ()
    boosts: Annotated[tuple[Boost, ...], Field(max_length=32)] = ()
    quotas: Annotated[tuple[Quota, ...], Field(max_length=16, description="the most important one first")] = ()
    new: New = New()
    diversity: Diversity = Diversity()
    explore: Explore = Explore()

    @cached_property
    def all_caps(self) -> tuple[Cap, ...]:
        """`cap_by` and `caps`, the most important one first."""
        return (*((Cap(attribute=self.cap_by, max=self.cap),) if self.cap_by else ()), *self.caps)

    @cached_property
    def only_cap(self) -> int:
        """The one cap over the whole slate, if there is no rule but it; else 0."""
        others = self.pins or self.selections or self.diversity.method != "off"
        one = len(self.all_caps) == 1 and self.all_caps[0].first == 0
        return self.all_caps[0].max if one and not others else 0

    @cached_property
    def selections(self) -> tuple[Selection, ...]:
        """Of every rule that has one."""
        return (*self.boosts, *self.quotas, *((self.explore,) if self.explore.method != "off" else ()))

    @cached_property
    def group_by(self) -> tuple[str, ...]:
        """The attributes whose groups are counted, each once."""
        return tuple(dict.fromkeys(cap.attribute for cap in self.all_caps))

    @cached_property
    def marks(self) -> tuple[Filter, ...]:
        """The filters of the selections, each once."""
        return tuple(dict.fromkeys(mark for selection in self.selections if (mark := selection.mark) is not None))
