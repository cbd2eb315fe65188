"""From a hydrated request to the one query that all shards get: which sources, how many hits each, what to leave out.

Pure. Budgets are totals for the request; each shard is asked for its certified part of them (`router/certificate.py`).
It knows neither shards nor their health, and checks a filter no further than the shards do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from cluster.config import SourcesSection, TopsSource
from cluster.errors import InvalidQuery
from cluster.partition import ItemId, item_keys
from cluster.spec import GenerationSpec, SourceSpec
from cluster.types import NO_KEYS, Affinity, Ask, Floats, Keys, Query, Seeds, UserRecord
from router.certificate import rows_per_shard
from router.request import Degradation, Request
from router.sections import RouterSections


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to ask and what to make of the replies.

    budgets: the global k of each of the query's asks, aligned with them.  floors: what each may shrink to, aligned.
    n_candidates: how many the merge lets through.
    """

    query: Query
    budgets: tuple[int, ...]
    floors: tuple[int, ...]
    n_candidates: int
    degraded: tuple[Degradation, ...]

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


def plan(request: Request, record: UserRecord | None, spec: GenerationSpec, sections: RouterSections) -> Plan:
    """The plan for a user the store knows (`record`) or not (None).

    Some source that promises min(k, eligible) is asked for `demand(k)` or more, whatever the configured budgets are, so
    that neither a small budget nor a narrow filter makes a short slate. Raises InvalidQuery for an id of another type
    than the generation's.
    """
    excluded = _keys(request.exclude_item_ids, spec, "/exclude_item_ids")
    basket = _keys(request.basket, spec, "/context/basket")
    vectors = _vectors(record, spec)
    seeds = _seeds(record, basket)
    seen = record.history.keys if record is not None and sections.slate.exclude_seen else NO_KEYS
    profile = record.profile if record is not None else {}

    wants = _wants(spec, sections, vectors, seeds, profile)
    needed = min(demand(request.k), spec.n_items)
    wants = _raised(wants, spec, needed)
    p = sections.merge.exact_probability
    query = Query(
        generation=spec.id,
        asks=tuple(Ask(w.source.name, rows_per_shard(w.k, spec.n_shards, p), w.lists) for w in wants),
        filter=request.filter,
        exclude=_union(excluded, basket, seen),
        vectors=vectors,
        seeds=seeds,
        profile=profile,
        group_by=sections.slate.cap_by,
    )
    return Plan(
        query,
        budgets=tuple(w.k for w in wants),
        floors=tuple(min(w.k, needed) if w.source.promises_k else 0 for w in wants),
        n_candidates=max(sections.merge.n_light, demand(request.k)),
        degraded=_degraded(wants, record, spec, sections.sources),
    )


def deeper(plan: Plan, spec: GenerationSpec, known: Keys, *, shortage: int) -> Plan:
    """A second plan, for `shortage` items beyond the `known` ones: the sources that promise k, every shard in full."""
    asks = tuple(a for a in plan.query.asks if (s := spec.source(a.source)) is not None and s.promises_k)
    budgets = (demand(shortage),) * len(asks)
    query = replace(plan.query, asks=_with_k(asks, budgets), exclude=_union(plan.query.exclude, known))
    return Plan(query, budgets, budgets, demand(shortage), ())


