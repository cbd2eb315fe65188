"""What was written is read back, batch bounds and missing parts included; a file of another generation is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster import user_records
from cluster.errors import SchemaMismatch
from cluster.generation import Generation, GenerationWriter
from cluster.spec import FeatureSchema, GenerationSpec, SpaceSpec
from cluster.types import Affinity, Seeds, UserRecord
from cluster.user_records import read_users, write_users


def spec_of(
    generation: str, profile: tuple[str, ...] = ("department", "brand"), seeds: tuple[str, ...] = ("favourites", "history")
) -> GenerationSpec:
    return GenerationSpec(
        id=generation,
        created="2026-01-01T00:00:00Z",
        id_type="string",
        shard_items=(1,),
        attributes=(),
        spaces=(SpaceSpec("als", 3, "ip", 0.99), SpaceSpec("text", 2, "cosine", 0.99)),
        sources=(),
        lists=(),
        profile=profile,
        features=FeatureSchema((), (), ("user.a", "user.b"), ()),
        seeds=seeds,
    )


def record_of(n: int, generation: str = "g1") -> UserRecord:
    rng = np.random.default_rng(n)
    n_seeds, n_values = n % 4, n % 3
    return UserRecord(
        user_id=f"user-{n}",
        generation=generation,
        vectors={"als": rng.random(3, np.float32)} | ({"text": rng.random(2, np.float32)} if n % 2 else {}),
        history=seeds_of(rng, n_seeds),
        profile={
            "department": Affinity(tuple(f"d{i}" for i in range(n_values)), rng.random(n_values, np.float32)),
            "brand": Affinity(("Ω",), rng.random(1, np.float32)),
        },
        features=rng.random(2, np.float32),
        seeds={"favourites": seeds_of(rng, 2)} | ({"history": seeds_of(rng, 1)} if n % 2 else {}),
    )


def seeds_of(rng: np.random.Generator, n: int) -> Seeds:
    return Seeds(rng.integers(-(2**62), 2**62, n), rng.random(n, np.float32), rng.random(n, np.float32))


def publish(storage: Path, spec: GenerationSpec, records: list[UserRecord], written_as: GenerationSpec) -> Generation:
    with GenerationWriter(storage, spec.id) as writer:
        assert write_users(writer.path_for("users.arrow"), written_as, records) == len(records)
        return writer.publish(spec, shards=[{}])


@pytest.mark.parametrize("n_users", [0, 1, 4, 11])
def test_records_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_users: int) -> None:
    monkeypatch.setattr(user_records, "_BATCH_USERS", 4)
    spec = spec_of("g1")
    records = [record_of(n) for n in range(n_users)]
    read = list(read_users(publish(tmp_path, spec, records, spec)))
    assert [r.user_id for r in read] == [r.user_id for r in records]
    for got, made in zip(read, records, strict=True):
        assert got.generation == "g1" and got.vectors.keys() == made.vectors.keys()
        assert all(np.array_equal(got.vectors[name], made.vectors[name]) for name in made.vectors)
        assert_same(got.history, made.history)
        assert got.seeds.keys() == made.seeds.keys()
        for name in made.seeds:
            assert_same(got.seeds[name], made.seeds[name])
        assert {name: a.values for name, a in got.profile.items()} == {name: a.values for name, a in made.profile.items()}
        assert all(np.array_equal(got.profile[name].weights, a.weights) for name, a in made.profile.items())
        assert np.array_equal(got.features, made.features)


def assert_same(got: Seeds, made: Seeds) -> None:
    for part in ("keys", "weights", "ages_days"):
        assert np.array_equal(getattr(got, part), getattr(made, part))


def test_seed_sets_that_the_spec_does_not_name_are_left_out(tmp_path: Path) -> None:
    spec = spec_of("g1", seeds=("viewed", "favourites"))
    (read,) = read_users(publish(tmp_path, spec, [record_of(1)], spec))
    assert read.seeds.keys() == {"favourites"}


@pytest.mark.parametrize("written_as", [spec_of("g0"), spec_of("g1", profile=("department",)), spec_of("g1", seeds=())])
def test_a_file_that_is_not_as_the_spec_says_is_refused(tmp_path: Path, written_as: GenerationSpec) -> None:
    generation = publish(tmp_path, spec_of("g1"), [record_of(1)], written_as)
    with pytest.raises(SchemaMismatch, match=r"users\.arrow of g1"):
        next(read_users(generation))
