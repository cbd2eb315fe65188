"""The names of the match features: what a shard computes about a query and an item, in the order the columns have.

Shards parse them, the build writes them into the feature schema, models learn on them. How they are computed is
`shard/match.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

HISTORY_WEIGHT = "history.weight"
HISTORY_AGE = "history.age_days"
BASKET_MEMBER = "basket.member"


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
