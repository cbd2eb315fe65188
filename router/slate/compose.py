"""Puts the ranked candidates into their final order under the business rules: the first k are shown, the rest are the reserve.

Pure. Rules decide places and do not filter: only exclusions remove items, so a slate of k is never short while there are k
candidates. `Slate.without` removes items that may not be shown after all, and applies the rules again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray

from cluster.config.slate import Family
from cluster.types import NO_KEYS, Candidates, Floats, Keys
from router.rank import Ranked
from router.removal import Removal, Removed, RuleName
from router.slate.assemble import Assembly, Constraint, Constraints, Exploration, assemble
from router.slate.diversity import gains_of
from router.slate.explore import Draw, Posteriors, coin_and_draws, posteriors
from router.slate.limits import Floor, Limit
from router.slate.lineup import Lineup, allowed_of, line_up
from router.slate.plain import ahead, first_under_cap
from router.slate.rules import NewRule, Rules

NOTHING: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True, eq=False)
class ItemVectors:
    """Vectors of some candidates. at: (m,) row of each candidate in `unit`, -1 for none.  unit: (r, dim), of length 1."""

    at: NDArray[np.intp]
    unit: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SlateHead:
    """What is in the slate already, when this one only completes it. positions: in those candidates, by place."""

    candidates: Candidates
    positions: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Slate:
    """sequence: (s,) positions in the candidates, in their final order.  scores: (s,) float32, the ranking's, aligned with it.

    relaxed: position -> names of the limits that gave way so that it is among the first k.  missed: quotas not reached.
    pinned: positions shown where they were pinned.  draws: what was drawn where the slate explores.
    removed: ranked items not among the first k, by reason.  kept_back: position -> the reason, of those that were passed over.
    without: the slate of the candidates but for some keys.
    """

    candidates: Candidates
    sequence: NDArray[np.intp]
    scores: Floats
    removed: Removed
    without: Callable[[Keys], Slate]
    relaxed: Mapping[int, Sequence[str]] = field(default_factory=dict)
    missed: Sequence[str] = ()
    pinned: Sequence[int] = ()
    draws: Sequence[Draw] = ()
    posteriors: Posteriors | None = None
    kept_back: Mapping[int, Removal | RuleName] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sequence)

    def reason(self, position: int, k: int) -> str:
        """Why the candidate at this position is not among the first k, a key of `removed`; "" if it is."""
        places = np.flatnonzero(self.sequence == position)
        if len(places) == 0:
            return "excluded"
        return "" if places[0] < k else self.kept_back.get(position, "below_cutoff")


def compose(
    candidates: Candidates,
    ranked: Ranked,
    k: int,
    *,
    exclude: Keys,
    rules: Rules,
    pins: Mapping[int, int] = NOTHING,
    vectors: ItemVectors | None = None,
    seed: int = 0,
    head: SlateHead | None = None,
) -> Slate:
    """The slate of the ranked candidates.

    exclude: keys ascending and unique; the shards left them out already, this is the second look.  pins: place from 0 ->
    item key.  vectors: for diversity, which without them does nothing.  seed: of what is drawn.  With a `head` only caps and
    quotas count, and they count what is in it.
    """

    again = partial(compose, candidates, ranked, k, rules=rules, pins=pins, vectors=vectors, seed=seed, head=head)

    def without(gone: Keys) -> Slate:
        return again(exclude=np.union1d(exclude, gone))

    if rules.plain and not pins and head is None and not _owed(rules.new, candidates, k):
        return _plain(candidates, ranked, k, exclude, rules, without)
    boosts = rules.boosts if head is None else ()
    lineup = line_up(candidates, ranked, exclude=exclude, boosts=boosts)
    tried = rules.explore if head is None else None
    posterior = posteriors(candidates, tried) if tried is not None else None
    constraints = Constraints(
        of=_constraints(lineup, rules, k, head),
        precedence=rules.precedence,
        pins=_pins(lineup, pins) if head is None else NOTHING,
        exploration=_exploration(lineup, rules, posterior, seed) if tried is not None else None,
        start=0 if head is None else len(head.positions),
    )
    if vectors is not None and rules.diversity is not None and head is None:
        rows = vectors.at[lineup.positions]
        diverse = np.flatnonzero(rows >= 0)
        unit = vectors.unit[rows[diverse]]
        gains = gains_of(rules.diversity, unit, lineup.values[diverse], n_places=min(k, len(lineup)))
        constraints = replace(constraints, gains=gains, diverse=diverse)
    made = assemble(len(lineup), k, constraints)
    return _slate(lineup, made, constraints, posterior, n_excluded=len(candidates) - len(lineup), without=without)


def _owed(rule: NewRule | None, candidates: Candidates, k: int) -> bool:
    """Whether places are owed to new items, and there are any."""
    return rule is not None and rule.section.n_of(k) > 0 and bool(rule.selected(candidates).any())


def _plain(
    candidates: Candidates, ranked: Ranked, k: int, exclude: Keys, rules: Rules, without: Callable[[Keys], Slate]
) -> Slate:
    """The common case: at most one cap, over the whole slate. Looks at no more candidates than it takes to fill k places."""
    sequence, scores = allowed_of(candidates, ranked, exclude)
    n = len(sequence)
    n_excluded = len(candidates) - n
    facts = candidates.facts
    if not rules.caps or facts is None:
        return Slate(candidates, sequence, scores, {"excluded": n_excluded, "below_cutoff": n - min(k, n)}, without)
    cap = rules.caps[0]
    first, n_within = first_under_cap(facts[:, cap.column][sequence], k, cap=cap.max)
    if n_within == len(first):
        n_passed = first[-1] + 1 - len(first) if first else 0
    else:
        n_passed = n - len(first)
    removed: Removed = {"excluded": n_excluded, cap.name: n_passed, "below_cutoff": n - len(first) - n_passed}
    relaxed = {int(sequence[at]): (cap.name,) for at in first[n_within:]}
    if not n_passed and not relaxed:
        return Slate(candidates, sequence, scores, removed, without)
    order = ahead(first, n)
    sequence, scores = sequence[order], scores[order]
    passed = dict.fromkeys(sequence[len(first) : len(first) + n_passed].tolist(), cap.name)
    return Slate(candidates, sequence, scores, removed, without, relaxed, kept_back=passed)


def _constraints(lineup: Lineup, rules: Rules, k: int, head: SlateHead | None) -> dict[Family, Sequence[Constraint]]:
    """Limits and floors over the line-up, counting what is shown already."""
    facts = lineup.candidates.facts
    n_places = min(k, len(lineup)) + (0 if head is None else len(head.positions))
    caps: list[Constraint] = []
    for cap in rules.caps:
        assert facts is not None, "the query asked for no groups"
        taken = NO_KEYS if head is None or head.candidates.facts is None else head.candidates.facts[head.positions, cap.column]
        caps.append(Limit(cap.name, facts[lineup.positions, cap.column], max=cap.max, first=cap.first, taken=taken))
    maxima: list[Constraint] = []
    minima: list[Constraint] = []
    for quota in rules.quotas:
        members = quota.selected(lineup.candidates)[lineup.positions]
        in_slate = np.zeros(0, np.bool_) if head is None else quota.selected(head.candidates)[head.positions]
        if quota.max < n_places:
            maxima.append(Limit(quota.name, members.astype(np.int64), max=quota.max, first=0, taken=in_slate.astype(np.int64)))
        least = max(quota.min, ceil(quota.min_share * n_places))
        if least:
            n_in_slate = int(np.count_nonzero(in_slate))
            minima.append(Floor(quota.name, members, min=least, count=n_in_slate, places=k + len(in_slate)))
    if (new := rules.new) is not None:
        members = new.selected(lineup.candidates)[lineup.positions]
        n_in_slate = 0 if head is None else int(np.count_nonzero(new.selected(head.candidates)[head.positions]))
        least = min(new.section.n_of(n_places), n_in_slate + int(np.count_nonzero(members)))
        if least:
            minima.append(Floor(new.name, members, min=least, count=n_in_slate, places=n_places))
    return {"caps": caps, "quotas": [*maxima, *minima]}


def _pins(lineup: Lineup, pins: Mapping[int, int]) -> dict[int, int]:
    """Place -> position in line, of those pinned keys that are in line."""
    if not pins:
        return {}
    keys = lineup.candidates.keys[lineup.positions]
    found = {place: np.flatnonzero(keys == key) for place, key in pins.items()}
    return {place: int(at[0]) for place, at in found.items() if len(at)}


def _exploration(lineup: Lineup, rules: Rules, posterior: Posteriors | None, seed: int) -> Exploration:
    rule = rules.explore
    assert rule is not None, "there is nothing to explore"
    share, n = rule.section.share, len(lineup.candidates)
    places = frozenset(position - 1 for position in rule.section.positions)

    def draw(place: int) -> NDArray[np.float64] | None:
        coin, draws = coin_and_draws(posterior, n, seed=seed, place=place)
        return draws[lineup.positions] if coin < share else None

    return Exploration(places, rule.selected(lineup.candidates)[lineup.positions], draw)


def _slate(
    lineup: Lineup,
    made: Assembly,
    constraints: Constraints,
    posterior: Posteriors | None,
    *,
    n_excluded: int,
    without: Callable[[Keys], Slate],
) -> Slate:
    order = ahead(made.picks, len(lineup))
    at = lineup.positions
    kept_back = _kept_back(lineup, made, constraints)
    removed: dict[Removal | RuleName, int] = {name: len(positions) for name, positions in kept_back.items()}
    removed["below_cutoff"] = len(lineup) - len(made.picks) - sum(removed.values())
    return Slate(
        lineup.candidates,
        sequence=at[order],
        scores=lineup.scores[order],
        removed={"excluded": n_excluded, **removed},
        without=without,
        relaxed={int(at[pick]): names for pick, names in made.relaxed.items()},
        missed=made.missed,
        pinned=tuple(int(at[pick]) for pick in made.pinned),
        draws=tuple(
            Draw(place, int(at[chosen]), int(at[otherwise]), at[pool], explored)
            for place, chosen, otherwise, pool, explored in made.draws
        ),
        posteriors=posterior,
        kept_back={position: name for name, positions in kept_back.items() for position in positions},
    )


def _kept_back(lineup: Lineup, made: Assembly, constraints: Constraints) -> dict[Removal | RuleName, list[int]]:
    """Reason -> positions in the candidates: those passed over because a limit was full, and those that the ranking had among
    the first and that had to make room for others. The rest are just too far back.
    """
    left = np.ones(len(lineup), np.bool_)
    left[made.picks] = False
    passed = left & (np.arange(len(left)) < made.reached)
    found: dict[Removal | RuleName, list[int]] = {}
    for constraint in constraints.every():
        if isinstance(constraint, Limit):
            stopped = passed & constraint.blocked
            found.setdefault(constraint.name, []).extend(lineup.positions[stopped].tolist())
            passed = passed & ~stopped
            left = left & ~stopped
    found["displaced"] = lineup.positions[left & (lineup.places < len(made.picks))].tolist()
    return found
