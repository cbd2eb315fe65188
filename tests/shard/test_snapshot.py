"""Columns survive the disk, yesterday's files are still read, and no library sees a byte that was not published."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import shard.snapshot
from cluster.errors import GenerationCorrupt, GenerationError, InternalError, SchemaMismatch
from cluster.filtering import Condition, Filter
from cluster.generation import Generation, GenerationWriter, VerifiedFile
from cluster.partition import item_keys, shard_of
from cluster.types import Affinity, Ask, FetchQuery, Query, Seeds
from shard.arrow_file import read_table, require_plain, write_table
from shard.columns import ShardColumns, partition
from shard.filter.attributes import column_to_arrow
from shard.shard import Shard
from shard.snapshot import read_snapshot, shard_folder, write_snapshot
from shard.spaces.hnsw import Graph
from shard.tables.lists import RankedLists
from tests.cluster.generation.making import all_files, copied, flip_bit
from tests.shard.golden import make
from tests.shard.integrity import check_integrity
from tests.shard.worlds import World

GOLDEN = Path(make.__file__).parent / "v2"
WORLD = World.drawn(3, 20)


def published(world: World, storage: Path, n_shards: int) -> Generation:
    pieces = partition(world.columns, n_shards)
    with GenerationWriter(storage, "tiny-1") as writer:
        entries = [write_snapshot(piece, writer.directory / shard_folder(i)) for i, piece in enumerate(pieces)]
        return writer.publish(world.spec([len(piece) for piece in pieces]), shards=entries)


def assert_same_lists(found: RankedLists, expected: RankedLists) -> None:
    assert found.names == expected.names
    for name in found.names:
        for mine, theirs in zip(found.slice(name), expected.slice(name), strict=True):
            assert mine.tolist() == theirs.tolist()


def assert_same(found: ShardColumns, expected: ShardColumns) -> None:
    assert found.keys.tolist() == expected.keys.tolist()
    assert found.item_ids == expected.item_ids
    assert_same_lists(found.lists, expected.lists)
    assert {n: column_to_arrow(c).to_pylist() for n, c in found.attributes.items()} == {
        n: column_to_arrow(c).to_pylist() for n, c in expected.attributes.items()
    }
    for mine, theirs in ((found.stats, expected.stats), (found.vectors, expected.vectors)):
        assert {name: array.tolist() for name, array in mine.items()} == {
            name: array.tolist() for name, array in theirs.items()
        }
    assert (found.payload and found.payload.to_pylist()) == (expected.payload and expected.payload.to_pylist())
    assert found.calibrations == expected.calibrations
    assert found.tables.keys() == expected.tables.keys()
    for name, table in found.tables.items():
        for part in ("seed_keys", "starts", "rows", "weights"):
            assert getattr(table, part).tolist() == getattr(expected.tables[name], part).tolist()
    assert (found.quorum is None) == (expected.quorum is None)
    if found.quorum is not None and expected.quorum is not None:
        assert_same_lists(found.quorum.by_value, expected.quorum.by_value)


@pytest.mark.parametrize(("n_items", "n_shards"), [(40, 1), (40, 3), (3, 8), (0, 1)])
def test_columns_survive_the_disk(tmp_path: Path, n_items: int, n_shards: int) -> None:
    world = World.drawn(n_items, n_items)
    generation = published(world, tmp_path, n_shards)
    for at, piece in enumerate(partition(world.columns, n_shards)):
        assert_same(read_snapshot(generation, at), piece)
        check_integrity(Shard.load(generation, at))


def test_integer_ids_are_their_own_keys(tmp_path: Path) -> None:
    world = World.drawn(1, 20)
    columns = replace(world.columns, item_ids=None)
    spec = msgspec.structs.replace(world.spec([len(world)]), id_type="int64")
    with GenerationWriter(tmp_path, "tiny-1") as writer:
        entry = write_snapshot(columns, writer.directory / shard_folder(0))
        generation = writer.publish(spec, shards=[entry])
    loaded = Shard.load(generation, 0)
    check_integrity(loaded)
    assert loaded.fetch(FetchQuery("tiny-1", np.array([4], np.int32))).item_ids == (int(world.keys[4]),)


def make_seeds(*item_ids: str) -> Seeds:
    """Of weights 1, 2, ..."""
    weights = np.arange(1, len(item_ids) + 1, dtype=np.float32)
    return Seeds(item_keys(item_ids), weights, np.zeros(len(item_ids), np.float32))


@pytest.fixture(scope="module")
def shards() -> list[Shard]:
    """The golden ones."""
    generation = Generation.open(GOLDEN)
    return [Shard.load(generation, i) for i in range(make.N_SHARDS)]


class TestGolden:
    """Format 2, as it was written when it was new."""

    def test_its_columns_are_those_that_were_written(self, shards: list[Shard]) -> None:
        for loaded, piece in zip(shards, partition(make.columns(), make.N_SHARDS), strict=True):
            check_integrity(loaded)
            calibrations = loaded.columns.calibrations
            assert_same(loaded.columns, replace(piece, calibrations=calibrations))
            assert calibrations["taste"].ef_for(len(piece)) == 16
            assert loaded.columns.graphs["taste"].n_points == len(piece)

    def test_it_answers(self, shards: list[Shard]) -> None:
        query = Query(
            "golden",
            (
                Ask("tops", 6, (("purchases/7d", 1.0), ("purchases/7d/brand=acme", 5.0))),
                Ask("ann", 6),
                Ask("similar", 6),
                Ask("quorum", 6),
            ),
            filter=Filter(must_not=(Condition("price", "lt", (0,)),)),
            vectors={"taste": np.array([1, 0, 0], np.float32)},
            seeds={"history": make_seeds("eggs", "apple")},
            profile={"brand": Affinity(("bolt",), np.array([0.5], np.float32))},
        )
        scores: dict[str, dict] = {ask.source: {} for ask in query.asks}
        affinities = {}
        for loaded in shards:
            reply = loaded.retrieve(query)
            ids = loaded.fetch(FetchQuery("golden", reply.rows)).item_ids
            for hits in reply.sources:
                scores[hits.source] |= {ids[at]: score for at, score in zip(hits.members, hits.scores, strict=True)}
            column = loaded.spec.features.match.index("affinity.brand")
            affinities |= dict(zip(ids, reply.match[:, column].tolist(), strict=True))
        assert scores == {
            "tops": {"apple": 15, "bread": 2, "crème": 2, "eggs": 9, "figs": 5},
            "ann": {"apple": 1, "bread": 0, "crème": 0, "eggs": 0, "figs": 3},
            "similar": {"figs": 2, "crème": 0.25},  # not bread: its weight is below 0
            "quorum": {"bread": 0.5, "eggs": 0.5},
        }
        assert affinities == {"apple": 0, "bread": 0.5, "crème": 0, "eggs": 0.5, "figs": 0}

    def test_its_payloads_are_plain(self, shards: list[Shard]) -> None:
        found = {}
        for loaded in shards:
            reply = loaded.fetch(FetchQuery("golden", np.arange(len(loaded), dtype=np.int32)))
            found |= dict(zip(reply.item_ids, reply.payloads, strict=True))
        shown = ("brand", "stores", "price", "organic")
        assert found == {item_id: {name: item[name] for name in shown} for item_id, item in make.ITEMS.items()}


class TestDamage:
    """Spies stand where bytes of a file reach a library: arrow's reader and the graph's."""

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        seen: list[str] = []
        read_table, load = shard.snapshot.read_table, shard.snapshot.Graph.load

        def seen_table(file: VerifiedFile) -> pa.Table:
            seen.append(file.name)
            return read_table(file)

        def seen_graph(path: str, *args: object, **kwargs: object) -> Graph:
            seen.append(path)
            return load(path, *args, **kwargs)

        monkeypatch.setattr(shard.snapshot, "read_table", seen_table)
        monkeypatch.setattr(shard.snapshot.Graph, "load", seen_graph)
        return seen

    def test_the_spies_see_every_file_of_a_sound_one(self, opened: list[str]) -> None:
        read_snapshot(Generation.open(GOLDEN), 0)
        assert sorted(opened)[1:] == [
            f"shard-0000/{name}.arrow" for name in ("items", "lists", "quorum", "table-content", "vectors-taste")
        ]
        assert opened and sorted(opened)[0].startswith("/proc/self/fd/")

    def test_any_flipped_bit_stops_the_shard_before_a_library_sees_any_byte(self, tmp_path: Path, opened: list[str]) -> None:
        folder = copied(Generation.open(GOLDEN), tmp_path / "g")
        rng = random.Random(0)
        files = all_files(folder)
        for _ in range(400):
            path = rng.choice(files)
            bit = rng.randrange(path.stat().st_size * 8)
            flip_bit(path, bit)
            damaged = int(path.parent.name[-4:]) if path.parent != folder else 0
            with pytest.raises(GenerationError):
                read_snapshot(Generation.open(folder), damaged)
            assert opened == []
            flip_bit(path, bit)
        read_snapshot(Generation.open(folder), 0)

    @pytest.mark.parametrize(
        ("one", "other"), [("items", "lists"), ("items", "../shard-0001/items"), ("lists", "vectors-taste")]
    )
    def test_swapped_files_stop_it(self, tmp_path: Path, opened: list[str], one: str, other: str) -> None:
        folder = copied(Generation.open(GOLDEN), tmp_path / "g") / "shard-0000"
        (folder / f"{one}.arrow").rename(tmp_path / "aside")
        (folder / f"{other}.arrow").rename(folder / f"{one}.arrow")
        (tmp_path / "aside").rename(folder / f"{other}.arrow")
        with pytest.raises(GenerationCorrupt):
            read_snapshot(Generation.open(folder.parent), 0)
        assert opened == []

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_truncated_files_stop_it(self, tmp_path: Path, opened: list[str], share: float) -> None:
        for name in ("items.arrow", "graph-taste.hnsw"):
            path = copied(Generation.open(GOLDEN), tmp_path / f"g-{name}") / "shard-0000" / name
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            with pytest.raises(GenerationCorrupt):
                read_snapshot(Generation.open(path.parent.parent), 0)
        assert opened == []


class Evil(pa.ExtensionType):
    """An extension type that leaves a mark when it is revived from its serialized form."""

    revived = False

    def __init__(self) -> None:
        super().__init__(pa.int64(), "oskolok.evil")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Evil:
        cls.revived = True
        return cls()


def test_extension_types_are_neither_written_nor_read(tmp_path: Path) -> None:
    evil = pa.table({"x": pa.ExtensionArray.from_storage(Evil(), pa.array([1]))})
    with pytest.raises(SchemaMismatch, match="not allowed"):
        write_table(evil, tmp_path / "x.arrow")
    assert not (tmp_path / "x.arrow").exists()
    with pa.ipc.new_file(tmp_path / "y.arrow", evil.schema) as writer:
        writer.write_table(evil)
    Evil.revived = False
    with open(tmp_path / "y.arrow", "rb") as stream:
        file = VerifiedFile("y.arrow", stream.fileno(), (tmp_path / "y.arrow").stat().st_size)
        with pytest.raises(SchemaMismatch, match="not allowed"):
            read_table(file)
    assert not Evil.revived


def test_what_is_no_arrow_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_bytes(b"not arrow" * 20)
    with open(tmp_path / "x.arrow", "rb") as stream, pytest.raises(GenerationCorrupt, match="not an Arrow file"):
        read_table(VerifiedFile("x.arrow", stream.fileno(), 180))


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "oskolok.evil"})]),
        pa.schema([pa.field("x", pa.list_(pa.field("y", pa.int64(), metadata={"ARROW:extension:name": "evil"})))]),
        pa.schema([("x", pa.binary())]),
        pa.schema([("x", pa.list_(pa.list_(pa.int64())))]),
        pa.schema([("x", pa.struct([("y", pa.int64())]))]),
        pa.schema([("x", pa.timestamp("us"))]),
    ],
)
def test_types_that_are_not_on_the_list_are_refused(schema: pa.Schema) -> None:
    with pytest.raises(SchemaMismatch, match="not allowed"):
        require_plain(schema, "x.arrow")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (replace(WORLD.columns, vectors={}), "no vectors-taste.arrow"),
        (replace(WORLD.columns, attributes={}), "no column"),
        (WORLD.columns.take(np.arange(5, dtype=np.int32)), "5 items, the spec says 20"),
        (replace(WORLD.columns, vectors={"taste": np.zeros((20, 4), np.float32)}), "20 vectors of 5"),
    ],
)
def test_columns_that_do_not_fit_the_spec_are_refused(tmp_path: Path, columns: ShardColumns, message: str) -> None:
    with GenerationWriter(tmp_path, "tiny-1") as writer:
        entry = write_snapshot(columns, writer.directory / shard_folder(0))
        generation = writer.publish(WORLD.spec([len(WORLD)]), shards=[entry])
    with pytest.raises(SchemaMismatch, match=message):
        read_snapshot(generation, 0)


@pytest.mark.parametrize(
    "columns",
    [
        replace(WORLD.columns, stats={"trend": np.full(20, np.nan, np.float32)}),
        replace(WORLD.columns, vectors={"taste": np.full((20, 5), np.inf, np.float32)}),
        replace(WORLD.columns, payload=pa.table({"price": np.full(20, np.inf)})),
    ],
)
def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path, columns: ShardColumns) -> None:
    with pytest.raises(InternalError, match="finite"):
        write_snapshot(columns, tmp_path)


def test_a_partition_is_disjoint_complete_and_by_hash() -> None:
    pieces = partition(WORLD.columns, 5)
    assert sorted(key for piece in pieces for key in piece.keys.tolist()) == WORLD.keys.tolist()
    assert all((shard_of(piece.keys, 5) == at).all() for at, piece in enumerate(pieces))
