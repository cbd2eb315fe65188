"""The names of the features: match features, which shards compute from a query and an item; context features, which come from
the request; cross features, which a ranker computes from other columns.

The build writes the names into the feature schema, and models learn on them. `shard/match.py`, `router/rank.py` and
`ranker/crosses.py` compute the features.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

HISTORY_WEIGHT = "history.weight"
HISTORY_AGE = "history.age_days"
BASKET_MEMBER = "basket.member"

CONTEXT = ("hour", "weekday", "basket_size", "k")
"""hour: of the day when the request comes, with its fraction, UTC.  weekday: 0 on Monday.  basket_size: items in the basket.

k: items asked for. A request's `context` overrides each of them.
"""

CYCLE_DAYS = "stat.cycle_days"
LISTED_DAYS = "listed_days"

HISTORY_DUE = "history.due"
FOUND_BY = "found.sources"
FOUND_RANK = "found.rank"


def match_columns(*, spaces: Iterable[str], stats: Iterable[str], profile: Iterable[str]) -> tuple[str, ...]:
    """Every match feature of a generation with these embedding spaces, item statistics and profile attributes.

    dot.<space>: the item's score for the user's vector (the dot product under ip), 0 without a vector.  norm.<space>: the
    item vector's length.  stat.<name>: as the build computed it.  affinity.<attribute>: the profile's weight of the item's
    value, the largest of a set's values, 0 for none.  history.weight, history.age_days: of the item among the "history"
    seeds, 0 and -1 if it is not.  basket.member: 1 if it is among the "basket" seeds.

    >>> match_columns(spaces=["als"], stats=["price"], profile=["brand"])
    ('dot.als', 'norm.als', 'stat.price', 'affinity.brand', 'history.weight', 'history.age_days', 'basket.member')
    """
    return (
        *(f"{what}.{space}" for space in spaces for what in ("dot", "norm")),
        *(f"stat.{name}" for name in stats),
        *(f"affinity.{attribute}" for attribute in profile),
        HISTORY_WEIGHT,
        HISTORY_AGE,
        BASKET_MEMBER,
    )


def cross_columns(*, match: Collection[str], sources: Collection[str], user: Collection[str]) -> tuple[str, ...]:
    """Every cross feature that a generation with these columns can have.

    history.due: days since the user bought the item, in units of the item's usual time between two purchases (stat.cycle_days),
    -1 if it was not bought.  level.<number>: the item's number minus the mean of what the user buys, both on a scale that is
    linear near 0 and logarithmic far from it (asinh).  found.sources: how many sources propose the item.  found.rank: its
    best rank in any of them, missing if none does.

    >>> cross_columns(match=["stat.price", "stat.cycle_days", "history.age_days"], sources=["ann"], user=["user.mean_price"])
    ('history.due', 'level.price', 'found.sources', 'found.rank')
    """
    due = (HISTORY_DUE,) if {HISTORY_AGE, CYCLE_DAYS} <= set(match) else ()
    told = (name.removeprefix("stat.") for name in match if name.startswith("stat."))
    levels = tuple(f"level.{name}" for name in told if f"user.mean_{name}" in user)
    return (*due, *levels, *((FOUND_BY, FOUND_RANK) if sources else ()))
