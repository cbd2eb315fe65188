"""`oskolok recommend USER`: one request, as a table."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cluster.errors import ConfigError
from deploy.commands.common import (
    ConfigOption,
    Form,
    FormOption,
    SetOption,
    UrlOption,
    VerboseOption,
    client,
    out,
    print_json,
    show_curls,
)
from deploy.commands.filter_text import parse_filter
from deploy.commands.slate_text import funnel, shortage, slate_table, sources_table, summary


class Explain(StrEnum):
    """How much of its way to the slate an answer tells."""

    none = "none"
    funnel = "funnel"
    full = "full"


def recommend(
    user: Annotated[str, typer.Argument(help="The user's id. A stranger gets what sells best.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items.")] = 10,
    filter: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Such as 'brand in (a, b)', '1 <= price < 4', 'on_sale or brand != x'. Repeatable."),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="An item id not to return. Repeatable.")] = None,
    basket: Annotated[list[str] | None, typer.Option("--basket", help="An item id in the basket. Repeatable.")] = None,
    viewed: Annotated[
        list[str] | None, typer.Option("--viewed", help="An item id viewed in this session. Repeatable, newest first.")
    ] = None,
    playlist: Annotated[list[str] | None, typer.Option("--playlist", help="A playlist to propose from. Repeatable.")] = None,
    timeout_ms: Annotated[int | None, typer.Option("--timeout-ms", help="The request's time budget.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Repeats the random draws of exploration.")] = None,
    pin: Annotated[list[str] | None, typer.Option("--pin", help="An item at a place, as ITEM=POSITION. Repeatable.")] = None,
    explain: Annotated[
        Explain,
        typer.Option("--explain", help="funnel: what each source found and each stage let through. full: kept for replay."),
    ] = Explain.none,
    url: UrlOption = "",
    config: ConfigOption = None,
    set: SetOption = None,
    format: FormOption = Form.human,
    verbose: VerboseOption = False,
) -> None:
    """Ask the running cluster for recommendations.

    Five items for user 42; only what one store sells, and what each stage did; a stranger with something in the basket:

    $ oskolok recommend 42 -k 5
    $ oskolok recommend 42 --filter 'stores in (367)' --explain funnel
    $ oskolok recommend somebody --basket 981760
    """
    body = wish(user, k, filter=filter, exclude=exclude, basket=basket, viewed=viewed, playlist=playlist, timeout_ms=timeout_ms)
    if seed is not None:
        body["seed"] = seed
    if pin:
        body["pins"] = [_pin(text) for text in pin]
    if explain is not Explain.none:
        body["explain"] = explain.value
    used = client(url, config, set)
    try:
        answer = used.recommend(body)
    finally:
        show_curls(used, verbose=verbose)
    if format is Form.json:
        print_json(answer)
        return
    out.print(slate_table(answer, out.width))
    if short := shortage(answer, k):
        out.print(short, markup=False)
    if answer.get("explain"):
        out.print(sources_table(answer))
    if explain is Explain.full and not answer["explain"].get("kept", True):
        out.print("[dim]not kept for replay: more requests ask for it than observability.replay_asked_per_s allows[/]")
    out.print(f"[dim]{funnel(answer)}[/]")
    out.print(f"[dim]{summary(answer)}[/]")


def _pin(text: str) -> dict[str, Any]:
    """
    >>> _pin("a=b=3")
    {'item_id': 'a=b', 'position': 3}
    """
    item, _, position = text.rpartition("=")
    if not item or not position.isdecimal():
        raise ConfigError(f"--pin {text!r} is not ITEM=POSITION", help="such as --pin 1082185=4, places counted from 1")
    return {"item_id": item, "position": int(position)}


def wish(
    user: str,
    k: int,
    *,
    filter: list[str] | None,
    exclude: list[str] | None,
    basket: list[str] | None,
    viewed: list[str] | None,
    playlist: list[str] | None,
    timeout_ms: int | None,
) -> dict[str, Any]:
    """The body that these options say. Raises ConfigError for a filter that cannot be read."""
    body: dict[str, Any] = {"user_id": user, "k": k}
    if filter:
        body["filter"] = parse_filter(filter)
    if exclude:
        body["exclude_item_ids"] = exclude
    context = {"basket": basket, "viewed": viewed, "playlists": playlist}
    if given := {name: values for name, values in context.items() if values}:
        body["context"] = given
    if timeout_ms is not None:
        body["timeout_ms"] = timeout_ms
    return body
