"""`oskolok why`: why an item is recommended to a user, or why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

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
from deploy.commands.recommend import wish
from deploy.commands.why_text import headline, sentences, standings_table


def why(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id.")],
    item: Annotated[str, typer.Option("--item", "-i", help="The item's id; any item of the catalogue.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items the answer would have.")] = 10,
    filter: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Such as 'brand in (a, b)', 'price <= 4', 'not category = x'. Repeatable."),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="An item id not to return. Repeatable.")] = None,
    basket: Annotated[list[str] | None, typer.Option("--basket", help="An item id in the basket. Repeatable.")] = None,
    viewed: Annotated[
        list[str] | None, typer.Option("--viewed", help="An item id viewed in this session. Repeatable, newest first.")
    ] = None,
    playlist: Annotated[list[str] | None, typer.Option("--playlist", help="A playlist to propose from. Repeatable.")] = None,
    timeout_ms: Annotated[int | None, typer.Option("--timeout-ms", help="The time budget.")] = None,
    url: UrlOption = "",
    config: ConfigOption = None,
    set: SetOption = None,
    format: FormOption = Form.human,
    verbose: VerboseOption = False,
) -> None:
    """Ask the running cluster what becomes of one item in a user's recommendations.

    Whether it may be shown and which condition keeps it out, its exact rank in every source, what the merge and both models
    make of it, and which rule of the slate decides. For items that no source found, what would happen if one had.

    $ oskolok why --user 42 --item 1082185
    $ oskolok why -u 42 -i 1082185 --filter 'stores in (367)' --basket 981760
    """
    body = wish(
        user, k, filter=filter, exclude=exclude, basket=basket, viewed=viewed, playlist=playlist, timeout_ms=timeout_ms
    ) | {"item_id": item}
    used = client(url, config, set)
    try:
        found = used.why(body)
    finally:
        show_curls(used, verbose=verbose)
    if format is Form.json:
        print_json(found)
    else:
        show_why(found)


def show_why(found: Mapping[str, Any]) -> None:
    """The answer on stdout."""
    out.print(Text(headline(found), style="bold"))
    if found["sources"]:
        out.print(standings_table(found))
    for line in sentences(found):
        out.print(Text(line))
