"""docs/ranking.md says what is so: its configuration loads, its example runs, its files, numbers and names are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from bench.ranking import BATCHING, markdown
from bench.tools.row import RESULTS, read_rows
from cluster.config.file import load
from cluster.config.sections import Config
from cluster.config.train import Loss
from cluster.features import CONTEXT, cross_columns
from cluster.spec import FeatureSchema
from cluster.types import NO_KEYS
from router.request import DEGRADATIONS
from router.slate.compose import compose
from router.slate.rules import Rules
from router.slate.selection import selected_by
from tests.router.slate.making import SPEC, candidates_of, ranked, rules_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "ranking.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_configuration_loads(tmp_path: Path) -> None:
    block, _ = blocks("toml")
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


def test_the_quota_of_new_items_is_about_when_they_were_listed(tmp_path: Path) -> None:
    block, _ = blocks("toml")
    catalog = '[catalog]\ncategory = ["brand", "department"]\nboolean = ["own_brand"]\n'
    (tmp_path / "oskolok.toml").write_text(catalog + block)
    section = load(tmp_path / "oskolok.toml").config.slate
    (quota,) = [quota for quota in section.quotas if quota.stat]
    candidates = candidates_of(range(4))
    match = np.array([[365, 1], [3, -1], [20, 2], [-1, -1]], np.float32)  # listed and first bought so many days ago
    features = FeatureSchema(("stat.listed_days", "stat.age_days"), (), (), ())
    spec = msgspec.structs.replace(SPEC, features=features)
    assert selected_by(quota, section, spec)(replace(candidates, match=match)).tolist() == [False, True, False, False]


def test_a_place_that_tries_out_what_is_new_shows_it_in_one_slate_of_five(tmp_path: Path) -> None:
    _, block = blocks("toml")
    (tmp_path / "oskolok.toml").write_text(block)
    section = load(tmp_path / "oskolok.toml").config.slate
    features = FeatureSchema(("stat.listed_days",), (), (), ())
    rules = Rules.of(section, msgspec.structs.replace(SPEC, features=features))
    n = 60
    listed = np.full((n, 1), 300, np.float32)
    listed[40:44] = 3
    candidates = replace(candidates_of(range(n)), match=listed)
    shown = [compose(candidates, ranked(range(n)), 20, exclude=NO_KEYS, rules=rules, seed=seed) for seed in range(400)]
    tenth = [int(slate.sequence[9]) for slate in shown]
    assert {at for at in tenth if at != 9} == {40, 41, 42, 43}
    assert 0.14 < np.mean([at != 9 for at in tenth]) < 0.26
