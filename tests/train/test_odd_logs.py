"""Logs and catalogues that no textbook has: what can be built of them is, answers, and is not called degraded for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.clients.local import LocalRankerClient, LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import ConfigError
from cluster.generation import Generation, generation_path
from cluster.partition import item_key
from cluster.types import UserRecord
from cluster.user_records import read_users
from ranker.ranker import Ranker
from router.request import Recommendation, Request
from router.router import Router
from shard.shard import Shard
from tests.worlds import NOW
from train.build import REPORT_FILE, BuildReport, Inputs, build
from train.input.event_log import DAY_S
from train.refit import refit

END = int(NOW) - 3600
Event = tuple[str, int, int]  # user, item, days before the end

SHORT = [(f"u{user}", item, item % 7) for user in range(20) for item in range(user % 5, 20, 3)]
SUMS = [(user, item, 0) for user, item, _ in SHORT]  # play counts: everything at one time


class Records:
    """A user store that is a dictionary."""

    def __init__(self, generation: Generation) -> None:
        self._records = {record.user_id: record for record in read_users(generation)}

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        return self._records.get(user_id)


class NoRanker:
    """Whoever asks it is wrong to."""

    async def rank(self, *_: object) -> object:
        raise AssertionError("a generation without models has nothing to ask a ranker")


def config_of(folder: Path, **sections: dict[str, object]) -> Config:
    plain: dict[str, dict[str, object]] = {
        "cluster": {"n_shards": 2},
        "storage": {"path": str(folder / "store")},
        "catalog": {"category": ("genre",)},
        "train": {"als": {"dim": 8, "n_sweeps": 2}, "ranker": {"n_trees": 10, "depth": 3}},
    }
    return Config.model_validate(plain | {name: plain.get(name, {}) | values for name, values in sections.items()})


def write_items(folder: Path, n: int, *, vectors: Sequence[Sequence[float] | None] = ()) -> Path:
    columns: dict[str, object] = {"item_id": [f"i{at}" for at in range(n)], "genre": [f"g{at % 3}" for at in range(n)]}
    columns["listed"] = pa.array([END - at * DAY_S for at in range(n)], pa.timestamp("s"))
    if vectors:
        columns["vector"] = pa.array(vectors, pa.list_(pa.float32()))
    pq.write_table(pa.table(columns), folder / "items.parquet")
    return folder / "items.parquet"


def write_events(folder: Path, events: Sequence[Event]) -> Path:
    users, items, days = zip(*events, strict=True) if events else ((), (), ())
    columns = {
        "user_id": pa.array(users, pa.string()),
        "item_id": pa.array([f"i{item}" for item in items], pa.string()),
        "timestamp": pa.array([END - day * DAY_S for day in days], pa.timestamp("s")),
    }
    pq.write_table(pa.table(columns), folder / "events.parquet")
    return folder / "events.parquet"


def built(folder: Path, config: Config, events: Sequence[Event] | None) -> Generation:
    """Of the items that were written into the folder, or of twenty."""
    items = folder / "items.parquet"
    if not items.exists():
        write_items(folder, 20)
    made = build(config, Inputs(items, None if events is None else write_events(folder, events), now=NOW))
    return Generation.open(generation_path(folder / "store", made.spec.id))


def ask(generation: Generation, config: Config, request: Request, *, models: bool = False) -> Recommendation:
    shards = tuple(LocalShardClient(Shard.load(generation, at)) for at in range(generation.spec.n_shards))
    ranker = LocalRankerClient(Ranker.load(generation)) if models else NoRanker()
    fleet = Fleet(1, generation.spec, shards, ranker)  # type: ignore[arg-type]
    router = Router(lambda: fleet, Records(generation), config)
    return asyncio.run(router.recommend(request, Deadline.after_ms(5_000)))


def report_of(generation: Generation) -> BuildReport:
    with generation.verified(REPORT_FILE) as file:
        return msgspec.json.decode(file.read_bytes(), type=BuildReport)


@pytest.mark.parametrize("events", [SHORT, SUMS, [("u", 3, 0)], [("u1", 1, 0), ("u1", 2, 0), ("u2", 1, 0)]])
def test_a_log_too_short_to_rank_by_serves_the_merged_order(tmp_path: Path, events: Sequence[Event]) -> None:
    config = config_of(tmp_path)
    generation = built(tmp_path, config, events)
    ranking = generation.spec.ranking("catboost")
    assert ranking.stage == "merged" and "days, and train.ranker.label_days = " in ranking.why
    with generation.verified("models/card.md") as file:
        assert ranking.why in file.read_bytes().decode()
    report = report_of(generation)
    assert report.quality == {} and ranking.why in report.stages["split"].summary
    assert not {"models/light.json", "models/heavy.cbm"} & generation.manifest.files.keys()
    assert Ranker.load(generation).spec == Ranker.load(generation, heavy_model="onnx").spec == generation.spec
    answer = ask(generation, config, Request(events[0][0], 10))
    assert len(answer.items) == 10 and answer.degraded == ()
    again = ask(generation, config, Request(events[0][0], 10))
    assert [item.item_id for item in answer.items] == [item.item_id for item in again.items]


def test_windows_in_which_nobody_comes_back_rank_nothing(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    generation = built(tmp_path, config, [("u1", 1, 100), ("u2", 2, 0), ("u3", 3, 40)])
    assert generation.spec.ranking("catboost").stage == "merged"
    assert "users to learn from" in generation.spec.ranking("catboost").why
    assert ask(generation, config, Request("u1", 5)).degraded == ()


def test_rankers_cannot_be_trained_on_a_short_log(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    built(tmp_path, config, SUMS)
    with pytest.raises(ConfigError, match=r"no ranking models: the log covers 0\.0 days"):
        refit(config, Inputs(tmp_path / "items.parquet", tmp_path / "events.parquet", now=NOW + 1))


def vectors_of(n: int, *, n_zero: int = 0) -> list[list[float] | None]:
    """Two clusters, the odd rows and the even ones; the last `n_zero` have none."""
    rng = np.random.default_rng(0)
    centres = np.eye(2, 6)
    vectors: list[list[float] | None] = [(centres[at % 2] + 0.1 * rng.standard_normal(6)).tolist() for at in range(n - n_zero)]
    return vectors + [None] * n_zero


def test_a_catalogue_without_a_log_serves_what_is_new_and_what_is_alike(tmp_path: Path) -> None:
    config = config_of(tmp_path, catalog={"category": ("genre",), "created_column": "listed", "vector_column": "vector"})
    write_items(tmp_path, 60, vectors=vectors_of(60, n_zero=6))
    generation = built(tmp_path, config, None)
    assert {source.name for source in generation.spec.sources} == {"new", "content", "viewed", "similar"}
    assert [space.name for space in generation.spec.spaces] == ["content"]
    assert report_of(generation).n_users == 0
    answer = ask(generation, config, Request("anybody", 10))
    assert [item.item_id for item in answer.items] == [f"i{at}" for at in range(10)], "the newest"
    assert answer.degraded == ("unknown_user",)
    session = ask(generation, config, Request("anybody", 10, viewed=("i0", "i2", "i4")))
    alike = [item for item in session.items if "content" in item.sources]
    assert len(alike) >= 5 and all(int(str(item.item_id)[1:]) % 2 == 0 for item in alike[:5]), "of the same cluster"
    nowhere = ask(generation, config, Request("anybody", 10, viewed=("i59",)))  # an item without a vector
    assert len(nowhere.items) == 10


def test_without_a_date_the_order_is_that_of_keys_and_no_log_may_be_an_empty_one(tmp_path: Path) -> None:
    config = config_of(tmp_path, catalog={"vector_column": "vector"})
    write_items(tmp_path, 40, vectors=vectors_of(40))
    generation = built(tmp_path, config, [])
    keys = np.sort(np.concatenate([Shard.load(generation, at).columns.keys for at in range(2)]))
    answer = ask(generation, config, Request("anybody", 10))
    assert [item_key(item.item_id) for item in answer.items] == keys[:10].tolist() and answer.degraded == ("unknown_user",)


@pytest.mark.parametrize("events", [None, []])
def test_neither_log_nor_vectors_is_refused_in_a_line(tmp_path: Path, events: list[Event] | None) -> None:
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, config_of(tmp_path), events)
    assert "no content vectors (catalog.vector_column)" in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"ann": {"enabled": True}}, "sources.ann.enabled is true, but the source needs a log with purchases"),
        ({"history": {"enabled": True}}, "sources.history.enabled is true, but the source needs a log with purchases"),
        ({"tops": {"kinds": ("purchases",)}}, "purchases needs purchases"),
        (
            {"item_lists": {"mine": {"table": "npmi", "seeds": "basket"}}},
            "item_lists.mine: table npmi needs a log with purchases",
        ),
    ],
)
def test_a_source_asked_for_by_name_needs_its_log(tmp_path: Path, sources: dict[str, object], said: str) -> None:
    write_items(tmp_path, 10, vectors=vectors_of(10))
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        built(tmp_path, config_of(tmp_path, catalog={"vector_column": "vector"}, sources=sources), None)


def test_a_stage_that_makes_next_to_nothing_says_why(tmp_path: Path) -> None:
    stages = report_of(built(tmp_path, config_of(tmp_path), [(f"u{at}", at, 0) for at in range(20)])).stages
    assert "20 items were bought; most have no list, because train.npmi.support_min = 3" in stages["npmi-lists-serving"].summary
    assert "because train.near.consumers_min = 5" in stages["als-lists-serving"].summary
    assert "note" not in stages["ease-lists-serving"].summary
