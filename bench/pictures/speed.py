"""How fast: what each picture says, and how it is drawn. A picture's function draws rows and returns the message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.tools.row import OURS, Row
from train.pictures import ACCENT, COLOURS, bars, colours, name_lines

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
    points = [
        (case[1], float(case[2]), row)
        for row in rows
        if row.system != "oskolok, cold mask" and (case := re.fullmatch(r"(\w+ \d+k) eligible ([\d.]+)%", row.case))
    ]
    sets = list(dict.fromkeys(name for name, _, _ in points))
    shades = colours(list(dict.fromkeys(row.system for _, _, row in points)), OURS)
    axes = figure.subplots(1, len(sets), sharey=True)
    for axis, name in zip(axes, sets, strict=True):
        for system, colour in shades.items():
            line = sorted((share, row.metrics["p50_us"]) for of, share, row in points if of == name and row.system == system)
            axis.plot(*zip(*reversed(line), strict=True), ".-", color=colour, label=system, lw=2.4 if colour == ACCENT else 1.2)
        axis.set(title=f"{name} items", xlabel="eligible items, %", xscale="log", yscale="log")
        axis.invert_xaxis()
        axis.minorticks_off()
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:,g}")
    axes[0].set_ylabel("µs a query (median)")
    name_lines(axes[-1])
    took: dict[tuple[str, float], dict[str, float]] = {}
    for name, share, row in points:
        took.setdefault((name, share), {})[row.system] = row.metrics["p50_us"]
    first = sum(min(systems, key=systems.__getitem__) == OURS for systems in took.values())
    name, share = sets[-1], 1.0
    systems = dict(took[name, share])
    ours = systems.pop(OURS)
    best = min(systems, key=systems.__getitem__)
    return (
        f"A filtered search is fastest here in {first} of {len(took)} cases; with {share:g} % of {name} items eligible it takes"
        f" {ours:.0f} µs, the next best ({best}) {systems[best]:.0f} µs"
    )


def als_speed(rows: Sequence[Row], figure: Figure) -> str:
    points = [(row, re.fullmatch(r"d=64, (\d+)% of the events", row.case)) for row in rows]
    took: dict[str, dict[int, float]] = {}
    for row, case in points:
        if case:
            took.setdefault(row.system, {})[int(case[1])] = row.metrics["sweep_ms"]
    axis = figure.subplots()
    for system, colour in colours(list(took), OURS).items():
        axis.plot(list(took[system]), list(took[system].values()), "o-", color=colour, label=system)
    axis.set(xlabel="events learnt from, % of Gowalla's", ylabel="ms a sweep of ALS, d = 64", xlim=(0, 102), ylim=(0, None))
    name_lines(axis)
    (peer,) = took.keys() - {OURS}
    saved = [100 - 100 * took[OURS][share] / took[peer][share] for share in took[OURS]]
    return f"A sweep of ALS takes {min(saved):.0f} to {max(saved):.0f} % less time than one of {peer}"


def scaling(rows: Sequence[Row], figure: Figure) -> str:
    of: dict[str, dict[int, Row]] = {}
    for row in rows:
        shards, items = row.case.split(" shards, ")
        of.setdefault(items, {})[int(shards)] = row
    titles = {"p50_ms": "ms a request (median)", "cpu_ms_per_request": "ms of CPU a request"}
    for axis, (metric, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for (items, points), colour in zip(of.items(), (ACCENT, COLOURS[0]), strict=True):
            axis.plot(list(points), [row.metrics[metric] for row in points.values()], "o-", color=colour, label=items)
        axis.set(xlabel="shards", ylabel=title, xticks=list(points), ylim=(0, None))
        name_lines(axis)
    same, (few, many) = of["100,000 items in all"], (min(points), max(points))
    a_shard = np.polyfit(list(same), [row.metrics["cpu_ms_per_request"] for row in same.values()], 1)[0]
    times = [same[n].metrics["p50_ms"] for n in (few, many)]
    return (
        f"Cut into {many} shards, 100,000 items answer in {times[1]:.1f} ms instead of {times[0]:.1f} ms:"
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
