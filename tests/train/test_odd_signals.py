"""Whatever few events a log holds, everything made of it is finite, the same every time, and no warning is raised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import Config
from tests.train.logs import NOW, NOW_DAY, catalogue_of, log_of
from tests.train.past import signals_at
from train.input.event_log import KINDS, EventKind
from train.signals import Signals
from train.stages.shards import graph_queries

N_ITEMS = 6
CONFIG = Config.model_validate(
    {
        "catalog": {"id_type": "int64", "category": ("category",), "number": ("price",)},
        "sources": {"quorum": {"attribute": "category"}, "tops": {"group_by": "category"}},
        "train": {
            "half_life_days": 0.5,  # so that a hundred days are more halvings than float32 has
            "profile": ("category",),
            "als": {"dim": 4, "n_sweeps": 2},
            "npmi": {"support_min": 1},
            "near": {"consumers_min": 1},
        },
    }
)
# What no hand-written log thinks of: one time for everything, times of long ago, users who only looked, weights of next to
# nothing, items without an event, attributes that are all alike or all missing.
DAYS = st.sampled_from([0.0, 50.0, NOW_DAY - 1.0, float(NOW_DAY)])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, N_ITEMS - 2),
        DAYS,
        st.sampled_from(KINDS),
        st.sampled_from([1e-30, 1.0, 1e6]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda event: event[:4],
)
CONTENT = np.vstack((np.eye(N_ITEMS - 2, 4), np.zeros((2, 4)))).astype(np.float32)
PRICES = st.sampled_from([[1.0] * N_ITEMS, [None] * N_ITEMS, [0.0, 1.0, None, 3.0, 1e9, -1.0]])
CATEGORIES = st.sampled_from([["x"] * N_ITEMS, [None] * N_ITEMS, ["x", "y", None, "y", "x", "z"]])


def numbers_of(signals: Signals) -> list[np.ndarray]:
    spaces = [matrix for space in signals.spaces.values() for matrix in (space.items, space.users)]
    seeds = [numbers for seeds in signals.seeds.values() for numbers in (seeds.weights, seeds.ages_days)]
    tables = [table.weights for table in signals.tables.values()]
    records = [
        numbers
        for record in signals.records(CONFIG, "g")
        for numbers in (record.features, *(affinity.weights for affinity in record.profile.values()))
    ]
    lists = [top.scores for top in signals.lists]
    return [*spaces, *seeds, *tables, *records, *lists, *signals.stats.values(), signals.users.values]


@settings(max_examples=25, deadline=None)
@given(events=EVENTS, price=PRICES, category=CATEGORIES, same_time=st.booleans())
def test_any_few_events_make_finite_numbers(
    events: list[tuple[str, int, float, EventKind, float]],
    price: list[float | None],
    category: list[str | None],
    same_time: bool,
) -> None:
    bought: tuple[str, int, float, EventKind, float] = ("a", 0, float(NOW_DAY), "purchase", 1.0)
    rows = [bought, *(event for event in events if event[:4] != bought[:4])]
    whole = log_of(
        [(user, item, NOW_DAY if same_time else day) for user, item, day, _, _ in rows],
        N_ITEMS,
        [weight for *_, weight in rows],
        kinds=[kind for _, _, _, kind, _ in rows],
    )
    catalogue = replace(catalogue_of(category, price=price), content=CONTENT)
    made, again = (signals_at(catalogue, whole, CONFIG, as_of=NOW) for _ in range(2))
    numbers = numbers_of(made)
    assert all(np.isfinite(part).all() for part in numbers)
    assert all(np.array_equal(a, b) for a, b in zip(numbers, numbers_of(again), strict=True))
    known = np.flatnonzero((CONTENT[made.pairs.items] > 0).any(axis=1))
    assert made.spaces["content"].users[made.pairs.users[known]].any(axis=1).all()
    for queries in graph_queries(made, CONFIG.sources.model_copy(update={"score_all": _NEVER}), seed=0).values():
        assert queries.any(axis=1).all()


_NEVER = CONFIG.sources.score_all.model_copy(update={"enabled": False})
