"""`oskolok recommend USER`: send one request and print the answer as a table."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cluster.errors import ConfigError
from deploy.commands import options
from deploy.commands.common import Form, asking, out, print_json
from deploy.commands.filter_text import parse_filter
from deploy.commands.slate_text import funnel, relaxations, shortage, slate_table, sources_table, summary


class Explain(StrEnum):
    """How much an answer explains."""

    none = "none"
    funnel = "funnel"
    full = "full"


def recommend(
    user: Annotated[str, typer.Argument(help="The user's id. An unknown user gets bestsellers.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items to return.")] = 10,
    filter: options.Filter = None,
    exclude: options.Exclude = None,
    basket: options.Basket = None,
    viewed: options.Viewed = None,
    playlist: options.Playlist = None,
    timeout_ms: options.Timeout = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Repeat the random draws of exploration with this seed.")] = None,
    pin: Annotated[
        list[str] | None, typer.Option("--pin", help="Put an item at a position, as ITEM=POSITION. May be repeated.")
    ] = None,
    explain: Annotated[
        Explain,
        typer.Option(
            "--explain",
            help="funnel: show what each source proposed and each stage let through. full: also keep the request for replay.",
        ),
    ] = Explain.none,
    url: options.Url = "",
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
    verbose: options.Verbose = False,
) -> None:
    """Ask the running cluster for recommendations.

    Five items for user 42; only items of one store, with what each stage did; an unknown user with an item in the basket:

    $ oskolok recommend 42 -k 5
    $ oskolok recommend 42 --filter 'stores in (367)' --explain funnel
    $ oskolok recommend somebody --basket 981760
    """
    body = given(
        user_id=user,
        k=k,
        filter=parse_filter(filter or ()),
        exclude_item_ids=exclude,
        context=given(basket=basket, viewed=viewed, playlists=playlist),
        timeout_ms=timeout_ms,
        seed=seed,
        pins=[_pin(text) for text in pin or ()],
        explain=None if explain is Explain.none else explain.value,
    )
    with asking(url, config, set, verbose=verbose) as client:
        answer = client.recommend(body)
    if format is Form.json:
        print_json(answer)
        return
    out.print(slate_table(answer, out.width))
    if short := shortage(answer, k):
        out.print(short, markup=False)
    for note in relaxations(answer):
        out.print(note, markup=False)
    if answer.get("explain"):
        out.print(sources_table(answer))
    if explain is Explain.full and not answer["explain"].get("kept", True):
        out.print("[dim]not kept for replay: observability.replay_asked_per_s allows no more requests at the moment[/]")
    out.print(f"[dim]{funnel(answer)}[/]")
    out.print(f"[dim]{summary(answer)}[/]")


def _pin(text: str) -> dict[str, Any]:
    """
    >>> _pin("a=b=3")
    {'item_id': 'a=b', 'position': 3}
    """
    item, _, position = text.rpartition("=")
    if not item or not position.isdecimal():
        raise ConfigError(f"--pin {text!r} is not ITEM=POSITION", help="such as --pin 1082185=4; positions count from 1")
    return {"item_id": item, "position": int(position)}


def given(**members: Any) -> dict[str, Any]:
    """A JSON object of these members, without those that are None or empty.

    >>> given(k=5, seed=0, filter={}, exclude_item_ids=None, pins=[])
    {'k': 5, 'seed': 0}
    """
    return {name: value for name, value in members.items() if value not in (None, [], {})}
