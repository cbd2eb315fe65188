"""`oskolok build` from the shell: without a log it says what serves, and with nothing to go by what it takes, in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.cli import run
from deploy.commands.common import USAGE

CONFIG = """
[storage]
path = "{storage}"

[cluster]
n_shards = 2
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> list[str]:
    """The options for a catalogue of thirty vectors."""
    vectors = np.random.default_rng(0).standard_normal((30, 4)).tolist()
    columns = {"item_id": [f"товар-{at}" for at in range(30)], "vector": pa.array(vectors, pa.list_(pa.float32()))}
    pq.write_table(pa.table(columns), tmp_path / "items.parquet")
    (tmp_path / "oskolok.toml").write_text(CONFIG.format(storage=tmp_path / "store"))
    return ["--items", str(tmp_path / "items.parquet"), "--config", str(tmp_path / "oskolok.toml")]


def test_a_catalogue_alone_is_enough_if_it_has_vectors(catalogue: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", *catalogue, "--set", "catalog.vector_column=vector"]) == 0
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first.endswith("2 shards, 30 items, 0 users")
    assert second.startswith("ranking: no model serves, candidates stay in their merged order; the log has no purchases")
    assert "Warning" not in said.err


def test_a_catalogue_without_vectors_needs_a_log(catalogue: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", *catalogue]) == USAGE
    said = capsys.readouterr()
    assert "the log is missing (--events) and the items have no content vectors (catalog.vector_column)" in said.err
