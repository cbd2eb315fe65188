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
        history=seeds_of(rng, n_history),
        profile={"department": Affinity(("BAKERY", "MEAT"), rng.random(2, np.float32))},
        features=rng.standard_normal(3).astype(np.float32),
        seeds={"favourites": seeds_of(rng, n_history // 2), "viewed": seeds_of(rng, 0)},
    )


def seeds_of(rng: np.random.Generator, n: int) -> Seeds:
    keys = rng.choice(2**62, n, replace=False).astype(np.int64)
    return Seeds(keys, rng.random(n, np.float32), rng.random(n, np.float32))


def same(a: UserRecord, b: UserRecord) -> bool:
    return (
        (a.user_id, a.generation) == (b.user_id, b.generation)
        and a.vectors.keys() == b.vectors.keys()
        and all(np.array_equal(a.vectors[s], b.vectors[s]) for s in a.vectors)
        and same_seeds(a.history, b.history)
        and a.seeds.keys() == b.seeds.keys()
        and all(same_seeds(a.seeds[s], b.seeds[s]) for s in a.seeds)
        and {n: (f.values, f.weights.tolist()) for n, f in a.profile.items()}
        == {n: (f.values, f.weights.tolist()) for n, f in b.profile.items()}
        and np.array_equal(a.features, b.features)
    )


def same_seeds(a: Seeds, b: Seeds) -> bool:
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("keys", "weights", "ages_days"))
