"""A made-up catalogue with users, as plain arrays, and as a generation of any number of shards.

The whole-request benchmarks run on it, because every system beside ours must be able to hold exactly the same items, users
and models without knowing our formats. Vectors are clustered and of unit length, so that every engine searches the same
geometry; the ranking models are real ones, fitted on made-up labels, since only their cost matters here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from cluster.config.train import RankTrainSection
from cluster.features import match_columns
from cluster.generation import Generation, GenerationWriter
from cluster.partition import item_keys
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import Affinity, Floats, Seeds, UserRecord
from cluster.user_records import USERS_FILE, write_users
from ranker.ranker import HEAVY_FILE, LIGHT_FILE
from shard.columns import ShardColumns, partition
from shard.filter.attributes import CategoryColumn, NumberColumn
from shard.snapshot import shard_folder, write_snapshot
from shard.spaces.calibration import calibrate
from shard.spaces.hnsw import build_graph
from shard.spaces.space import Space
from shard.tables.lists import RankedLists
from train.rank.heavy import fit_heavy
from train.rank.light import fit_light

SPACE = "als"
N_CATEGORIES = 32
HISTORY_ITEMS = 40
RECALL_TARGET = 0.99
_CALIBRATION_QUERIES = 60


@dataclass(frozen=True, slots=True)
class Size:
    n_items: int
    n_users: int = 2_000
    dim: int = 64
    seed: int = 0


@dataclass(frozen=True)
class World:
    """Rows ascend by item key. vectors: (n_items, dim), user_vectors: (n_users, dim), float32, unit length.

    category: (n_items,) codes.  popularity: (n_items,) float32.  history: (n_users, HISTORY_ITEMS) rows, distinct in a row.
    """

    size: Size
    item_ids: list[str]
    keys: np.ndarray
    vectors: Floats
    category: np.ndarray
    price: Floats
    popularity: Floats
    user_vectors: Floats
    history: np.ndarray

    @classmethod
    def made(cls, size: Size) -> World:
        rng = np.random.default_rng(size.seed)
        ids = [f"item-{i:07d}" for i in range(size.n_items)]
        keys = item_keys(ids)
        order = np.argsort(keys)
        centres = _unit(rng.standard_normal((N_CATEGORIES * 8, size.dim)))
        member = rng.integers(0, len(centres), size.n_items)
        vectors = _unit(centres[member] + rng.standard_normal((size.n_items, size.dim)) * 0.12)
        liked = rng.integers(0, len(centres), size.n_users)
        users = _unit(centres[liked] + rng.standard_normal((size.n_users, size.dim)) * 0.08)
        popularity = (1 / (1 + rng.permutation(size.n_items)) ** 0.8).astype(np.float32)
        return cls(
            size=size,
            item_ids=[ids[i] for i in order],
            keys=keys[order],
            vectors=vectors,
            category=member // 8,
            price=np.round(rng.lognormal(1, 0.6, size.n_items), 2).astype(np.float32),
            popularity=popularity,
            user_vectors=users,
            history=np.stack([rng.choice(size.n_items, HISTORY_ITEMS, replace=False) for _ in range(size.n_users)]),
        )

    @property
    def user_ids(self) -> list[str]:
        return [f"user-{u:05d}" for u in range(self.size.n_users)]

    @cached_property
    def schema(self) -> FeatureSchema:
        return FeatureSchema(
            match=match_columns(spaces=[SPACE], stats=["popularity", "price"], profile=["category"]),
            sources=tuple(source.name for source in SOURCES),
            user=("activity", "level"),
            context=(),
        )

    def category_weights(self, user: int) -> tuple[np.ndarray, Floats]:
        """Codes of the categories in a user's history, most frequent first, and their shares."""
        counts = np.bincount(self.category[self.history[user]], minlength=N_CATEGORIES)
        codes = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        return codes, (counts[codes] / HISTORY_ITEMS).astype(np.float32)

    def user_features(self, user: int) -> Floats:
        return np.array([HISTORY_ITEMS, (user % 7) / 7], np.float32)

    def history_weights(self) -> tuple[Floats, Floats]:
        """The same for every user: weights that fall with age, and the ages in days."""
        ages = np.arange(HISTORY_ITEMS, dtype=np.float32)
        return (np.float32(0.97) ** ages).astype(np.float32), ages

    def records(self, generation: str) -> Iterator[UserRecord]:
        weights, ages = self.history_weights()
        for user, user_id in enumerate(self.user_ids):
            codes, shares = self.category_weights(user)
            yield UserRecord(
                user_id=user_id,
                generation=generation,
                vectors={SPACE: self.user_vectors[user]},
                history=Seeds(self.keys[self.history[user]], weights, ages),
                profile={"category": Affinity(tuple(category_name(c) for c in codes), shares)},
                features=self.user_features(user),
            )


