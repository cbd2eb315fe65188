"""An answer that came about under faults comes out the same with them, and is never called the same without them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import Config
from cluster.filtering import Condition, Filter
from cluster.generation import Generation
from cluster.partition import item_keys
from deploy.cli import run
from deploy.replay.circumstances import excuse_of
from deploy.replay.diff import Difference, difference
from deploy.replay.house import House
from deploy.replay.play import as_answered, play
from router.replay.file import write_log
from router.replay.logged import Logged
from router.request import Pin, Request
from tests.deploy.replay.keeping import USERS, Fault, config, keeping, logs, with_faults

FAULTS: tuple[Fault, ...] = ("none", "silent", "no_payloads", "no_vectors", "stale")
SLATES: dict[str, dict[str, object]] = {
    "plain": {},
    "capped": {"cap_by": "category", "cap": 3},
    "diverse": {"diversity": {"method": "mmr", "space": "als"}, "caps": ({"attribute": "brand", "max": 4},)},
    "exploring": {"explore": {"method": "uniform", "positions": (2, 4), "share": 0.5, "stat": "age_days", "at_least": 0.0}},
}


@pytest.fixture(scope="module")
def house(tiny_generation: Generation) -> House:
    return House.open(tiny_generation.path, users=USERS)


def under(slate: str, storage: Path) -> Config:
    """A configuration of few candidates, so that faults leave too few of them."""
    ranker = {"timeout_ms": 2_000, "heavy": {"n_heavy": 20}}
    return config(storage, slate=SLATES[slate], merge={"n_light": 20}, ranker=ranker)


def answered(
    house: House, request: Request, faults: Sequence[Fault], *, slate: str = "plain", dead_ranker: bool = False
) -> tuple[Logged, Difference]:
    """What is kept of a request to a fleet with faults, and how it compares when it is made again without them."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = config(
            Path(folder), slate=SLATES[slate], merge={"n_light": 20}, ranker={"timeout_ms": 2_000, "heavy": {"n_heavy": 20}}
        )
        faulty = with_faults(house.fleet, faults, dead_ranker=dead_ranker)
        with keeping(house, chosen, Path(folder) / "replay", fleet=faulty) as asked:
            asked.recommend(replace(request, min_coverage=0.01))
        (logged,) = logs(Path(folder) / "replay")
    sections = chosen
    return logged, difference(as_answered(logged), asyncio.run(play(logged, house, sections, as_logged=sections)))


def from_a_deeper_look(logged: Logged) -> int:
    """How many of the items shown are no candidates."""
    return int(np.count_nonzero(~np.isin(item_keys([one.item_id for one in logged.slate]), logged.candidates.keys)))


@settings(deadline=None, max_examples=60)
@given(
    faults=st.lists(st.sampled_from(FAULTS), min_size=3, max_size=3).filter(
        lambda faults: any(fault not in ("silent", "no_payloads") for fault in faults)
    ),
    k=st.integers(1, 70),
    slate=st.sampled_from(sorted(SLATES)),
    user=st.sampled_from((*USERS, "a stranger")),
    dead_ranker=st.booleans(),
)
def test_whatever_fails_it_comes_out_the_same(
    house: House, faults: list[Fault], k: int, slate: str, user: str, dead_ranker: bool
) -> None:
    _, one = answered(house, Request(user, k), faults, slate=slate, dead_ranker=dead_ranker)
    assert one.equal, one
    assert one.n_agreeing == one.n_candidates
    assert one.notes or not ("silent" in faults or dead_ranker)


def test_what_a_deeper_look_found_is_found_again(house: House) -> None:
    """Two of three owners deliver nothing, so that the third has to show what was no candidate."""
    logged, one = answered(house, Request(USERS[0], 60), ("no_payloads", "none", "no_payloads"))
    assert from_a_deeper_look(logged) > 0
    assert one.equal and logged.undelivered == (0, 2)
    assert one.notes == ("without the items that shards 0, 2 did not deliver, as in the original: fill_failed",)


