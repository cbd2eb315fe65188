"""A kept request comes out the same, bit for bit; what is changed shows as a difference, with the stage that made it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.config.file import load
from cluster.config.sections import Config
from cluster.errors import ConfigError
from cluster.filtering import Condition, Filter
from cluster.generation import Generation
from deploy.cli import run
from deploy.commands.replay import _requests
from deploy.replay.diff import Difference, difference
from deploy.replay.house import House
from deploy.replay.play import as_answered, play
from deploy.replay.recorder import ALLOWANCE_S, ASKED_FOLDER, ReplayLog, keep_below
from ranker.features import assemble
from router.rank import rank_query
from router.replay.file import read_log, remove_unfinished, write_log
from router.replay.logged import Logged, decisive
from router.request import Pin, Request
from tests.cluster.making import same
from tests.deploy.replay.keeping import USERS, CountingRanker, config, keeping, logs, same_bits
from train.rank.logged import logs_below, newest_first

RULES: dict[str, object] = {
    "caps": ({"attribute": "category", "max": 2},),
    "boosts": ({"attribute": "brand", "values": ("brand-1",), "multiply": 2.0},),
    "diversity": {"method": "mmr", "space": "als"},
    "explore": {"method": "uniform", "positions": (3, 5), "share": 0.5, "stat": "age_days", "at_least": 0.0},
}


@pytest.fixture(scope="module")
def house(tiny_generation: Generation) -> House:
    return House.open(tiny_generation.path, users=USERS)


@pytest.fixture(scope="module")
def kept(house: House, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A folder of logs, with plain and with ruled slates, and the configuration of the latter."""
    folder = tmp_path_factory.mktemp("kept") / "replay"
    requests = [
        Request(USERS[0], 8),
        Request(USERS[1], 10, filter=Filter(must_not=(Condition("organic", "eq", (True,)),)), basket=("item-0001",)),
        Request("a stranger", 5, seed=7, basket=("item-0003", "item-0005", "nobody has it")),
        Request(USERS[2], 6, pins=(Pin("item-0002", 2),)),
    ]
    ruled = config(folder.parent, slate=RULES)
    for chosen in (config(folder.parent), ruled):
        with keeping(house, chosen, folder) as asked:
            asked.recommend(*requests)
        assert (asked.log.n_kept, asked.log.n_dropped) == (4, 0)
    return folder, ruled


def compared(logged: Logged, house: House, *overrides: str) -> Difference:
    """The request again, under the configuration that answered it with some keys changed."""
    as_logged = read(logged)
    return difference(as_answered(logged), asyncio.run(play(logged, house, read(logged, overrides), as_logged=as_logged)))


def read(logged: Logged, overrides: Sequence[str] = ()) -> Config:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(logged.config)
        file.flush()
        return load(Path(file.name), overrides=overrides).config


def test_a_kept_request_comes_out_the_same(kept: tuple[Path, Config], house: House) -> None:
    found = logs(kept[0])
    assert len(found) == 8
    for logged in found:
        one = compared(logged, house)
        assert one.equal and not one.rescored and one.changed == ()
        assert one.n_agreeing == one.n_candidates > 0
        assert len(logged.slate) == logged.request.k


def test_what_is_kept_is_what_the_models_saw(kept: tuple[Path, Config], house: House) -> None:
    """No skew: the features kept are those that are made again offline."""
    for logged in logs(kept[0]):
        sections = read(logged)
        query = rank_query(logged.candidates, logged.request, logged.record, house.spec, sections.ranker)
        assert same_bits(query.user, logged.user) and same_bits(query.context, logged.context)
        assert assemble(house.spec.features, query).shape == (len(logged.candidates), len(house.spec.features.columns()))
        assert logged.n_heavy > 0


def test_propensities_are_of_the_places_that_explore(kept: tuple[Path, Config]) -> None:
    plain, ruled = logs(kept[0])[:4], logs(kept[0])[4:]
    assert all(shown.propensity == 1 for logged in plain for shown in logged.slate)
    drawn = [shown.propensity for logged in ruled for shown in logged.slate if shown.propensity < 1]
    assert drawn and all(0 < p < 1 for p in drawn)


def test_the_file_gives_back_what_it_was_given(kept: tuple[Path, Config], tmp_path: Path) -> None:
    found = logs(kept[0])
    write_log(tmp_path / "again.parquet", found)
    assert all(same(one, other) for one, other in zip(read_log(tmp_path / "again.parquet"), found, strict=True))


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("merge.weights.tops=9.0", {"retrieve", "rank"}),
        ("merge.rrf_rank_constant=1.0", {"retrieve", "rank"}),
        ("sources.ann.enabled=false", {"retrieve", "rank"}),
        ("ranker.heavy.enabled=false", {"rank", "slate"}),
        ("slate.cap_by=category", {"slate"}),
    ],
)
def test_a_changed_key_shows_as_a_difference(kept: tuple[Path, Config], house: House, override: str, stages: set[str]) -> None:
    cap = ["slate.cap=1"] if override.startswith("slate") else []
    narrow = ["merge.n_light=20", "ranker.heavy.n_heavy=20"] if override.startswith(("merge", "sources")) else []
    base = [compared(one, house, *narrow) for one in logs(kept[0])[:4]]
    found = [compared(one, house, override, *cap, *narrow) for one in logs(kept[0])[:4]]
    assert any(not one.equal for one in found)
    told = {changed.stage for one in found for changed in one.changed}
    assert told <= stages or told <= {*stages, *(c.stage for one in base for c in one.changed)}
    for one, logged in zip(found, logs(kept[0])[:4], strict=True):
        assert one.n_kept + sum(c.change == "went" for c in one.changed) == len(logged.slate)


