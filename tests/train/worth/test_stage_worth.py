"""Every stage measured on the tiny world: one funnel, each stage after the one before, nobody lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.synthetic import write_world
from tests.pictures import faults, texts, title
from tests.worlds import NOW, TINY, tiny_config
from train.pictures import can_draw
from train.stages.read import Inputs
from train.worth.plots import draw_stages
from train.worth.rank_evaluation import evaluate_stages
from train.worth.stage_worth import StageWorth

LOSSES = ("LambdaMart", "Logloss")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stages")
    write_world(TINY, made)
    return made


@pytest.fixture(scope="module")
def worth(folder: Path) -> StageWorth:
    return measured(folder)


def measured(folder: Path, **sections: dict[str, object]) -> StageWorth:
    ranker = {"label_days": 10, "n_users": 60, "n_trees": 20, "depth": 4, "losses": LOSSES, "stranger_share": 0.0}
    train = tiny_config(folder).model_dump()["train"] | {"ranker": ranker}
    config = tiny_config(folder / "store", train=train, slate={"cap_by": "category", "cap": 2, "k_default": 8}, **sections)
    return evaluate_stages(config, Inputs(folder / "items.parquet", folder / "events.parquet", now=NOW))


def test_all_stages_are_there_and_told_apart(worth: StageWorth) -> None:
    systems = worth.systems
    assert list(systems) == ["merged", "light", "heavy:LambdaMart", "heavy:Logloss", "heavy", "slate", "candidates"]
    assert worth.chosen in systems and 20 < worth.n_users <= TINY.n_users
    for name in list(systems)[:-1]:
        row = systems[name]
        assert row["ndcg@10_lo"] <= row["ndcg@10"] <= row["ndcg@10_hi"] and row["ms"] > 0
        assert row["recall@10"] <= systems["candidates"]["recall"] <= 1
        assert ("light_share" in row) == name.startswith("heavy")


def test_what_a_stage_adds_is_to_the_one_before(worth: StageWorth) -> None:
    systems = worth.systems
    for name, before in (("light", "merged"), ("heavy:Logloss", "light"), ("heavy", "light"), ("slate", worth.ranking.stage)):
        row = systems[name]
        assert row["adds"] == pytest.approx(row["ndcg@10"] - systems[before]["ndcg@10"])
        assert row["adds_lo"] <= row["adds"] <= row["adds_hi"]
    assert "adds" not in systems["merged"] and systems["heavy:Logloss"]["adds"] > 0
    assert systems["slate"]["adds"] < 0, "two of a category leave less to the best order"


def test_the_slate_is_made_of_the_stage_that_serves(folder: Path, worth: StageWorth) -> None:
    assert worth.ranking.stage == "heavy"
    plain = measured(folder, ranker={"light": {"enabled": False}, "heavy": {"enabled": False}})
    assert plain.ranking.stage == "merged" and "heavy adds" in plain.ranking.why
    systems = plain.systems
    assert systems["slate"]["adds"] == pytest.approx(systems["slate"]["ndcg@10"] - systems["merged"]["ndcg@10"])
    assert systems["heavy"]["ndcg@10"] == worth.systems["heavy"]["ndcg@10"]


@pytest.mark.skipif(not can_draw(), reason="needs matplotlib")
def test_the_picture_shows_every_stage(worth: StageWorth, tmp_path: Path) -> None:
    path = draw_stages(worth, tmp_path)
    assert faults(path) == [] and title(path).startswith("The heavy model's order has an ndcg@10 of 0.")
    names = {"ndcg@10 after the stage, 95 % interval", "ms of the stage alone, one shard with all items"}
    assert {*worth.systems, *names} - {"candidates"} <= {text.text for text in texts(path)}
