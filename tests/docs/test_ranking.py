"""docs/ranking.md says what is so: its configuration loads, its example runs, its files, numbers and names are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bench.ranking import BATCHING, markdown
from bench.row import RESULTS, read_rows
from cluster.config import Config
from cluster.config_file import load
from cluster.features import CONTEXT, cross_columns
from cluster.train_sections import Loss
from cluster.types import NO_KEYS
from router.request import DEGRADATIONS
from router.slate.compose import compose
from tests.router.slate.making import candidates_of, ranked, rules_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "ranking.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_configuration_loads(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    catalog = '[catalog]\ncategory = ["brand", "department"]\nboolean = ["own_brand"]\n'
    (tmp_path / "oskolok.toml").write_text(catalog + block)
    slate = load(tmp_path / "oskolok.toml").config.slate
    assert (len(slate.caps), len(slate.pins), len(slate.boosts), len(slate.quotas)) == (2, 1, 1, 2)
    assert (slate.diversity.method, slate.explore.method) == ("mmr", "thompson")


@pytest.mark.parametrize("code", blocks("python"))
def test_the_examples_run(code: str) -> None:
    exec(compile(code, "docs/ranking.md", "exec"), {})


@pytest.mark.parametrize("place", [8, 24, 99])
def test_a_boost_moves_an_item_as_far_as_it_says(place: int) -> None:
    n = 120
    candidates = candidates_of(range(n), sources=[(at != place - 1, at == place - 1) for at in range(n)])
    rules = rules_of(boosts=({"source": "new", "multiply": 2.0},))
    slate = compose(candidates, ranked(range(n)), 20, exclude=NO_KEYS, rules=rules)
    moved_to = int(np.flatnonzero(slate.sequence == place - 1)[0]) + 1
    said = dict(re.findall(r"(?:place|from) (\d+) to (?:place )?(\d+)", " ".join(TEXT.split())))
    assert moved_to == int(said[str(place)])


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`((?:train|ranker|catalog|merge)\.\w[\w.]*)`", TEXT))))
def test_every_key_exists(key: str) -> None:
    section: object = Config().model_dump()
    for part in key.split("."):
        assert isinstance(section, dict) and part in section, f"no {key}"
        section = section[part]


@pytest.mark.parametrize("case", ["complete-journey", "complete-journey new", "ml-100k"])
def test_the_tables_are_the_measured_ones(case: str) -> None:
    rows = [row for row in read_rows(RESULTS / "ranking.jsonl") if row.case == case]
    assert rows and markdown(rows) in TEXT


def test_batches_are_as_fast_as_it_says() -> None:
    measured = {row.system: row.metrics for row in read_rows(RESULTS / "ranking.jsonl") if row.case == BATCHING}
    for system in ("batched", "unbatched"):
        assert f"{measured[system]['requests_per_s']:,.0f}" in TEXT and f"{measured[system]['p99_us'] / 1000:.1f}" in TEXT


def test_no_loss_and_no_cross_is_left_out() -> None:
    crosses = cross_columns(match=("stat.cycle_days", "history.age_days"), sources=("ann",), user=())
    for name in (*get_args(Loss), *CONTEXT, *crosses):
        assert f"`{name}`" in TEXT, name


def test_the_rules_files_are_there() -> None:
    for name in set(re.findall(r"\| `(\w+\.py)` \|", TEXT)):
        assert (ROOT / "router" / "slate" / name).exists(), name
    of_ranking = [reason for reason in DEGRADATIONS if reason.startswith(("ranker_", "heavy_"))]
    for reason in ("cap_relaxed", "quota_missed", "diversity_skipped", *of_ranking):
        assert f"`{reason}`" in TEXT and reason in DEGRADATIONS
