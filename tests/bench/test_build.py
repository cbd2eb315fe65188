"""The bench of builds: exponents of known growth, and logs that depend on their seed alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.build import exponents
from bench.tools.large_log import LogSize, write_log


def test_exponents_of_known_growth() -> None:
    measured = {n: {"linear": n / 100, "square": (n / 100) ** 2, "only here": 1.0} for n in (1_000, 3_000, 10_000)}
    del measured[3_000]["only here"]
    found = exponents(measured)
    assert found == {"linear": pytest.approx(1, abs=0.01), "square": pytest.approx(2, abs=0.01)}


def test_a_log_of_the_asked_size_depends_on_its_seed_alone(tmp_path: Path) -> None:
    size = LogSize.of(6_000)
    first, second = (write_log(size, tmp_path / name) for name in ("first", "second"))
    items, events = (pq.read_table(path) for path in first)
    assert all(table.equals(pq.read_table(path)) for table, path in zip((items, events), second, strict=True))
    assert (len(items), len(events)) == (600, 6_000)
    assert set(events["item_id"].to_pylist()) <= set(items["item_id"].to_pylist())
    assert len(set(events["user_id"].to_pylist())) <= size.n_users