def demand(k: int) -> int:
    """How many candidates a slate of k draws from at least: caps and items gone out of stock need a reserve."""
    return k + max(10, k // 2)


@dataclass(frozen=True, slots=True)
class _Want:
    source: SourceSpec
    k: int
    lists: tuple[tuple[str, float], ...] = ()


def _wants(
    spec: GenerationSpec,
    sections: RouterSections,
    vectors: Mapping[str, Floats],
    seeds: Mapping[str, Seeds],
    profile: Mapping[str, Affinity],
) -> tuple[_Want, ...]:
    config = sections.sources
    small = config.score_all.enabled and spec.n_items <= config.score_all.max_items
    scored_in_full = {s.space for s in spec.sources if s.kind == "score_all" and small and s.space in vectors}
    wants = []
    for source in spec.sources:
        match source.kind:
            case "tops" if config.tops.enabled:
                lists = _lists(config.tops, spec, profile)
                if lists:
                    wants.append(_Want(source, config.tops.k, lists))
            case "ann" if config.ann.enabled and source.space in vectors and source.space not in scored_in_full:
                wants.append(_Want(source, config.ann.k))
            case "score_all" if source.space in scored_in_full:
                wants.append(_Want(source, config.score_all.k))
            case "seeds" if config.history.enabled:
                k = min(config.history.k, _n_seeds(seeds, source.seeds))
                if k and not (sections.slate.exclude_seen and source.seeds == "history"):
                    wants.append(_Want(source, k))
    if not any(w.source.kind in ("ann", "score_all") for w in wants):
        # A stranger: what the personal sources would have proposed comes from the top lists instead.
        wants = [_Want(w.source, w.k + config.ann.k, w.lists) if w.source.kind == "tops" else w for w in wants]
    return tuple(wants)


def _raised(wants: tuple[_Want, ...], spec: GenerationSpec, needed: int) -> tuple[_Want, ...]:
    """The wants with the largest budget among those that promise k raised to `needed`, and none above the catalogue."""
    promising = [w for w in wants if w.source.promises_k]
    largest = max(promising, key=lambda w: w.k) if promising else None
    return tuple(replace(w, k=min(spec.n_items, max(w.k, needed) if w is largest else w.k)) for w in wants)


def _lists(config: TopsSource, spec: GenerationSpec, profile: Mapping[str, Affinity]) -> tuple[tuple[str, float], ...]:
    """The global lists at weight 1 and the lists of the user's strongest groups at the user's affinity to each."""
    windows = [f"{days}d" for days in config.windows_days]
    lists = [(name, 1.0) for name in windows if name in spec.list_names]
    affinity = profile.get(config.group_by)
    if affinity is not None and config.groups_per_user:
        strongest = sorted(zip(affinity.weights.tolist(), affinity.values, strict=True), key=lambda g: (-g[0], g[1]))
        for weight, value in strongest[: config.groups_per_user]:
            suffix = f"/{config.group_by}={value}"
            lists.extend((name + suffix, weight) for name in windows if name + suffix in spec.list_names)
    return tuple(lists)


def _vectors(record: UserRecord | None, spec: GenerationSpec) -> dict[str, Floats]:
    """The user's vectors of the generation's spaces. One of another size, or not finite, is as good as none."""
    if record is None:
        return {}
    usable = {}
    for space in spec.spaces:
        vector = record.vectors.get(space.name)
        if vector is not None and vector.shape == (space.dim,) and np.isfinite(vector).all():
            usable[space.name] = vector
    return usable


def _seeds(record: UserRecord | None, basket: Keys) -> dict[str, Seeds]:
    seeds = {}
    if record is not None and len(record.history.keys):
        seeds["history"] = record.history
    if len(basket):
        seeds["basket"] = Seeds(basket, np.ones(len(basket), np.float32), np.zeros(len(basket), np.float32))
    return seeds


def _n_seeds(seeds: Mapping[str, Seeds], name: str) -> int:
    return len(seeds[name].keys) if name in seeds else 0


def _keys(ids: tuple[ItemId, ...], spec: GenerationSpec, pointer: str) -> Keys:
    """The ids' keys, ascending and unique."""
    if not ids:
        return NO_KEYS
    expected = str if spec.id_type == "string" else int
    for at, item_id in enumerate(ids):
        if type(item_id) is not expected:
            raise InvalidQuery(f"item id {item_id!r} is no {spec.id_type}", field=f"{pointer}/{at}", allowed=spec.id_type)
    return np.unique(item_keys(ids))


def _union(*parts: Keys) -> Keys:
    """Ascending and unique."""
    filled = [part for part in parts if len(part)]
    return np.unique(np.concatenate(filled)) if filled else NO_KEYS


def _with_k(asks: tuple[Ask, ...], budgets: tuple[int, ...]) -> tuple[Ask, ...]:
    return tuple(replace(ask, k=k) for ask, k in zip(asks, budgets, strict=True))


def _degraded(
    wants: tuple[_Want, ...], record: UserRecord | None, spec: GenerationSpec, config: SourcesSection
) -> tuple[Degradation, ...]:
    if not wants:
        return ("no_source",)
    searched = config.ann.enabled and any(s.kind == "ann" for s in spec.sources)
    if searched and record is not None and not any(w.source.kind in ("ann", "score_all") for w in wants):
        return ("no_user_vector",)
    return ()
