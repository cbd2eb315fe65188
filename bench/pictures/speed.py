"""How fast: what each picture says, and how it is drawn. A picture's function draws rows and returns the message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.tools.row import OURS, Row
from train.pictures import ACCENT, COLOURS, bars, lines, name_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fanout(rows: Sequence[Row], figure: Figure) -> str:
    latencies(figure, rows, unit="us", columns={"fanouts_per_s": "fan-outs/s"})
    took = {row.system: row.metrics["p50_us"] for row in rows if row.case == rows[0].case}
    ours = took.pop(OURS)
    others = ", ".join(f"over {name} {us / ours:.0f} × as long" for name, us in sorted(took.items(), key=lambda peer: peer[1]))
    return f"One query to {rows[0].case} takes {ours / 1000:.2f} ms, {others}"


def http(rows: Sequence[Row], figure: Figure) -> str:
    columns = {"requests_per_s": "requests/s", "cpu_ms_per_request": "CPU ms"}
    latencies(figure, rows, unit="ms", columns=columns, heading=_callers)
    rates = {row.system: row.metrics["requests_per_s"] for row in rows if row.case.endswith("c=4")}
    ours = rates.pop(OURS)
    others = ", ".join(f"{ours / rate:.2g} × as many as from {name}" for name, rate in rates.items())
    return f"Four callers get {ours:.0f} answers a second: {others}"


def _callers(case: str) -> str:
    """
    >>> _callers("4 shards, c=1"), _callers("4 shards, c=16"), _callers("4 shards, open loop 50/s")
    ('1 caller', '16 callers', 'open loop, 50 requests/s')
    """
    if closed := re.search(r"c=(\d+)", case):
        return f"{closed[1]} caller{'s' if closed[1] != '1' else ''}"
    return re.sub(r".*(open loop) (\d+)/s", r"\1, \2 requests/s", case)


def ranker(rows: Sequence[Row], figure: Figure) -> str:
    latencies(figure, rows, unit="us", columns={})
    ratios = []
    for case in dict.fromkeys(row.case for row in rows):
        took = {row.system: row.metrics["p50_us"] for row in rows if row.case == case}
        ratios.append(min(us for system, us in took.items() if system != OURS) / took[OURS])
    return f"Ranking is {min(ratios):.1f} to {max(ratios):.1f} × as fast as the best other way to do the same"


def latencies(
    figure: Figure, rows: Sequence[Row], *, unit: str, columns: Mapping[str, str], heading: Callable[[str], str] = str
) -> None:
    """Each system below its case: a dot at the median, a line from there to the 99th percentile, and the figures beside it.

    unit: of the metrics p50_<unit> and p99_<unit>, "us" or "ms".  columns: further metrics -> titles of their columns.
    """
    median, slow, shown = f"p50_{unit}", f"p99_{unit}", {"us": "µs", "ms": "ms"}[unit]
    columns = {median: f"p50 {shown}", slow: f"p99 {shown}", **columns}
    axis, table = figure.subplots(1, 2, sharey=True, width_ratios=(6, 1.3 * len(columns)))
    table.axis("off")

    def written(texts: Iterable[str], height: int) -> None:
        for column, text in enumerate(texts, 1):
            where = table.get_yaxis_transform()
            table.text(column / len(columns), height, text, transform=where, va="center", ha="right")

    systems: dict[int, str] = {}
    height, case = 0, ""
    for row in rows:
        if row.case != case:
            case = row.case
            axis.text(0.01, height, heading(case), transform=axis.get_yaxis_transform(), weight="bold", va="center")
            height += 1
        colour = ACCENT if row.system == OURS else COLOURS[0]
        axis.plot([row.metrics[median], row.metrics[slow]], [height, height], color=colour)
        axis.plot(row.metrics[median], height, "o", color=colour)
        written((figures(row.metrics[metric]) for metric in columns), height)
        systems[height] = row.system
        height += 1
    written(columns.values(), 0)
    axis.set_yticks(list(systems), list(systems.values()))
    axis.set(xscale="log", ylim=(height - 0.5, -0.5))
    axis.set_xlabel(f"latency in {shown}, from the median (dot) to the 99th percentile")
    axis.minorticks_off()
    axis.xaxis.set_major_formatter("{x:,g}")


def figures(value: float) -> str:
    """
    >>> figures(12474.0), figures(353.12), figures(4.7021), figures(0.144)
    ('12,474', '353', '4.7', '0.14')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def filter(rows: Sequence[Row], figure: Figure) -> str:
    """From all items eligible on the left to one in a thousand on the right, for each set of vectors."""
    took: dict[str, dict[str, dict[float, float]]] = {}  # set of vectors -> system -> eligible, % -> µs
    for row in rows:
        case = re.fullmatch(r"(\w+ \d+k) eligible ([\d.]+)%", row.case)
        if case and row.system != "oskolok, cold mask":
            took.setdefault(case[1], {}).setdefault(row.system, {})[float(case[2])] = row.metrics["p50_us"]
    axes = figure.subplots(1, len(took), sharey=True)
    for axis, (name, systems) in zip(axes, took.items(), strict=True):
        lines(axis, {system: (list(points), list(points.values())) for system, points in systems.items()}, accent=OURS)
        axis.set(title=f"{name} items", xlabel="eligible items, %", xscale="log", yscale="log")
        axis.invert_xaxis()
        axis.minorticks_off()
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:,g}")
    axes[0].set_ylabel("µs a query (median)")
    name_lines(axes[-1])
    best = {
        (name, share): min(systems, key=lambda system: systems[system][share])
        for name, systems in took.items()
        for share in systems[OURS]
    }
    n_first = list(best.values()).count(OURS)
    name, at_one = list(took)[-1], {system: points[1.0] for system, points in list(took.values())[-1].items()}
    ours = at_one.pop(OURS)
    next_best = min(at_one, key=at_one.__getitem__)
    return (
        f"A filtered search is fastest here in {n_first} of {len(best)} cases; with 1 % of {name} items eligible it takes"
        f" {ours:.0f} µs, the next best ({next_best}) {at_one[next_best]:.0f} µs"
    )


