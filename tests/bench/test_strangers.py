"""What the bench of strangers counts: related items among the first twenty, and what of the basket's rest is among them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.ranking import Data
from bench.strangers import BASKET, CONTENT, SHOP, K, Session, made_up, measured, worth
from bench.tools.harness import Bench
from cluster.config.file import load
from cluster.config.sections import CatalogSection
from cluster.types import NO_KEYS
from deploy.demo.synthetic import World, write_world
from deploy.demo.synthetic_browsing import add_browsing
from train.input.catalogue import Catalogue, read_catalogue
from train.stages.read import Inputs


def catalogue(folder: Path) -> Catalogue:
    kinds = [f"kind-{at % 4}" for at in range(80)]
    pq.write_table(pa.table({"item_id": pa.array(range(80)), "category": kinds}), folder / "items.parquet")
    section = CatalogSection(id_type="int64", category=("category",))
    return read_catalogue(folder / "items.parquet", section, id_length_max=64)[0]


def test_related_items_and_the_rest_of_the_basket_are_counted(tmp_path: Path) -> None:
    items = catalogue(tmp_path)
    source = SimpleNamespace(catalogue=items)
    kinds, _ = items.codes("category")
    related = items.keys[kinds == 0]
    session = Session(np.array([0, 4, 8], np.int32), np.sort(related[[5, 6]]), 0.0)
    others = items.keys[kinds == 1]
    order = np.concatenate((related[5:6], others[: K - 1], related[6:7]))
    found = worth([session], [order], source, kinds)
    assert (found[f"recall@{K}"], found["related_share"]) == (0.5, 1 / K)
    assert "recall@20" not in worth([Session(session.basket, NO_KEYS, 0.0)], [order], source, kinds)


def test_a_made_up_basket_is_of_one_kind(tmp_path: Path) -> None:
    items = catalogue(tmp_path)
    kinds, _ = items.codes("category")
    sessions = list(made_up(SimpleNamespace(catalogue=items), SimpleNamespace(judging=1), n_max=12, seed=0))
    assert len(sessions) == 12
    assert all(len(session.basket) == BASKET and len(set(kinds[session.basket])) == 1 for session in sessions)


def test_related_items_lead_because_sessions_are_placed(tmp_path: Path) -> None:
    world = World(n_users=60, n_items=150, n_categories=5)
    write_world(world, tmp_path / "data")
    files = add_browsing(world, tmp_path / "data")
    terms = (*SHOP, f"storage.path={tmp_path}", "train.ranker.n_users=20", "train.ranker.n_trees=10", "train.ranker.moments=1")
    placed, cold = (
        load(None, overrides=[*terms, 'train.ranker.losses=["Logloss"]', "sources.score_all.max_items=0", asked]).config
        for asked in ("users.session_items=20", "users.session_items=0")
    )
    shown, without = (
        measured(
            Bench("strangers", quick=True),
            CONTENT,
            Data(config, Inputs(files.items, files.events, now=world.end + 1.0)),
            n_sessions=20,
        )
        for config in (placed, cold)
    )
    assert shown["merged"]["related_share"] > 1.5 * without["merged"]["related_share"]
    assert shown["served"]["n_sessions"] == 20
