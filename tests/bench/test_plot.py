"""Every committed picture shows the committed rows, and can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from bench.plot import DOCS, PICTURES, plot
from tests.pictures import faults, texts, title


@pytest.mark.parametrize("name", PICTURES)
def test_the_committed_picture_is_of_the_committed_rows(name: str, tmp_path: Path) -> None:
    path = plot(name, tmp_path)
    assert faults(path) == []
    assert [text.text for text in texts(path)] == [text.text for text in texts(DOCS / f"{name}.svg")], (
        f"draw it again: python -m bench.plot {name}"
    )


def test_a_bench_has_at_most_this_picture() -> None:
    assert {path.stem for path in DOCS.glob("*.svg")} == PICTURES.keys()


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("http", {"4 callers", "open loop, 50 requests/s", "requests/s", "CPU ms"}),
        ("fanout", {"16 shards", "latency in µs, from the median (dot) to the 99th percentile"}),
        ("filter", {"eligible items, %", "µs a query (median)", "oskolok", "faiss bitmap"}),
        ("scaling", {"shards", "ms a request (median)", "ms of CPU a request", "25,000 items each"}),
        ("als_speed", {"ms a sweep of ALS, d = 64", "implicit"}),
        ("als_step", {"percentile of the pairs", "dot product", "change of the dot product"}),
        ("ranking", {"ndcg@10, 95 % interval", "best source alone"}),
        ("sources", {"recall@500", "ms of one shard a request", "only those of one store"}),
        ("kernel", {"search and ranking themselves", "% of the CPU that a request costs all processes, 4 shards, 16 callers"}),
    ],
)
def test_axes_and_lines_have_names(name: str, names: set[str]) -> None:
    assert names <= {text.text for text in texts(DOCS / f"{name}.svg")}


def test_messages_have_the_figures_of_the_rows() -> None:
    """Two of them by hand, from bench/results."""
    assert title(DOCS / "kernel.svg") == "A request costs 3.9 ms of CPU, and 21 % of that is search and ranking"
    assert title(DOCS / "ranking.svg") == "The heavy model's order has 11 to 42 % more ndcg@10 than the merged order"