def test_items_that_were_gone_stay_gone_in_a_deeper_look_too(house: House) -> None:
    logged, one = answered(house, Request(USERS[0], 20), ("stale", "stale", "stale"))
    assert from_a_deeper_look(logged) > 0
    known = np.isin(logged.gone, logged.candidates.keys)
    assert known.any() and not known.all()
    assert one.equal and one.notes == (f"without {len(logged.gone)} items that were gone, as in the original: stock_leak",)


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_without_the_fault_it_would_come_out_otherwise(house: House, fault: Fault) -> None:
    """The control: what is kept of a fault is what makes the slate come out the same."""
    slate = "diverse" if fault == "no_vectors" else "plain"
    logged, one = answered(house, Request(USERS[0], 30), ("none", fault, "none"), slate=slate)
    assert one.equal and len(one.notes) == 1
    mended = replace(logged, missed=(), vectorless=(), undelivered=(), gone=logged.gone[:0])
    with tempfile.TemporaryDirectory() as folder:
        chosen = config(
            Path(folder), slate=SLATES[slate], merge={"n_light": 20}, ranker={"timeout_ms": 2_000, "heavy": {"n_heavy": 20}}
        )
    sections = chosen
    found = difference(as_answered(mended), asyncio.run(play(mended, house, sections, as_logged=sections)))
    assert not found.equal or (fault == "silent" and (found.n_agreeing or 0) < found.n_candidates)


@settings(deadline=None, max_examples=40)
@given(
    stores=st.lists(st.sampled_from([f"store-{n}" for n in range(6)]), min_size=1, max_size=3, unique=True),
    brand=st.sampled_from([f"brand-{n}" for n in range(12)]),
    k=st.integers(1, 40),
)
def test_a_filter_however_narrow_needs_no_deeper_look(house: House, stores: list[str], brand: str, k: int) -> None:
    """Some source promises min(k, eligible), so all that is eligible are candidates before the slate could come short."""
    narrow = Filter(must=(Condition("brand", "in", (brand,)), Condition("stores", "in", tuple(stores))))
    logged, one = answered(house, Request(USERS[1], k, filter=narrow, pins=(Pin("item-0002", 1),)), ("none",) * 3)
    assert one.equal and from_a_deeper_look(logged) == 0
    assert len(logged.slate) == min(k, len(logged.candidates))


def test_one_that_nobody_can_promise_is_no_error_and_not_called_the_same(
    house: House, tiny_generation: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged, _ = answered(house, Request(USERS[0], 30), ("none", "no_payloads", "none"))
    assert excuse_of(logged)
    first, second, *rest = logged.slate
    (tmp_path / "replay").mkdir()
    (tmp_path / "generations").symlink_to(tiny_generation.path.parent)
    log = tmp_path / "replay" / "1.parquet"
    write_log(log, [replace(logged, slate=(second, first, *rest))])
    assert run(["replay", str(log)]) == 0
    said = capsys.readouterr().out
    assert "cannot be repeated: items could not be shown" in said
    assert said.endswith("1 request: 0 the same, 0 differ, 1 cannot be repeated\n")


def test_on_other_terms_it_says_what_does_not_fail_again(
    house: House, tiny_generation: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged, one = answered(house, Request(USERS[0], 10), ("silent", "none", "none"), dead_ranker=True)
    assert one.notes == (
        "without shard 0, as in the original: shard_failed",
        "in merged order, as in the original: ranker_failed",
    )
    (tmp_path / "replay").mkdir()
    (tmp_path / "generations").symlink_to(tiny_generation.path.parent)
    log = tmp_path / "replay" / "1.parquet"
    write_log(log, [logged])
    assert run(["replay", str(log), "--set", "ranker.timeout_ms=77"]) == 0
    assert "ranked by the models, unlike the original: ranker_failed" in capsys.readouterr().out
    write_log(log, [replace(logged, generation="another", record=None)])
    assert run(["replay", str(log), "--generation", str(tiny_generation.path)]) == 0
    assert "faults of the original answer do not apply here: shard_failed, ranker_failed" in capsys.readouterr().out
