"""Any order of rows gives the same log; what cannot be used is counted; as-of views see nothing later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import EventsSection
from cluster.errors import ConfigError
from tests.train.logs import catalogue_of, log_of
from train.input import event_log, event_reader, parquet
from train.input.event_log import DAY_S, KINDS, NO_CONTEXT, EventLog
from train.input.event_reader import read_events
from train.input.report import TableReport

SECTION = EventsSection()
ITEMS = catalogue_of(["x", "y", "z"])


def read(path: Path, section: EventsSection = SECTION, now: float = 1e9, aside: str = "") -> tuple[EventLog, TableReport]:
    folder = path.with_suffix(f".{aside or 'log'}")
    folder.mkdir()
    return read_events(path, section, ITEMS, folder, now=now, user_id_length_max=8)


def write(path: Path, rows: list[tuple[object, object, object]], time: pa.DataType | None = None) -> Path:
    users, items, times = zip(*rows, strict=True)
    table = {"user_id": list(users), "item_id": pa.array(items, pa.int64()), "timestamp": pa.array(times, time or pa.int64())}
    pq.write_table(pa.table(table), path)
    return path


def as_rows(log: EventLog) -> list[tuple[str, int, int]]:
    ids = log.user_ids.to_pylist()
    return [
        (ids[user], int(item), int(time))
        for chunk in log.chunks()
        for user, item, time in zip(chunk.users, chunk.items, chunk.times, strict=True)
    ]


events = st.lists(
    st.tuples(st.sampled_from(["u1", "u2", "Ω", "u10"]), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=40
)


@settings(deadline=None, max_examples=25)
@given(rows=events, small=st.booleans())
def test_any_order_of_rows_gives_the_same_log(
    rows: list[tuple[str, int, int]], small: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(event_reader, "_SPOOL_ROWS", 3)
            patch.setattr(event_log, "_CHUNK_EVENTS", 2)
        log, report = read(write(folder / "events.parquet", rows))
        assert as_rows(log) == sorted(set(rows), key=lambda r: (r[0], r[2], r[1]))
    assert report.n_rows == len(rows) and report.n_kept == len(set(rows))
    assert log.user_ids.to_pylist() == sorted({user for user, _, _ in rows})


def test_every_row_is_kept_or_counted(tmp_path: Path) -> None:
    rows = [("u1", 0, 5), (None, 0, 5), ("", 0, 5), ("u" * 9, 0, 5), ("u1", None, 5), ("u1", 7, 5), ("u1", 0, None)]
    rows += [("u1", 1, 2_000_000_000), ("u1", 0, 5), ("u1", 2, 5)]
    log, report = read(write(tmp_path / "events.parquet", rows))
    assert report.n_rows == 10 and report.n_kept == 2
    assert report.dropped == {
        "null user": 1,
        "empty user id": 1,
        "user id longer than 8 (limits.id_length)": 1,
        "null item": 1,
        "item not in the catalogue": 1,
        "null time": 1,
        "in the future": 1,
        "repeats another event (user, item, time, type)": 1,
    }
    assert report.examples["item not in the catalogue"] == ["7"]
    assert report.examples["in the future"] == ["2033-05-18 03:33:20"]
    assert as_rows(log) == [("u1", 0, 5), ("u1", 2, 5)]
    assert sorted(path.suffix for path in (tmp_path / "events.log").iterdir()) == [".arrow", *[".bin"] * 6]


def test_users_known_otherwise_have_a_place_in_the_log(tmp_path: Path) -> None:
    path = write(tmp_path / "events.parquet", [("u2", 0, 5), ("u1", 1, 6)])
    (tmp_path / "log").mkdir()
    also = ["u15", "u2", "u15"]
    log, report = read_events(path, SECTION, ITEMS, tmp_path / "log", now=1e9, user_id_length_max=8, also_users=also)
    assert log.user_ids.to_pylist() == ["u1", "u15", "u2"] and as_rows(log) == [("u1", 1, 6), ("u2", 0, 5)]
    assert report.n_rows == report.n_kept == 2


def test_weights(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    table = pa.table(
        {
            "user_id": pa.array([1, 1, 2, 2], pa.int32()),
            "item_id": pa.array([0, 1, 2, 0], pa.int64()),
            "timestamp": pa.array([1, 2, 3, 4], pa.timestamp("ms", "UTC")),
            "amount": pa.array([2.5, 0, None, -1], pa.float64()),
        }
    )
    pq.write_table(table, path)
    log, report = read(path, EventsSection(weight_column="amount"))
    assert log.user_ids.to_pylist() == ["1"] and log.weights.tolist() == [2.5]
    assert report.dropped == {"weight not a positive number": 3}


def test_views_without_a_weight_count_as_one_and_purchases_do_not(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    columns = {"user_id": ["u"] * 5, "item_id": pa.array([0, 0, 0, 0, 1], pa.int64()), "timestamp": [1, 2, 3, 4, 5]}
    types, amounts = ["view", "view", "click", "purchase", "purchase"], [None, 0.0, 1e300, None, 9.5]
    pq.write_table(pa.table(columns | {"type": types, "amount": pa.array(amounts, pa.float64())}), path)
    log, report = read(path, EventsSection(type_column="type", weight_column="amount"))
    assert log.of(*KINDS).weights.tolist() == [1, 9.5]
    assert report.dropped == {"weight not a positive number": 3}
    assert report.noted == {"no weight, of another kind than a purchase: counts as 1": 1}


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin"), pa.date32(), pa.int64()])
def test_times_of_any_kind_are_unix_seconds(tmp_path: Path, kind: pa.DataType) -> None:
    seconds = pa.array([3 * DAY_S, 4 * DAY_S], pa.int64())
    times = seconds if kind == pa.int64() else seconds.cast(pa.timestamp("s")).cast(pa.date32()).cast(pa.date32())
    if pa.types.is_timestamp(kind):
        times = seconds.cast(pa.timestamp("s", kind.tz)).cast(kind)
    table = pa.table({"user_id": ["u", "u"], "item_id": pa.array([0, 1], pa.int64()), "timestamp": times})
    pq.write_table(table, tmp_path / "events.parquet", version="2.6")
    log, _ = read(tmp_path / "events.parquet")
    assert log.times.tolist() == [3 * DAY_S, 4 * DAY_S]


def typed(path: Path, types: object, contexts: object = None) -> Path:
    """Row i is of user u and item i mod 3 at second i."""
    n = len(types)  # type: ignore[arg-type]
    table = {"user_id": ["u"] * n, "item_id": pa.array([i % 3 for i in range(n)], pa.int64()), "timestamp": list(range(n))}
    pq.write_table(pa.table(table | {"type": types, "session": contexts or [None] * n}), path)
    return path


def test_every_type_is_mapped_or_counted_and_views_show_what_they_are_asked_for(tmp_path: Path) -> None:
    types = ["view", "impression", "click", "purchase", "favorite", "scroll", None, "scroll", "purchase"]
    log, report = read(typed(tmp_path / "events.parquet", types), EventsSection(type_column="type"))
    assert report.dropped == {"event type that no events.*_types names": 2, "null event type": 1}
    assert report.examples["event type that no events.*_types names"] == ["scroll", "scroll"]
    assert log.count_by_kind() == {"view": 2, "click": 1, "purchase": 2, "favourite": 1}
    assert [time for _, _, time in as_rows(log)] == [3, 8], "who does not ask sees purchases"
    assert [time for _, _, time in as_rows(log.of("view", "favourite"))] == [0, 1, 4]
    assert [KINDS[kind] for chunk in log.of(*KINDS).chunks() for kind in chunk.kinds][:4] == [
        "view",
        "view",
        "click",
        "purchase",
    ]


def test_types_may_be_numbers_and_have_names_of_their_own(tmp_path: Path) -> None:
    section = EventsSection(type_column="type", purchase_types=("7", "8"), view_types=("1",))
    log, report = read(typed(tmp_path / "events.parquet", pa.array([7, 8, 1, 2], pa.int8())), section)
    assert log.count_by_kind() == {"view": 1, "purchase": 2} and report.dropped == {
        "event type that no events.*_types names": 1
    }


def test_a_type_of_two_meanings_and_a_log_without_purchases_are_refused(tmp_path: Path) -> None:
    path = typed(tmp_path / "events.parquet", ["view", "click"])
    with pytest.raises(ConfigError, match="'click' is in both click_types and purchase_types"):
        read(path, EventsSection(type_column="type", purchase_types=("click",)))
    (tmp_path / "events.log").rmdir()
    with pytest.raises(
        ConfigError, match=r"no purchase among 2 usable events; column 'type' has none of events.purchase_types"
    ):
        read(path, EventsSection(type_column="type"))


@pytest.mark.parametrize("contexts", [["b", "b", None, "a"], [2, 2, None, 1]])
def test_contexts_are_equal_where_they_were(tmp_path: Path, contexts: list[object]) -> None:
    log, report = read(typed(tmp_path / "e.parquet", ["purchase"] * 4, contexts), EventsSection(context_column="session"))
    assert (log.contexts != NO_CONTEXT).any() and report.noted == {"no context": 1}
    first, second, none, other = log.contexts.tolist()
    assert first == second and len({first, none, other}) == 3 and none == NO_CONTEXT
    assert (read(tmp_path / "e.parquet", aside="bare")[0].contexts == NO_CONTEXT).all()


def test_disorder_is_noted_also_across_batches(tmp_path: Path) -> None:
    rows = [("u1", 0, 5), ("u1", 1, 9), (None, 0, 1), ("u1", 2, 8), ("u2", 0, 8), ("u2", 0, 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH_ROWS", 2)
        _, report = read(write(tmp_path / "events.parquet", rows))
    assert report.noted == {"earlier than the row before": 2}
    assert report.examples["earlier than the row before"] == ["1970-01-01 00:00:08", "1970-01-01 00:00:02"]


repeats = st.lists(
    st.tuples(
        st.sampled_from(["view", "purchase"]),
        st.integers(0, 1),
        st.integers(0, 1),
        st.sampled_from([1.0, 2.0, -1.0]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=20)
@given(rows=repeats, seed=st.integers(0, 9))
def test_of_repeats_the_same_one_stays_in_any_order(
    rows: list[tuple[str, int, int, float, int]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [*rows, ("purchase", 0, 0, 1.0, 0)]
    folder = tmp_path_factory.mktemp("repeats")
    section = EventsSection(type_column="type", weight_column="w", context_column="session")
    seen = []
    for name, order in (("as", np.arange(len(rows))), ("shuffled", np.random.default_rng(seed).permutation(len(rows)))):
        types, items, times, weights, contexts = zip(*[rows[at] for at in order], strict=True)
        columns = {"user_id": ["u"] * len(rows), "item_id": items, "timestamp": times, "type": types, "w": weights}
        path = folder / f"{name}.parquet"
        pq.write_table(pa.table(columns | {"session": contexts}), path)
        log, report = read(path, section)
        assert report.n_kept == len(log.items) == len({row[:3] for row in rows if row[3] > 0})
        seen.append([column.tolist() for column in (log.items, log.times, log.kinds, log.weights, log.contexts)])
    assert seen[0] == seen[1]


def test_a_wrong_type_and_a_log_without_events_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["0"], "timestamp": ["today"]}), path)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert "column 'item_id' (events.item_column) is string, expected an integer" in caught.value.message
    assert "column 'timestamp' (events.time_column) is string, expected a timestamp" in caught.value.message
    late = write(tmp_path / "late.parquet", [("u", 0, 2_000_000_000_000)])
    with pytest.raises(ConfigError, match=r"no usable event among 1 rows: 1 in the future"):
        read(late)


def test_views_see_nothing_outside_their_bounds() -> None:
    log = log_of([("a", 0, 1), ("a", 1, 2), ("b", 2, 3), ("b", 0, 4)], n_items=3)
    assert as_rows(log.as_of(2 * DAY_S)) == [("a", 0, DAY_S), ("a", 1, 2 * DAY_S)]
    assert as_rows(log.since(2 * DAY_S)) == [("b", 2, 3 * DAY_S), ("b", 0, 4 * DAY_S)]
    assert as_rows(log.since(DAY_S).as_of(3 * DAY_S).as_of(9 * DAY_S)) == [("a", 1, 2 * DAY_S), ("b", 2, 3 * DAY_S)]
    assert np.array_equal([chunk.end_user for chunk in log.as_of(0).chunks()], [2])
