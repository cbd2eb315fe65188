"""From a hydrated request to the one query that all shards get: which sources, how many hits each, what to leave out.

Pure. Budgets are totals for the request; each shard is asked for its certified part of them (`router/planning/certificate.py`).
It knows neither shards nor their health, and checks a filter no further than the shards do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from types import MappingProxyType

import numpy as np

from cluster.config.sections import Config, MergeSection
from cluster.config.sources import PLAYLIST, TopsSource
from cluster.ranking import ranking_of
from cluster.spec import GenerationSpec
from cluster.types import NO_KEYS, Affinity, Ask, Floats, Keys, Query, Seeds, UserRecord
from router.planning.certificate import rows_per_shard
from router.planning.named import named_by, unique
from router.planning.offers import Lists, Offer, Offers
from router.planning.setup import Setup
from router.planning.taste import seed_sets, usable_vectors, without_excluded
from router.request import Degradation, Request
from router.slate.pins import pins_of
from router.users.user_tower import UserTower, with_tower

_FEATURE_SEEDS = ("history", "basket")  # what the match features are made from, whoever is asked


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to ask and what to make of the replies.

    budgets: the global k of each of the query's asks, aligned with them.  floors: what each may shrink to, aligned.
    n_candidates: how many the merge lets through.  rank_constant, weights: how much the ranks of each count in the merge;
    weights are aligned, all alike if empty.  pins: place from 0 -> item key.
    """

    query: Query
    budgets: tuple[int, ...]
    floors: tuple[int, ...]
    n_candidates: int
    rank_constant: float
    degraded: tuple[Degradation, ...] = ()
    pins: Mapping[int, int] = field(default_factory=dict)
    weights: tuple[float, ...] = ()

    @property
    def sources(self) -> list[str]:
        """Those that are asked, in the order of the query."""
        return [ask.source for ask in self.query.asks]

    def covering(self, ratio: float) -> Plan:
        """The plan for that share of the catalogue, when the rest did not answer.

        A top-k of everything has about ratio * k members there. Wanting those, and not k of them, keeps the answer what it
        was but for the missing part, and spares the shards that are left a second call from nearly every request.
        """
        if ratio == 1:
            return self
        budgets = tuple(max(floor, ceil(k * ratio)) for k, floor in zip(self.budgets, self.floors, strict=True))
        return replace(self, budgets=budgets)

    def in_full(self) -> Query:
        """The query for a shard that the certificate found wanting: each source's whole budget from it alone."""
        return replace(self.query, asks=_with_k(self.query.asks, self.budgets))


def plan(
    request: Request,
    record: UserRecord | None,
    setup: Setup,
    *,
    tower: UserTower | None = None,
    session: Mapping[str, Floats] = MappingProxyType({}),
) -> Plan:
    """The plan for a user the store knows (`record`) or not (None). tower: the generation's, if it has one and it is loaded.
    session: by space, where the session puts somebody of whom the store has no vector (`router/planning/session.py`).

    Some source that promises min(k, eligible) is asked for `demand(k)` or more, whatever the configured budgets are, so
    that neither a small budget nor a narrow filter makes a short slate.
    Raises InvalidQuery as `pins_of` does.
    """
    spec, config, offers = setup.spec, setup.config, setup.offers
    items = named_by(request, spec)
    seeds = seed_sets(record, items, half_weight_items=config.sources.viewed.half_weight_items)
    vectors = with_tower({**session, **usable_vectors(record, offers.dims)}, tower, seeds, record)
    seen = record.history.keys if record is not None and config.slate.exclude_seen else NO_KEYS
    exclude = unique(items.excluded, items.basket, seen)
    profile = record.profile if record is not None else {}

    wants = _top_lists(offers, config.sources.tops, vectors, profile)
    named, unknown = _named_lists(offers, request.playlists)
    wants += named
    wants += [_Want(offer, offer.k) for offer in offers.searches if offer.source.space in vectors]
    wants += _seeds(offers, seeds, exclude)
    wants += [_Want(offer, offer.k) for offer in offers.item_lists if offer.source.seeds in seeds]
    wants += [_Want(offer, offer.k) for offer in offers.quorums if spec.quorum in profile]
    pins = pins_of(request, config.slate) if request.pins or config.slate.pins else {}
    pinned = np.array(list(pins.values()), np.int64)
    needed = min(demand(request.k), spec.n_items)
    budgets = _budgets(wants, needed, spec.n_items)

    n_shards, p = spec.n_shards, config.merge.exact_probability
    query = Query(
        generation=spec.id,
        asks=tuple(
            [Ask(w.offer.source.name, rows_per_shard(k, n_shards, p), w.lists) for w, k in zip(wants, budgets, strict=True)]
        ),
        filter=request.filter,
        exclude=exclude,
        vectors=vectors,
        seeds=_read(seeds, wants),
        profile=profile,
        group_by=config.slate.group_by,
        marks=config.slate.marks,
        include=unique(pinned),
        named=unique(items.excluded, items.basket, items.viewed, *([pinned] if request.pins else [])),
        cap=_pushed_cap(wants, spec, config) if config.slate.group_by and len(wants) == 1 and not pins else 0,
    )
    return Plan(
        query,
        budgets=budgets,
        floors=tuple([min(k, needed) if w.offer.source.promises_k else 0 for w, k in zip(wants, budgets, strict=True)]),
        n_candidates=max(config.merge.n_light, demand(request.k)),
        rank_constant=config.merge.rrf_rank_constant,
        degraded=_degraded(offers, wants, vectors, record, unknown=unknown),
        pins=pins,
        weights=_weights(wants, config.merge, by_session=bool(session)),
    )