def test_a_cap_is_named_by_what_it_keeps_back(kept: tuple[Path, Config], house: House) -> None:
    found = [compared(one, house, "slate.cap_by=category", "slate.cap=1") for one in logs(kept[0])[:4]]
    went = [changed for one in found for changed in one.changed if changed.change == "went"]
    assert {changed.rule for changed in went} == {"cap.category"} and {changed.stage for changed in went} == {"slate"}


def test_a_seed_of_another_request_explores_otherwise(kept: tuple[Path, Config], house: House) -> None:
    ruled = logs(kept[0])[4:]
    others = [replace(one, seed=one.seed + at) for at in range(1, 6) for one in ruled]
    assert not all(compared(one, house).equal for one in others)


def test_the_models_were_late_then_and_are_not_asked_now(kept: tuple[Path, Config], house: House) -> None:
    """An order that was the merge's stays the merge's, as long as the ranker's section is the same."""
    logged = logs(kept[0])[0]
    m = len(logged.candidates)
    merged = replace(
        logged,
        ranked_degraded=("ranker_timeout",),
        order=np.arange(m, dtype=np.int32),
        order_scores=logged.candidates.scores,
        slate=tuple(replace(shown, propensity=1.0) for shown in logged.slate),
    )
    one = asyncio.run(play(merged, house, read(merged), as_logged=read(merged)))
    assert same_bits(one.order, merged.order)


