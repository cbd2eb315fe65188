"""MovieLens-100k as a catalogue, a log and a table of users: 100,000 ratings of 943 users, each a target event, with its time.

Read from the RecBole wheel, which pip fetches into the cache; GroupLens forbids to pass it on, so nothing of it is committed.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.tools.quality import RECBOLE
from deploy.demo.wheel import cache_folder, fetch_wheel

_MEMBER = "recbole/dataset_example/ml-100k/ml-100k.{}"


@dataclass(frozen=True, slots=True)
class MovieLens:
    """items: item_id, genres, year.  events: user_id, item_id, timestamp.  users: user_id, gender, occupation, age."""

    items: Path
    events: Path
    users: Path
    last_time: int


def movielens(folder: Path) -> MovieLens:
    """The three files in the folder, written if they are not there. Raises ConfigError if the wheel cannot be had."""
    return unpack(fetch_wheel(RECBOLE, cache_folder()), folder)


def unpack(wheel: Path, folder: Path) -> MovieLens:
    """The wheel's members as Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        rows = {
            kind: [line.split("\t") for line in archive.read(_MEMBER.format(kind)).decode().splitlines()[1:]]
            for kind in ("item", "user", "inter")
        }
    films, people, ratings = rows["item"], rows["user"], rows["inter"]
    times = [int(float(time)) for *_, time in ratings]
    tables = {
        "items": pa.table(
            {
                "item_id": [film for film, *_ in films],
                "genres": [genres.split() for *_, genres in films],
                "year": pa.array([float(year) if year.isdigit() else None for _, _, year, _ in films], pa.float64()),
            }
        ),
        "events": pa.table(
            {
                "user_id": [user for user, *_ in ratings],
                "item_id": [film for _, film, *_ in ratings],
                "timestamp": pa.array(times, pa.timestamp("s", "UTC")),
            }
        ),
        "users": pa.table(
            {
                "user_id": [user for user, *_ in people],
                "age": [float(age) for _, age, *_ in people],
                "gender": [gender for _, _, gender, *_ in people],
                "occupation": [work for *_, work, _ in people],
            }
        ),
    }
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        if not paths[name].exists():
            pq.write_table(table, paths[name])
    return MovieLens(paths["items"], paths["events"], paths["users"], max(times))
