"""What is removed, what is not because somebody uses it, and that what was removed is remembered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import GenerationMissing
from cluster.generation import Hold, current_id, generation_ids, generation_path, prune, retired, set_current, settle_retired
from tests.cluster.generation.making import flip_bit, publish


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """b1, a2, c3 in the order of their creation; the last is active."""
    for day, generation_id in enumerate(["b1", "a2", "c3"], 1):
        publish(tmp_path, generation_id, created=f"2026-01-0{day}T00:00:00Z")
    return tmp_path


def test_the_oldest_go_first(storage: Path) -> None:
    assert prune(storage, 2) == (("b1",), ())
    assert generation_ids(storage) == ["a2", "c3"]
    assert prune(storage, 2) == ((), ())


def test_the_active_generation_stays_however_old(storage: Path) -> None:
    set_current(storage, "b1")
    assert prune(storage, 1).removed == ("a2",)
    assert generation_ids(storage) == ["b1", "c3"] and current_id(storage) == "b1"


def test_an_unreadable_generation_counts_as_oldest(storage: Path) -> None:
    flip_bit(generation_path(storage, "a2") / "manifest.json", 5)
    assert prune(storage, 2).removed == ("a2",)


def test_what_is_held_stays_until_it_is_let_go(storage: Path) -> None:
    first, second = (Hold.shared(generation_path(storage, "b1")) for _ in range(2))
    assert prune(storage, 1) == (("a2",), ("b1",))
    first.release()
    first.release()
    assert prune(storage, 1) == ((), ("b1",))
    second.release()
    assert prune(storage, 1) == (("b1",), ())
    with pytest.raises(GenerationMissing):
        Hold.shared(generation_path(storage, "b1"))


def test_a_process_holds_until_it_ends_in_whatever_way(storage: Path) -> None:
    path = generation_path(storage, "b1")
    script = (
        "from pathlib import Path; from cluster.generation import Hold; "
        f"hold = Hold.shared(Path({str(path)!r})); print(1, flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"1\n"
    assert prune(storage, 2).held == ("b1",)
    holder.kill()
    holder.communicate()
    assert prune(storage, 2).removed == ("b1",)


def test_what_is_being_removed_cannot_be_held(storage: Path) -> None:
    removing = Hold.alone(generation_path(storage, "b1"))
    assert removing is not None
    with pytest.raises(GenerationMissing, match="being removed"):
        Hold.shared(generation_path(storage, "b1"))
    removing.release()
    Hold.shared(generation_path(storage, "b1")).release()


def test_what_was_removed_is_remembered_until_it_is_settled(storage: Path) -> None:
    assert retired(storage) == []
    prune(storage, 2)
    prune(storage, 1)
    assert retired(storage) == ["b1", "a2"]
    settle_retired(storage, ["b1"])
    assert retired(storage) == ["a2"]
    publish(storage, "a2")
    assert retired(storage) == [], "one that is there again is not gone"