def test_the_command(
    kept: tuple[Path, Config], tiny_generation: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = kept
    if not (folder.parent / "generations").exists():
        (folder.parent / "generations").symlink_to(tiny_generation.path.parent)
    assert run(["replay", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.endswith("8 requests: 8 the same, 0 differ\n")
    assert f"user {USERS[0]}, k 8: the same, bit for bit; retrieval returns the same" in said

    first = str(sorted(folder.glob("*.parquet"))[0])
    changed = ["replay", first, "--limit", "1", "--set", "slate.cap_by=category", "--set", "slate.cap=1"]
    assert run(changed) == 0
    said = capsys.readouterr().out
    assert "  cap.category was relaxed for 3 of 8 items, because nothing else was left\n" in said  # there are five categories
    assert "slate: cap.category" in said and said.endswith("1 request with other settings: 0 the same, 1 differ\n")
    assert run([*changed, "--format", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["equal"] is False and told["user_id"] == USERS[0]

    assert run(["replay", first, "--generation", str(tiny_generation.path)]) == 0
    assert run(["replay", first, "--generation", "no-such-generation"]) == 2


def test_a_slate_that_does_not_come_out_the_same_is_an_error(
    kept: tuple[Path, Config], tiny_generation: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = logs(kept[0])[0]
    first, second, *rest = logged.slate
    (tmp_path / "replay").mkdir()
    (tmp_path / "generations").symlink_to(tiny_generation.path.parent)
    write_log(tmp_path / "replay" / "1.parquet", [replace(logged, slate=(second, first, *rest))])
    assert run(["replay", str(tmp_path / "replay" / "1.parquet")]) == 1
    assert "~ 2 → 1" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"PAR1", b"hello" * 100])
def test_what_is_no_log_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="replay log"):
        list(read_log(path))


def test_a_damaged_request_is_named(kept: tuple[Path, Config], tmp_path: Path) -> None:
    logged = logs(kept[0])[0]
    write_log(tmp_path / "x.parquet", [logged, replace(logged, order=logged.order * 0)])
    with pytest.raises(ConfigError, match="request 1 is damaged: the order is no permutation"):
        list(read_log(tmp_path / "x.parquet"))


def test_only_what_is_drawn_or_asked_for_is_kept(tmp_path: Path) -> None:
    draws = iter([0.05, 0.2, 0.3])
    log = ReplayLog(
        tmp_path, config(tmp_path, observability={"replay_sample": 0.1}), draw=lambda: next(draws), clock=lambda: 5.0
    )
    taken, keep = log.begin(Request("u", 1))
    assert keep is not None and taken.asked_at == 5.0
    assert log.begin(Request("u", 1)) == (Request("u", 1), None)
    assert log.begin(Request("u", 1, explain="full"))[1] is not None
    never = ReplayLog(tmp_path, config(tmp_path, observability={"replay_sample": 0.0}), draw=lambda: 0.0)
    assert never.begin(Request("u", 1))[1] is None
    assert never.begin(Request("u", 1, explain="full", asked_at=3.0))[0].asked_at == 3.0


def test_callers_who_ask_have_an_allowance_and_no_more(tmp_path: Path) -> None:
    now = [100.0]

    def n_kept(per_s: float, *, seconds: float, asked: int = 50) -> int:
        section = {"replay_sample": 0.0, "replay_asked_per_s": per_s}
        log = ReplayLog(tmp_path, config(tmp_path, observability=section), draw=lambda: 0.5, clock=lambda: now[0])
        n = 0
        for _ in range(asked):
            now[0] += seconds / asked
            n += log.begin(Request("u", 1, explain="full"))[1] is not None
        return n

    assert n_kept(0.0, seconds=100) == 0
    assert n_kept(1.0, seconds=0) == ALLOWANCE_S
    assert n_kept(1.0, seconds=25) == ALLOWANCE_S + 24
    assert n_kept(0.0625, seconds=0) == 1 and n_kept(0.0625, seconds=100) == 7
    assert n_kept(1_000.0, seconds=1) == 50


def test_requests_that_were_asked_for_have_a_room_of_their_own(house: House, tmp_path: Path) -> None:
    """However many callers ask, no sampled request goes for one of them; and the answer says whether it is kept."""
    folder = tmp_path / "replay"
    section = {"replay_sample": 0.5, "replay_asked_per_s": 0.1, "replay_bytes_max": 1 << 20}
    draws = iter([0.1, 0.9, 0.9, 0.9])
    with keeping(house, config(tmp_path, observability=section), folder, draw=lambda: next(draws)) as asked:
        requests = [Request(USERS[0], 3), *[Request(USERS[1], 3, explain="full")] * 2, Request(USERS[2], 3)]
        answers = asked.recommend(*requests)
    assert [answer.kept for answer in answers] == [True, True, False, False]
    assert (asked.log.n_kept, asked.log.n_dropped) == (2, 0)
    told = [(one.request.user_id, one.kept_for) for one in (*logs(folder), *logs(folder / ASKED_FOLDER))]
    assert told == [(USERS[0], "sampled"), (USERS[1], "asked")]
    assert [one.request.user_id for one in newest_first(logs_below(folder))] == [USERS[0]], "what ranking learns from"
    assert len(list(_requests(folder))) == 2, "what is made again"


def test_a_request_that_is_kept_costs_no_second_ranking(house: House, tmp_path: Path) -> None:
    assert house.fleet.ranker is not None
    counting = CountingRanker(house.fleet.ranker)
    fleet = replace(house.fleet, ranker=counting)
    with keeping(house, config(tmp_path), tmp_path / "replay", fleet=fleet) as asked:
        asked.recommend(*(Request(user, 5, explain="full") for user in USERS))
    assert asked.log.n_kept == counting.n_calls == len(USERS)


def test_a_log_of_format_1_can_be_read(kept: tuple[Path, Config], tmp_path: Path) -> None:
    """It has the light model's scores beside the order's, and not why a request was kept."""
    one = logs(kept[0])[0]
    write_log(tmp_path / "new.parquet", [one, replace(one, request=replace(one.request, explain="full"), kept_for="asked")])
    table = pq.read_table(tmp_path / "new.parquet").drop_columns(["kept_for"])
    table = table.append_column("light_score", table["order_score"]).replace_schema_metadata({b"oskolok.replay": b"1"})
    pq.write_table(table, tmp_path / "old.parquet")
    sampled, asked = read_log(tmp_path / "old.parquet")
    assert same(sampled, one) and asked.kept_for == "asked"


def test_the_oldest_logs_go_when_they_are_too_large_together(tmp_path: Path) -> None:
    for at in range(5):
        (tmp_path / f"{at}-1.parquet").write_bytes(bytes(100))
    keep_below(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-1.parquet", "4-1.parquet"]
    keep_below(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["4-1.parquet"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("1-7.parquet", ".2-7.parquet.7", ".3-8.parquet.8", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("1-7.parquet", ".2-7.parquet.7", ".hidden"):
        os.utime(tmp_path / name, (0, 0))
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".3-8.parquet.8", ".hidden", "1-7.parquet"]


def test_whoever_writes_a_log_clears_away_what_a_killed_writer_left(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "replay"
    folder.mkdir()
    left = folder / ".2-7.parquet.7"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    with keeping(house, config(tmp_path), folder) as asked:
        asked.recommend(Request(USERS[0], 3))
    assert not left.exists() and asked.log.n_kept == 1


def test_no_address_and_no_secret_is_kept(tmp_path: Path) -> None:
    told = decisive(config(tmp_path, users={"store": "redis://:secret@host:6379/0"}))
    assert ":secret@" not in told and str(tmp_path) not in told
