"""The rules of a slate, resolved for one generation: names are columns, and rules that are off are left out.

Resolved once per generation and used by every request. It holds no state and decides nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from cluster.config.slate import Diversity, Explore, Family, New, Selection, SlateSection
from cluster.errors import ConfigError, InvalidQuery
from cluster.features import LISTED_DAYS
from cluster.filtering import check_filter
from cluster.spec import GenerationSpec
from router.removal import RuleName
from router.request import Degradation
from router.slate.selection import Selected, selected_by, stat_column

_log = logging.getLogger("oskolok.router")


@dataclass(frozen=True, slots=True)
class CapRule:
    """At most `max` candidates with one value in this column of the facts among the `first` places; 0: among all."""

    name: RuleName
    column: int
    max: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """Between max(min, min_share of the slate) and max places for the selected."""

    name: RuleName
    selected: Selected
    min: int
    min_share: float
    max: int


@dataclass(frozen=True, slots=True)
class BoostRule:
    selected: Selected
    multiply: float
    add: float


@dataclass(frozen=True, slots=True)
class ExploreRule:
    """successes, trials: columns of the match features, None if every candidate is as likely."""

    selected: Selected
    section: Explore
    successes: int | None
    trials: int | None


@dataclass(frozen=True, slots=True)
class NewRule:
    """So many places for the selected as `section.n_of` says, as far as there are any."""

    name: RuleName
    selected: Selected
    section: New


@dataclass(frozen=True, slots=True)
class Rules:
    """plain: there is at most one cap, over the whole slate, and nothing else: the quick way of composing will do, if no
    candidate is new.

    Order within caps and quotas is importance.  degraded: what is said of every answer.
    """

    caps: tuple[CapRule, ...] = ()
    quotas: tuple[QuotaRule, ...] = ()
    boosts: tuple[BoostRule, ...] = ()
    diversity: Diversity | None = None
    new: NewRule | None = None
    explore: ExploreRule | None = None
    precedence: tuple[Family, ...] = ("pins", "caps", "quotas", "explore")
    plain: bool = True
    degraded: tuple[Degradation, ...] = ()

    @classmethod
    def in_force(cls, section: SlateSection, spec: GenerationSpec) -> Rules:
        """The section's rules; only its caps and pins if it is about something else that the generation does not have: that
        must not stop it from answering, and every answer says so. Raises ConfigError for a cap on such an attribute.
        """
        try:
            return cls.of(section, spec)
        except ConfigError as error:
            _log.error("%s: only caps and pins hold", error)
            return replace(cls.of(_caps_only(section), spec), degraded=("slate_rule_skipped",))

    @classmethod
    def of(cls, section: SlateSection, spec: GenerationSpec) -> Rules:
        """Raises ConfigError for a rule about something that the generation does not have."""
        _check_attributes(section, spec)
        caps = tuple(
            CapRule(
                RuleName(f"cap.{cap.attribute}{f'.first_{cap.first}' if cap.first else ''}"),
                section.group_by.index(cap.attribute),
                cap.max,
                cap.first,
            )
            for cap in section.all_caps
        )
        quotas = tuple(
            QuotaRule(RuleName(f"quota.{q.what}"), selected_by(q, section, spec), q.min, q.min_share, q.max)
            for q in section.quotas
        )
        boosts = tuple(BoostRule(selected_by(b, section, spec), b.multiply, b.add) for b in section.boosts)
        diversity = section.diversity if section.diversity.method != "off" else None
        if diversity is not None and spec.space(diversity.space) is None:
            has = ", ".join(space.name for space in spec.spaces) or "none"
            raise ConfigError(f"slate: generation {spec.id} has no space {diversity.space!r}, it has {has}")
        explore = _explore(section, spec)
        one_cap = len(caps) == 0 or (len(caps) == 1 and caps[0].first == 0)
        plain = one_cap and not (quotas or boosts or diversity or explore)
        return cls(caps, quotas, boosts, diversity, _new(section, spec), explore, section.precedence, plain)


def _check_attributes(section: SlateSection, spec: GenerationSpec) -> None:
    for name in section.group_by:
        attribute = spec.attribute(name)
        if attribute is None or attribute.kind != "category":
            has = ", ".join(a.name for a in spec.attributes if a.kind == "category") or "none"
            raise ConfigError(f"slate: generation {spec.id} has no category attribute {name!r}, it has {has}")
    for mark in section.marks:
        try:
            check_filter(mark, spec)
        except InvalidQuery as error:
            raise ConfigError(f"slate: generation {spec.id}: {error.message}") from None


def _caps_only(section: SlateSection) -> SlateSection:
    return SlateSection(cap_by=section.cap_by, cap=section.cap, caps=section.caps, precedence=section.precedence)


def _new(section: SlateSection, spec: GenerationSpec) -> NewRule | None:
    """None if the rule is off, or the generation has no listing dates."""
    if not section.new.every or f"stat.{LISTED_DAYS}" not in spec.features.match:
        return None
    lately = Selection(stat=LISTED_DAYS, at_least=0.0, at_most=section.new.days)  # -1: not listed yet
    return NewRule(RuleName("quota.new"), selected_by(lately, section, spec), section.new)


def _explore(section: SlateSection, spec: GenerationSpec) -> ExploreRule | None:
    explore = section.explore
    if explore.method == "off":
        return None
    selected = selected_by(explore, section, spec)
    if explore.method == "uniform":
        return ExploreRule(selected, explore, None, None)
    return ExploreRule(selected, explore, stat_column(explore.successes, spec), stat_column(explore.trials, spec))