SOURCES = (
    SourceSpec("tops", "tops", exact=True, promises_k=True, lists="purchases"),
    SourceSpec("ann", "ann", exact=False, promises_k=True, space=SPACE),
    SourceSpec("history", "seeds", exact=True, promises_k=False, seeds="history"),
)
WINDOW = "purchases/28d"


def category_name(code: int) -> str:
    return f"category-{code:02d}"


def publish(world: World, storage: Path, n_shards: int) -> Generation:
    """Build the world into a generation of this many shards, with graphs, calibration, users and models.

    The models are fitted once for all sizes and partitions of a world, since they know nothing but its columns.
    """
    light, heavy = fit_models(world, storage.parent / "models")
    pieces = partition(_columns(world), n_shards)
    spec = GenerationSpec(
        id=f"world-{world.size.n_items}-{n_shards}",
        created="2026-01-01T00:00:00Z",
        id_type="string",
        shard_items=tuple(len(piece) for piece in pieces),
        attributes=(AttributeSpec("category", "category"), AttributeSpec("price", "number")),
        spaces=(SpaceSpec(SPACE, world.size.dim, "ip", RECALL_TARGET),),
        sources=SOURCES,
        lists=(WINDOW, *(f"{WINDOW}/category={category_name(c)}" for c in range(N_CATEGORIES))),
        profile=("category",),
        features=world.schema,
    )
    with GenerationWriter(storage, spec.id) as writer:
        writer.path_for(LIGHT_FILE).write_bytes(light)
        writer.path_for(HEAVY_FILE).write_bytes(heavy)
        write_users(writer.path_for(USERS_FILE), spec, world.records(spec.id))
        entries = []
        for shard, piece in enumerate(pieces):
            folder = writer.path_for(f"{shard_folder(shard)}/items.arrow").parent
            entries.append(write_snapshot(_with_graph(piece, world), folder))
        return writer.publish(spec, shards=entries)


def _columns(world: World) -> ShardColumns:
    names = tuple(category_name(c) for c in range(N_CATEGORIES))
    lists = {WINDOW: (np.arange(world.size.n_items, dtype=np.int32), world.popularity)}
    for code in range(N_CATEGORIES):
        rows = np.flatnonzero(world.category == code).astype(np.int32)
        lists[f"{WINDOW}/category={category_name(code)}"] = (rows, world.popularity[rows])
    return ShardColumns(
        keys=world.keys,
        item_ids=pa.array(world.item_ids),
        lists=RankedLists.of(world.keys, lists),
        attributes={
            "category": CategoryColumn(names, world.category.astype(np.int32)),
            "price": NumberColumn(world.price.astype(np.float64)),
        },
        stats={"popularity": world.popularity, "price": world.price},
        payload=pa.table({"category": [names[c] for c in world.category], "price": world.price.astype(np.float64)}),
        vectors={SPACE: world.vectors},
    )


def _with_graph(piece: ShardColumns, world: World) -> ShardColumns:
    vectors = piece.vectors[SPACE]
    graph = build_graph(vectors, "ip", M=16, ef_construction=200, threads=2)
    space = Space.from_arrays(vectors, keys=piece.keys, metric="ip", graph=graph)
    found = calibrate(space, world.user_vectors[:_CALIBRATION_QUERIES], RECALL_TARGET)
    return replace(piece, graphs={SPACE: graph}, calibrations={SPACE: found})


def fit_models(
    world: World, cache: Path, *, n_trees: int = 300, n_groups: int = 60, group_size: int = 80
) -> tuple[bytes, bytes]:
    """The contents of light.json and heavy.cbm, fitted on made-up rows with the columns that serving has, or found."""
    kept = [cache / f"{world.schema.hash}-{n_trees}-{name}" for name in ("light.json", "heavy.cbm")]
    if all(path.exists() for path in kept):
        return kept[0].read_bytes(), kept[1].read_bytes()
    rng = np.random.default_rng(1)
    columns = world.schema.columns()
    n = n_groups * group_size
    features = np.abs(rng.standard_normal((n, len(columns)))).astype(np.float32)
    dot = columns.index(f"dot.{SPACE}")
    absent = [
        i for i, name in enumerate(columns) if name.split(".")[0] in ("tops", "history") and name.endswith(("score", "rank"))
    ]
    features[np.ix_(rng.random(n) < 0.6, absent)] = np.nan
    wish = features[:, dot] + 0.5 * features[:, columns.index("stat.popularity")] + rng.standard_normal(n)
    labels = (wish > np.quantile(wish, 0.9)).astype(np.float32)
    groups = np.repeat(np.arange(n_groups), group_size)
    light = fit_light(features, labels, groups, columns, seed=0)
    section = RankTrainSection(n_trees=n_trees)
    heavy = fit_heavy(features, labels, groups, columns, section=section, seed=0)
    cache.mkdir(parents=True, exist_ok=True)
    for path, content in zip(kept, (light.to_json(), heavy.blob), strict=True):
        path.write_bytes(content)
    return light.to_json(), heavy.blob


def _unit(rows: np.ndarray) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