def als_speed(rows: Sequence[Row], figure: Figure) -> str:
    took: dict[str, dict[int, float]] = {}
    for row in rows:
        if case := re.fullmatch(r"d=64, (\d+)% of the events", row.case):
            took.setdefault(row.system, {})[int(case[1])] = row.metrics["sweep_ms"]
    axis = figure.subplots()
    lines(axis, {system: (list(points), list(points.values())) for system, points in took.items()}, accent=OURS)
    axis.set(xlabel="events learnt from, % of Gowalla's", ylabel="ms a sweep of ALS, d = 64", xlim=(0, 102), ylim=(0, None))
    name_lines(axis)
    (peer,) = took.keys() - {OURS}
    saved = [100 - 100 * ours / took[peer][share] for share, ours in took[OURS].items()]
    return f"A sweep of ALS takes {min(saved):.0f} to {max(saved):.0f} % less time than one of {peer}"


def scaling(rows: Sequence[Row], figure: Figure) -> str:
    took: dict[str, dict[int, Row]] = {}
    for row in rows:
        n_shards, items = row.case.split(" shards, ")
        took.setdefault(items, {})[int(n_shards)] = row
    whole = "100,000 items in all"
    titles = {"p50_ms": "ms a request (median)", "cpu_ms_per_request": "ms of CPU a request"}
    for axis, (metric, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        series = {items: (list(points), [row.metrics[metric] for row in points.values()]) for items, points in took.items()}
        lines(axis, series, accent=whole)
        axis.set(xlabel="shards", ylabel=title, xticks=list(took[whole]), ylim=(0, None))
        name_lines(axis)
    shards, cpu_ms = series[whole]
    a_shard = np.polyfit(shards, cpu_ms, 1)[0]
    few, many = (took[whole][n].metrics["p50_ms"] for n in (min(shards), max(shards)))
    return (
        f"Cut into {max(shards)} shards, 100,000 items answer in {many:.1f} ms instead of {few:.1f} ms:"
        f" a shard more costs {a_shard:.2f} ms of CPU a request"
    )


_COSTS = {
    "kernel_share": "search and ranking themselves",
    "transport_and_codec_cost": "messages between processes",
    "router_cost": "router",
    "shard_cost": "shards, around the search",
    "ray_and_haproxy_cost": "Ray and HAProxy",
    "ranker_cost": "rankers, around the models",
}


def kernel(rows: Sequence[Row], figure: Figure) -> str:
    (row,) = rows
    costs = {title: 100 * row.metrics[metric] for metric, title in _COSTS.items() if metric in row.metrics}
    costs["the rest"] = 100 - sum(costs.values())
    axis = figure.subplots()
    bars(axis, costs, form="{:.0f}", accent=_COSTS["kernel_share"])
    axis.set_xlabel(f"% of the CPU that a request costs all processes, {row.case.replace('c=', '')} callers")
    share = 100 * row.metrics["kernel_share"]
    return f"A request costs {row.metrics['cpu_ms_per_request']:.1f} ms of CPU, and {share:.0f} % of that is search and ranking"
