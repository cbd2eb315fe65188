"""`oskolok status`: the cluster on one screen; exit code 3 until it is ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cluster.errors import Unavailable
from cluster.spec import RankingSpec
from deploy.client import Client, ProblemAnswer
from deploy.commands import options
from deploy.commands.common import NOT_READY, Form, asking, out, plain_table, present

_STYLES = {"READY": "green", "DEGRADED": "yellow", "STARTING": "yellow"}
_POLL_S = 0.5


def status(
    wait: Annotated[float, typer.Option("--wait", min=0, help="Wait up to this many seconds for every part to be ready.")] = 0,
    url: options.Url = "",
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
    verbose: options.Verbose = False,
) -> None:
    """Show shards, rankers and their states. The exit code is 0 if requests are answered, 3 if not yet."""
    with asking(url, config, set, verbose=verbose) as client:
        answer = _asked(client, time.monotonic() + wait)
    present(format, answer, lambda: _print(answer, client.url))
    if answer["state"] == "STARTING" or (wait and answer["state"] != "READY"):
        raise typer.Exit(NOT_READY)


def _asked(client: Client, until: float) -> dict[str, Any]:
    while True:
        try:
            answer = client.cluster()
            if answer["state"] == "READY" or time.monotonic() >= until:
                return answer
        except (Unavailable, ProblemAnswer):
            if time.monotonic() >= until:
                raise
        client.curls.clear()
        time.sleep(_POLL_S)


def _print(answer: Mapping[str, Any], url: str) -> None:
    view, state = answer["cluster"], answer["state"]
    coloured = f"[bold {_STYLES[state]}]{state}[/]"
    if view is None:
        out.print(f"cluster {coloured}   {url}")
    else:
        topology = view["topology"]
        up_s = max(0, int(time.time() - view["started_at"]))
        out.print(
            f"cluster {view['name']}   {coloured}   generation {topology['spec']['id']}   "
            f"topology {view['version']}   up {_span(up_s)}   {url}"
        )
        out.print(_table(view))
        for part in view["replicas"]:
            if part["detail"] and part["health"] != "ready":
                out.print(f"  {part['name']}: {part['detail']}", markup=False)
        if (published := answer.get("published", "")) not in ("", topology["spec"]["id"]):
            out.print(f"generation {published} is published and will be served after the next start", markup=False)
    if ranking := answer["ranking"]:
        out.print(f"ranking: {RankingSpec(**ranking).line}", markup=False)
    for check in answer["checks"]:
        if not check.startswith("[+]"):
            out.print(f"  {check}", markup=False)


def _table(view: Mapping[str, Any]) -> Table:
    titles = ("part", "state", "items", "pid", "starts", "load", "node")
    table = plain_table(titles, left=("part", "state", "load", "node"))
    sizes = view["topology"]["spec"]["shard_items"]
    for part in view["replicas"]:
        ready = part["health"] == "ready"
        table.add_row(
            part["name"],
            Text(part["health"], style="green" if ready else "yellow"),
            f"{sizes[part['shard']]:,}" if part["shard"] >= 0 else "",
            str(part["pid"] or "–"),
            str(part["starts"]),
            f"{part['load_s']:.1f} s" if part["load_s"] else "–",
            part["node_id"][:8],
        )
    return table


def _span(seconds: int) -> str:
    """Two units at most.

    >>> _span(59), _span(3700), _span(200_000)
    ('59 s', '1 h 1 min', '2 d 7 h')
    """
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
