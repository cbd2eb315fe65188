"""Requests that a cluster answered are learnt from: features as they were, labels from the window after the answer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import ConfigError
from cluster.generation import Generation, generation_path
from deploy.replay.house import House
from ranker.features import assemble
from ranker.ranker import Ranker
from router.rank import rank_query
from router.replay.file import write_log
from router.replay.logged import Logged
from router.request import Request
from tests.deploy.replay.keeping import config as keeping_config
from tests.deploy.replay.keeping import keeping, logs, same_bits
from tests.train.past import read_world
from tests.worlds import NOW, TINY, build_tiny, tiny_config
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.rank.logged import LoggedRows, hashes_of, logged_rows, logs_below, newest_first

LABEL_DAYS = 10
ANSWERED = TINY.end - 30 * DAY_S + 0.5
USERS = tuple(f"user-{n:04d}" for n in range(0, 80, 4))


@pytest.fixture(scope="module")
def house(tiny_generation: Generation) -> House:
    return House.open(tiny_generation.path, users=USERS)


@pytest.fixture(scope="module")
def kept(house: House, tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    """Requests of users, answered at ANSWERED as far as the log of events is concerned, and one of a stranger."""
    folder = tmp_path_factory.mktemp("kept")
    with keeping(house, keeping_config(folder), folder / "replay") as asked:
        asked.recommend(*(Request(user, 5, asked_at=ANSWERED) for user in USERS), Request("a stranger", 5, asked_at=ANSWERED))
    return [replace(one, logged_at=ANSWERED) for one in logs(folder / "replay")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, EventLog]:
    return read_world(TINY, tiny_config(Path("unused")), tmp_path_factory.mktemp("world"), now=NOW)


def rows_of(
    kept: Sequence[Logged], house: House, world: tuple[Catalogue, EventLog], *, until: int = TINY.end, n_max: int = 1_000
) -> LoggedRows:
    catalogue, log = world
    columns = house.spec.features.columns()
    return logged_rows(kept, log, catalogue, columns, label_days=LABEL_DAYS, until=until, n_max=n_max)


def bought(world: tuple[Catalogue, EventLog], user_id: str, *, after: float, until: float) -> set[int]:
    """Keys, read off the log event by event."""
    catalogue, log = world
    return {
        int(catalogue.keys[item])
        for chunk in log.chunks()
        for user, item, time in zip(chunk.users.tolist(), chunk.items.tolist(), chunk.times.tolist(), strict=True)
        if log.user_ids[user].as_py() == user_id and after < time <= until
    }


def test_features_are_those_of_serving_and_those_made_offline(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    rows = rows_of(kept, house, world).rows
    section = keeping_config(Path("unused")).ranker
    taught = [one for one in kept if one.request.user_id in {world[1].user_ids[int(user)].as_py() for user in rows.users}]
    assert len(taught) == len(rows.users) > 5
    for group, logged in enumerate(taught):
        offline = rank_query(logged.candidates, logged.request, house.users.get(logged.request.user_id), house.spec, section)
        mine = rows.features[rows.starts[group] : rows.starts[group + 1]]
        assert same_bits(np.ascontiguousarray(mine), np.ascontiguousarray(assemble(house.spec.features, offline)))


def test_labels_are_what_was_bought_after_the_answer_and_within_the_window(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    found = rows_of(kept, house, world)
    rows, n_idle = found.rows, 0
    group = 0
    for logged in kept:
        wanted = bought(world, logged.request.user_id, after=ANSWERED, until=ANSWERED + LABEL_DAYS * DAY_S)
        if not wanted:
            n_idle += 1
            continue
        labels = rows.labels[rows.starts[group] : rows.starts[group + 1]]
        assert labels.tolist() == [float(key in wanted) for key in logged.candidates.keys.tolist()]
        assert rows.n_bought[group] == len(wanted)
        group += 1
    assert group == len(rows.users) and rows.labels.sum() > 0
    assert (found.n_open, found.n_idle) == (0, n_idle) and n_idle > 0
    assert found.line().endswith(f"of {group} of {group + n_idle} requests; skipped: {n_idle} led to no purchase")


def test_what_happens_before_or_after_the_window_makes_no_difference(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    catalogue, log = world
    times, items = np.array(log.times), np.array(log.items)
    outside = np.flatnonzero((times <= ANSWERED) | (times > ANSWERED + LABEL_DAYS * DAY_S))
    items[outside] = np.random.default_rng(0).permutation(items[outside])
    other = rows_of(kept, house, (catalogue, replace(log, items=items))).rows
    rows = rows_of(kept, house, world).rows
    assert np.array_equal(rows.features, other.features, equal_nan=True) and np.array_equal(rows.labels, other.labels)
    inside = np.setdiff1d(np.arange(len(times)), outside)
    items[inside] = np.random.default_rng(0).permutation(items[inside])
    assert not np.array_equal(rows.labels, rows_of(kept, house, (catalogue, replace(log, items=items))).rows.labels)


def test_a_window_that_is_not_over_teaches_nothing(kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]) -> None:
    over = int(ANSWERED + LABEL_DAYS * DAY_S)
    found = rows_of(kept, house, world, until=over)
    assert found.n_open == len(kept) and len(found.rows.users) == 0
    asked = time.strftime("%Y-%m-%d %H:%M", time.gmtime(ANSWERED))
    assert found.line() == (
        f"0 candidates of 0 of {len(kept)} requests; "
        f"skipped: {len(kept)} are newer than {asked} UTC, so their labels are not known yet"
    )
    assert rows_of(kept, house, world, until=over + 1).n_open == 0
    assert len(rows_of(kept, house, world, n_max=3).rows.users) == 3


def test_what_was_in_the_basket_was_not_to_be_recommended(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    logged = next(one for one in kept if rows_of([one], house, world).rows.n_bought.sum() > 1)
    (before,) = rows_of([logged], house, world).rows.n_bought
    wanted = bought(world, logged.request.user_id, after=ANSWERED, until=ANSWERED + LABEL_DAYS * DAY_S)
    basket = next(world[0].ids[row].as_py() for row, key in enumerate(world[0].keys.tolist()) if key in wanted)
    later = replace(logged, request=replace(logged.request, basket=(basket,)))
    assert rows_of([later], house, world).rows.n_bought.tolist() == [before - 1]


def test_requests_with_other_features_are_a_clear_error(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    catalogue, log = world
    columns = house.spec.features.columns()[::-1]
    with pytest.raises(ConfigError, match=r"train\.ranker\.logged: a request to generation .* of schema .* of schema"):
        logged_rows(kept, log, catalogue, columns, label_days=LABEL_DAYS, until=TINY.end, n_max=9)


def test_the_newest_come_first(kept: list[Logged], tmp_path: Path) -> None:
    write_log(tmp_path / "1-1.parquet", kept[:3])
    write_log(tmp_path / "2-1.parquet", kept[3:5])
    found = [one.request.user_id for one in newest_first(logs_below(tmp_path))]
    assert found == [one.request.user_id for one in kept[:5]][::-1]
    with pytest.raises(ConfigError, match=r"train\.ranker\.logged: .* holds no replay logs"):
        logs_below(tmp_path / "elsewhere")


def test_a_log_that_a_router_deletes_meanwhile_is_not_missed(kept: list[Logged], tmp_path: Path) -> None:
    write_log(tmp_path / "1-1.parquet", kept[:3])
    write_log(tmp_path / "2-1.parquet", kept[3:5])
    logs = logs_below(tmp_path)
    both = hashes_of(logs)
    logs[-1].unlink()
    assert hashes_of(logs) == both[:1] and len(list(newest_first(logs))) == 2
    (tmp_path / "2-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"2-1\.parquet"):
        list(newest_first(logs))


def test_a_build_learns_from_them(kept: list[Logged], tiny_generation: Generation, tmp_path: Path) -> None:
    """The same world and settings but for the logs: features stay, models change."""
    world = Path(shutil.copytree(tiny_generation.path.parents[2], tmp_path / "world"))
    (tmp_path / "replay").mkdir()
    write_log(tmp_path / "replay" / "1-1.parquet", kept)
    plain = tiny_config(world / "store").model_dump()["train"]
    plain["ranker"]["logged"] = str(tmp_path / "replay")
    built = build_tiny(world, config=tiny_config(world / "store", train=plain), now=NOW + 1)
    stages = built.report.stages
    assert stages["rows-logged"].n_rows > 0
    generation = Generation.open(generation_path(world / "store", built.spec.id))
    assert Ranker.load(generation).spec.features == tiny_generation.spec.features
    own, before = (one.manifest.files["models/light.json"] for one in (generation, tiny_generation))
    assert own != before


def test_requests_whose_callers_asked_to_be_kept_teach_nothing(
    kept: list[Logged], house: House, world: tuple[Catalogue, EventLog]
) -> None:
    sampled = rows_of(kept, house, world)
    asked = [replace(one, kept_for="asked") for one in kept]
    mixed = rows_of([*asked, *kept, *asked], house, world)
    assert mixed.rows.features.tobytes() == sampled.rows.features.tobytes() and len(sampled.rows.users)
    assert (mixed.n_idle, mixed.n_open) == (sampled.n_idle, sampled.n_open)