def deeper(plan: Plan, spec: GenerationSpec, known: Keys, *, shortage: int) -> Plan:
    """A second plan, for `shortage` items beyond the `known` ones: the sources that promise k, every shard in full."""
    asks = tuple(a for a in plan.query.asks if (s := spec.source(a.source)) is not None and s.promises_k)
    budgets = (demand(shortage),) * len(asks)
    query = replace(plan.query, asks=_with_k(asks, budgets), exclude=unique(plan.query.exclude, known), cap=0)
    return Plan(query, budgets, budgets, demand(shortage), plan.rank_constant)


def _pushed_cap(wants: list[_Want], spec: GenerationSpec, config: Config) -> int:
    """The slate's cap, if shards can keep it exactly: it is all that the slate does to the list of one exact source.

    Then the slate is made of the best of all eligible items under the cap, not only of those that the budget let through.
    """
    as_merged = ranking_of(spec, config.ranker).stage == "merged"
    return config.slate.only_cap if wants[0].offer.source.exact and as_merged else 0


def demand(k: int) -> int:
    """How many candidates a slate of k draws from at least: caps and items gone out of stock need a reserve."""
    return k + max(10, k // 2)


@dataclass(slots=True)
class _Want:
    """An offer that this request can make use of, and how much of it."""

    offer: Offer
    k: int
    lists: Lists = ()


def _top_lists(
    offers: Offers, config: TopsSource, vectors: Mapping[str, Floats], profile: Mapping[str, Affinity]
) -> list[_Want]:
    """The global lists at weight 1 and the lists of the user's strongest groups at the user's affinity to each.

    What a space would have proposed in which the user has no vector comes from the lists that the configuration names instead.
    """
    groups = _strongest(profile.get(config.group_by), config.groups_per_user)
    wants = []
    for offer in offers.tops:
        found = offer.by_value
        lists = offer.lists + tuple([(name, weight) for weight, value in groups for name in found.get(value, ())])
        if lists:
            wants.append(_Want(offer, offer.k, lists))
    orphaned = sum([offer.k for offer in offers.searches if offer.source.space not in vectors])
    if orphaned:
        heirs = [want for want in wants if want.offer.fills_in]
        for want in heirs:
            want.k += ceil(orphaned / len(heirs))
    return wants


def _strongest(affinity: Affinity | None, n_max: int) -> list[tuple[float, str]]:
    """(weight, value) of the strongest, of equal ones the smaller value."""
    if affinity is None or not n_max:
        return []
    groups = list(zip(affinity.weights.tolist(), affinity.values, strict=True))
    groups.sort(key=lambda group: (-group[0], group[1]))
    return groups[:n_max]


def _named_lists(offers: Offers, playlists: tuple[str, ...]) -> tuple[list[_Want], bool]:
    """The playlists that the request names, and whether one of them is not there."""
    if not playlists:
        return [], False
    names = [f"{PLAYLIST}/{name}" for name in dict.fromkeys(playlists)]
    lists = tuple([(name, 1.0) for name in names if name in offers.playlists])
    return [_Want(offer, offer.k, lists) for offer in offers.named if lists], len(lists) < len(names)


def _weights(wants: list[_Want], section: MergeSection, *, by_session: bool) -> tuple[float, ...]:
    """How much each counts in the merge, all alike if empty. by_session: what the session says must not drown in what everybody
    buys, of which there are many lists.
    """
    if not section.weights and not by_session:
        return ()
    own, popular = (section.session_weights, section.session_tops) if by_session else ({}, 1.0)
    return tuple(
        [
            own.get(name, section.weights.get(name, 1.0) * (popular if want.offer.source.kind == "tops" else 1.0))
            for want in wants
            for name in [want.offer.source.name]
        ]
    )


def _seeds(offers: Offers, seeds: Mapping[str, Seeds], exclude: Keys) -> list[_Want]:
    """The seeds themselves, as far as they may be proposed."""
    wants = []
    for offer in offers.seeds:
        mine = seeds.get(offer.source.seeds)
        if mine is not None and (k := min(offer.k, without_excluded(mine, exclude))):
            wants.append(_Want(offer, k))
    return wants


def _read(seeds: Mapping[str, Seeds], wants: list[_Want]) -> dict[str, Seeds]:
    """The seed sets that a source or a feature reads; others are not sent."""
    asked = {want.offer.source.seeds for want in wants}
    return {name: mine for name, mine in seeds.items() if name in asked or name in _FEATURE_SEEDS}


def _budgets(wants: list[_Want], needed: int, n_items: int) -> tuple[int, ...]:
    """The budgets, with the largest among those that promise k raised to `needed`, and none above the catalogue."""
    promising = [want for want in wants if want.offer.source.promises_k]
    if promising:
        largest = max(promising, key=lambda want: want.k)
        largest.k = max(largest.k, needed)
    return tuple([min(want.k, n_items) for want in wants])


def _with_k(asks: tuple[Ask, ...], budgets: tuple[int, ...]) -> tuple[Ask, ...]:
    return tuple(replace(ask, k=k) for ask, k in zip(asks, budgets, strict=True))


def _degraded(
    offers: Offers, wants: list[_Want], vectors: Mapping[str, Floats], record: UserRecord | None, *, unknown: bool
) -> tuple[Degradation, ...]:
    reasons: list[Degradation] = ["unknown_playlist"] if unknown else []
    if not wants:
        reasons.append("no_source")
    elif offers.searches and record is not None and not any(o.source.space in vectors for o in offers.searches):
        reasons.append("no_user_vector")
    return tuple(reasons)
