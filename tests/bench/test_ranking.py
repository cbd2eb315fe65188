"""The ranking bench on worlds of its own: the control learns nothing, batching changes no order, films become tables."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.ranking import BATCHING, SHUFFLED, batching, best_source, markdown, shuffled
from bench.tools.harness import Bench
from bench.tools.movielens import unpack
from bench.tools.row import Row
from cluster.config.sections import Config
from deploy.demo.synthetic import write_world
from tests.worlds import NOW, TINY, tiny_config
from train.build import moments_of
from train.stages import Stages
from train.stages.read import Inputs, open_build
from train.worth.rank_evaluation import RankTrial, rank_trial
from train.worth.stage_worth import measure_stages


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("ranking")
    ranker = {"label_days": 10, "n_users": 60, "n_trees": 20, "depth": 4, "losses": ("Logloss",), "moments": 3}
    return tiny_config(folder, train=tiny_config(folder).model_dump()["train"] | {"ranker": ranker})


@pytest.fixture(scope="module")
def made(config: Config) -> Iterator[tuple[Stages, RankTrial]]:
    folder = Path(config.storage.path)
    items, events = write_world(TINY, folder)
    with open_build(config, Inputs(items, events, now=NOW)) as (stages, dataset):
        yield stages, rank_trial(stages, dataset, config, moments_of(stages, dataset, config), n_users=100)


def test_labels_dealt_out_anew_teach_nothing(made: tuple[Stages, RankTrial], config: Config) -> None:
    stages, trial = made
    right = measure_stages(trial.sessions(), chosen=trial.chosen).systems
    wrong = measure_stages([shuffled(stages, trial, config)], chosen=SHUFFLED).systems
    assert wrong[SHUFFLED]["ndcg@10"] < wrong["merged"]["ndcg@10"] == right["merged"]["ndcg@10"]
    assert wrong[SHUFFLED]["ndcg@10_hi"] < right["heavy:Logloss"]["ndcg@10_lo"]


def test_the_best_source_is_one_of_them(made: tuple[Stages, RankTrial], config: Config) -> None:
    _, trial = made
    ((name, metrics),) = best_source([trial]).items()
    assert name.removeprefix("source:") in trial.router.spec.features.sources
    merged = measure_stages(trial.sessions(), chosen=trial.chosen).systems["merged"]
    assert merged["ndcg@10_lo"] < metrics["ndcg@10"] < 1 and 0 < metrics["recall@10"] < 1


def test_the_table_has_a_line_for_every_system(made: tuple[Stages, RankTrial], config: Config) -> None:
    _, trial = made
    table = measure_stages(trial.sessions(), chosen=trial.chosen).systems
    rows = [Row("ranking", "tiny", name, metrics, {}, {}, "") for name, metrics in table.items() if "ms" in metrics]
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + 5 and all(len(re.findall(r"(?<!\\)\|", line)) == 9 for line in lines)


def test_batching_gives_the_same_orders(made: tuple[Stages, RankTrial], config: Config) -> None:
    bench = Bench("ranking", quick=True)
    batching(bench, made[1])
    assert [row.system for row in bench.rows] == ["batched", "unbatched"] and bench.rows[0].case == BATCHING
    assert all(row.metrics["requests_per_s"] > 0 for row in bench.rows)


def test_films_become_tables(tmp_path: Path) -> None:
    wheel = tmp_path / "wheel"
    with zipfile.ZipFile(wheel, "w") as archive:
        for kind, text in {
            "item": "item_id\ttitle\tyear\tclass\n1\tToy Story\t1995\tAnimation Children's\n267\tunknown\t\t\n",
            "user": "user_id\tage\tgender\toccupation\tzip\n7\t24\tM\ttechnician\t85711\n",
            "inter": "user_id\titem_id\trating\ttimestamp\n7\t1\t3\t881250949\n7\t267\t5\t881250950\n",
        }.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{kind}", text)
    made = unpack(wheel, tmp_path / "data")
    assert made.last_time == 881250950
    assert pq.read_table(made.items).to_pylist() == [
        {"item_id": "1", "genres": ["Animation", "Children's"], "year": 1995.0},
        {"item_id": "267", "genres": [], "year": None},
    ]
    assert pq.read_table(made.users).to_pylist() == [{"user_id": "7", "age": 24.0, "gender": "M", "occupation": "technician"}]
    assert pq.read_table(made.events)["item_id"].to_pylist() == ["1", "267"]
