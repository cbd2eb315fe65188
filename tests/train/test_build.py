"""The whole build on a tiny world: what it publishes works, resumes, repeats, and does not look ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.clients.local import LocalRankerClient, LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.errors import ConfigError
from cluster.filtering import Condition, Filter
from cluster.generation import Generation, current_id, generation_ids, generation_path
from cluster.types import UserRecord
from cluster.user_records import read_users
from deploy.demo.synthetic import write_world
from ranker.ranker import Ranker
from router.request import Recommendation, Request
from router.router import Router
from shard.shard import Shard
from tests.shard.integrity import check_integrity
from tests.worlds import NOW, TINY, build_tiny, tiny_config
from train.build import REPORT_FILE, BuildReport, Inputs, build
from train.input.event_log import DAY_S
from train.progress import Quiet
from train.rank.card import CARD_FILE, ModelCard


class Stages(Quiet):
    """Remembers how each stage ended, and breaks off when the named one has begun."""

    def __init__(self, break_at: str = "") -> None:
        self.ends: dict[str, str] = {}
        self._break_at, self._now_at = break_at, ""

    def begin(self, stage: str, total: int) -> None:
        self._now_at = stage

    def advance(self, done: int) -> None:
        if self._now_at == self._break_at:
            raise KeyboardInterrupt

    def end(self, summary: str) -> None:
        self.ends[self._now_at] = summary


class DictStore:
    """A user store that is a dictionary."""

    def __init__(self, records: Iterator[UserRecord]) -> None:
        self._records = {record.user_id: record for record in records}

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        return self._records.get(user_id)


def recommend(generation: Generation, request: Request) -> Recommendation:
    """An answer of the whole serving path in this process."""
    spec = generation.spec
    shards = tuple(LocalShardClient(Shard.load(generation, at)) for at in range(spec.n_shards))
    fleet = Fleet(1, spec, shards, LocalRankerClient(Ranker.load(generation)))
    sections = tiny_config(Path("unused"))
    router = Router(lambda: fleet, DictStore(read_users(generation)), sections)
    return asyncio.run(router.recommend(request, Deadline.after_ms(5_000)))


def test_what_was_built_answers(tiny_generation: Generation) -> None:
    answer = recommend(tiny_generation, Request("user-0003", 10))
    assert len(answer.items) == 10 and answer.coverage.ratio == 1 and answer.degraded == ()
    assert {source for item in answer.items for source in item.sources} >= {"tops", "history", "ann", "ease", "quorum"}
    assert set(answer.items[0].payload) == {"category", "brand", "price", "organic"}
    store = Filter(must=(Condition("stores", "eq", ("store-1",)),))
    assert len(recommend(tiny_generation, Request("user-0003", 10, filter=store)).items) == 10
    stranger = recommend(tiny_generation, Request("nobody", 5))
    assert len(stranger.items) == 5 and stranger.degraded == ("unknown_user",)


def test_every_item_is_in_one_shard_and_every_shard_is_sound(tiny_generation: Generation) -> None:
    shards = [Shard.load(tiny_generation, at) for at in range(tiny_generation.spec.n_shards)]
    for shard in shards:
        check_integrity(shard)
    keys = np.concatenate([shard.columns.keys for shard in shards])
    assert len(keys) == len(np.unique(keys)) == TINY.n_items == tiny_generation.spec.n_items


def test_the_build_reports_on_its_input_and_its_ranking(tiny_generation: Generation) -> None:
    with tiny_generation.verified(REPORT_FILE) as file:
        report = msgspec.json.decode(file.read_bytes(), type=BuildReport)
    assert report.n_users == sum(1 for _ in read_users(tiny_generation)) == TINY.n_users
    assert report.input.items.n_kept == TINY.n_items and report.input.events.dropped == {}
    assert 0 < report.quality["merged"]["ndcg@10"] < report.quality["heavy"]["ndcg@10"] <= 1
    assert report.quality["heavy"]["recall@10"] <= report.quality["candidates"]["recall"] <= 1


def test_the_card_tells_how_the_model_that_serves_was_chosen(tiny_generation: Generation) -> None:
    with tiny_generation.verified(CARD_FILE) as file:
        card = msgspec.json.decode(file.read_bytes(), type=ModelCard)
    assert card.schema_hash == tiny_generation.spec.features.hash
    assert [fit.loss for fit in card.fits] == ["Logloss", "YetiRank", "QuerySoftMax", "LambdaMart"]
    assert card.chose["heavy"] == card.chose[f"heavy:{card.winner}"]
    assert card.chose["heavy"]["ndcg@10"] >= card.chose["heavy:Logloss"]["ndcg@10"]
    assert {fit.loss: fit.n_trees for fit in card.fits} == card.choice.n_trees
    assert all(choice.n_trees.keys() == card.choice.n_trees.keys() for choice in card.of_halves)
    assert sum(share for _, share in card.won.importances) == pytest.approx(100) and len(card.won.curve) == 2
    with tiny_generation.verified("models/card.md") as file:
        text = file.read_bytes().decode()
    assert card.rankings == tiny_generation.spec.rankings and [ranking.heavy for ranking in card.rankings] == ["catboost"]
    assert f"Ranking: {card.ranking.line}." in text
    assert f"**{card.winner}**" in text and all(f"heavy:{fit.loss}" in text for fit in card.fits)


def test_the_manifest_says_what_each_source_came_from_and_took(tiny_generation: Generation) -> None:
    entries = tiny_generation.manifest.sources
    assert [entry.name for entry in entries] == [source.name for source in tiny_generation.spec.sources]
    rows = {entry.name: entry.n_rows for entry in entries}
    assert rows["tops"] == rows["new"] == 4 * TINY.n_items  # two windows, global and by category
    assert rows["ann"] == rows["score_all"] == TINY.n_items and rows["viewed"] == 0
    assert all(n > 0 for name, n in rows.items() if name != "viewed")
    with tiny_generation.verified(REPORT_FILE) as file:
        stages = msgspec.json.decode(file.read_bytes(), type=BuildReport).stages
    for entry in entries:
        assert entry.stages and entry.build_seconds == pytest.approx(sum(stages[s].seconds for s in entry.stages), abs=0.01)
    assert stages["graph-als"].seconds > 0 and stages["als-lists-serving"].n_rows == rows["near_basket"]


def test_a_killed_build_resumes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_tiny(tmp_path, progress=Stages(break_at="rows-judging"))
    assert generation_ids(tmp_path / "store") == []
    resumed = Stages()
    built = build_tiny(tmp_path, progress=resumed)
    fitted = (
        "als",
        "als-lists",
        "content-lists",
        "ease-lists",
        "npmi-lists",
        "together-lists",
        "quorum",
    )  # likeness is of no moment
    moments = ("training-1", "training-2", "judging")
    again = {name for name, end in resumed.ends.items() if end == "reused"}
    assert again == {
        *("read", "content-likeness", "rows-training-1", "rows-training-2"),
        *(f"{name}-{moment}" for name in fitted for moment in moments),
    }
    assert current_id(tmp_path / "store") == built.spec.id


def test_a_changed_setting_redoes_what_depends_on_it(tmp_path: Path) -> None:
    build_tiny(tmp_path)
    ranker = {"label_days": 10, "n_users": 60, "n_trees": 5, "depth": 3}
    train = tiny_config(tmp_path / "store").model_dump()["train"] | {"ranker": ranker}
    again = Stages()
    build_tiny(tmp_path, now=NOW + 1, progress=again, config=tiny_config(tmp_path / "store", train=train))
    assert again.ends["rows-training-2"] == again.ends["light"] == again.ends["als-serving"] == "reused"
    assert again.ends["heavy-Logloss"] != "reused"
    fewer = Stages()
    built = build_tiny(tmp_path, now=NOW + 2, progress=fewer, config=tiny_config(tmp_path / "store", n_shards=2))
    assert fewer.ends["heavy-Logloss"] != "reused" and "reused" not in fewer.ends["shards"] and fewer.ends["read"] == "reused"
    assert built.spec.n_shards == 2 and len(generation_ids(tmp_path / "store")) == 3


def test_the_same_inputs_seed_and_time_give_the_same_bytes(tmp_path: Path, tiny_generation: Generation) -> None:
    built = build_tiny(tmp_path)
    again = Generation.open(generation_path(tmp_path / "store", built.spec.id)).manifest
    assert again.spec == tiny_generation.manifest.spec and again.shards == tiny_generation.manifest.shards
    files = {name for name, entry in again.files.items() if tiny_generation.manifest.files.get(name) != entry}
    assert files <= {REPORT_FILE} and len(again.files) == len(tiny_generation.manifest.files)  # it says how long all took


def test_tables_of_users_and_playlists_reach_the_slate(tmp_path: Path) -> None:
    items, events = write_world(TINY, tmp_path)
    users, playlists = tmp_path / "users.parquet", tmp_path / "playlists.parquet"
    pq.write_table(pa.table({"user_id": ["newcomer"], "category": ["category-1"]}), users)
    picnic = ["item-0005", "item-0003", "item-0009"]
    pq.write_table(pa.table({"name": ["picnic"] * 3, "item_id": picnic, "position": [1.0, 2.0, 3.0]}), playlists)
    config = tiny_config(tmp_path / "store", user_table={"category": ("category",)})
    built = build(config, Inputs(items, events, users, playlists, now=NOW))
    assert built.report.n_users == TINY.n_users + 1
    assert built.report.input.users is not None and built.report.input.users.n_kept == 1
    generation = Generation.open(generation_path(tmp_path / "store", built.spec.id))
    record = next(record for record in read_users(generation) if record.user_id == "newcomer")
    assert record.profile["category"].values == ("category-1",) and not record.vectors
    answer = recommend(generation, Request("newcomer", 40, playlists=("picnic",)))
    assert answer.degraded == ("no_user_vector",) and len(answer.items) == 40
    assert {source for item in answer.items for source in item.sources} >= {"playlists", "quorum", "tops"}


def test_dirty_input_is_dropped_counted_and_harmless(tmp_path: Path) -> None:
    items, events = write_world(TINY, tmp_path)
    table = pq.read_table(events)
    times = pa.array([TINY.end, TINY.end, None, TINY.end + 10 * DAY_S], pa.timestamp("s", "UTC"))
    bad = pa.table(
        {
            "user_id": pa.array([None, "user-0001", "user-0001", "user-0001"]),
            "item_id": ["item-0001", "no such item", "item-0001", "item-0001"],
            "timestamp": times.cast(table.schema.field("timestamp").type),
        }
    )
    pq.write_table(pa.concat_tables([table, bad, table.slice(0, 2)]), events)
    catalogue = pq.read_table(items)
    pq.write_table(pa.concat_tables([catalogue, catalogue.slice(0, 1)]), items)
    report = build_tiny(tmp_path).report.input
    assert report.items.dropped == {"repeated id": 1}
    assert report.events.dropped == {
        "null user": 1,
        "item not in the catalogue": 1,
        "null time": 1,
        "in the future": 1,
        "repeats another event (user, item, time, type)": 2,
    }
    assert report.last_time <= TINY.end


def test_a_wrong_input_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    items, events = write_world(TINY, tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere\.parquet: no such file"):
        build(tiny_config(tmp_path / "store"), Inputs(items, tmp_path / "nowhere.parquet", now=NOW))
    pq.write_table(pq.read_table(events).drop_columns("user_id"), events)
    with pytest.raises(ConfigError, match="no column 'user_id'"):
        build_tiny(tmp_path)
    assert not (tmp_path / "store" / "generations").exists()
