"""User records to store, and what it means that one came back."""

from __future__ import annotations

import numpy as np

from cluster.types import Affinity, Seeds, UserRecord

GENERATION = "g-1"


def record_of(user_id: str, *, generation: str = GENERATION, dim: int = 8, n_history: int = 5) -> UserRecord:
    """A record whose every number follows from the user's id, so that somebody else's is recognised."""
    rng = np.random.default_rng(list(f"{generation}/{user_id}".encode()))
    return UserRecord(
        user_id=user_id,
        generation=generation,
        vectors={"als": rng.standard_normal(dim).astype(np.float32)},
        history=Seeds(
            rng.choice(2**62, n_history, replace=False).astype(np.int64),
            rng.random(n_history, np.float32),
            rng.random(n_history, np.float32),
        ),
        profile={"department": Affinity(("BAKERY", "MEAT"), rng.random(2, np.float32))},
        features=rng.standard_normal(3).astype(np.float32),
    )


def same(a: UserRecord, b: UserRecord) -> bool:
    return (
        (a.user_id, a.generation) == (b.user_id, b.generation)
        and a.vectors.keys() == b.vectors.keys()
        and all(np.array_equal(a.vectors[s], b.vectors[s]) for s in a.vectors)
        and np.array_equal(a.history.keys, b.history.keys)
        and np.array_equal(a.history.weights, b.history.weights)
        and np.array_equal(a.history.ages_days, b.history.ages_days)
        and {n: (f.values, f.weights.tolist()) for n, f in a.profile.items()}
        == {n: (f.values, f.weights.tolist()) for n, f in b.profile.items()}
        and np.array_equal(a.features, b.features)
    )
