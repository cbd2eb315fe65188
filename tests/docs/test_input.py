"""docs/input.md says what is so: its keys exist, its example loads, its errors are the errors, its bytes the bytes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config.file import load
from cluster.config.sections import CatalogSection, Config, EventsSection
from cluster.errors import ConfigError
from tests.train.logs import log_of
from train.input.catalogue import read_catalogue
from train.input.event_log import COLUMNS
from train.input.event_rows import ROW
from train.input.payload import VALUE_BYTES_MAX
from train.lists.tops import possible_kinds

TEXT = (Path(__file__).parents[2] / "docs" / "input.md").read_text()


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`((?:catalog|events|user_table|playlists)\.\w+)`", TEXT))))
def test_every_key_exists(key: str) -> None:
    section, name = key.split(".")
    assert name in Config().model_dump()[section]


def test_every_column_has_its_key_here() -> None:
    for name in ("catalog", "events", "user_table", "playlists"):
        assert [key for key in Config().model_dump()[name] if f"`{name}.{key}`" not in TEXT] == []


def test_the_longest_string_that_is_shown_is_told() -> None:
    assert f"{VALUE_BYTES_MAX:,} bytes" in TEXT


def test_the_example_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "oskolok.toml").write_text(block)
    assert load(tmp_path / "oskolok.toml").config.events.click_types == ("open", "preview")


def test_the_errors_are_the_errors(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a"], "price": ["1"], "name": ["x"]}), tmp_path / "items.parquet")
    with pytest.raises(ConfigError) as caught:
        read_catalogue(tmp_path / "items.parquet", CatalogSection(categories=("stores",), number=("price",)), id_length_max=9)
    assert caught.value.message.replace(f"{tmp_path}/", "") in TEXT
    with pytest.raises(ConfigError) as caught:
        possible_kinds(log_of([("a", 0, 1)], n_items=1), EventsSection(), asked=("ctr",))
    assert caught.value.message in TEXT


def test_an_event_takes_as_many_bytes_as_it_says() -> None:
    assert f"{ROW.itemsize} bytes twice" in TEXT
    assert f"and {sum(np.dtype(kind).itemsize for kind in COLUMNS.values())} afterwards" in TEXT
