"""`oskolok why`: explains why an item is recommended to a user, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.commands.common import (
    BasketOption,
    ConfigOption,
    ExcludeOption,
    FilterOption,
    Form,
    FormOption,
    PlaylistOption,
    SetOption,
    TimeoutOption,
    UrlOption,
    VerboseOption,
    ViewedOption,
    client,
    out,
    print_json,
    show_curls,
)
from deploy.commands.recommend import wish
from deploy.commands.why_text import headline, sentences, standings_table


def why(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id.")],
    item: Annotated[str, typer.Option("--item", "-i", help="The item's id. Any item of the catalogue.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items the answer would have.")] = 10,
    filter: FilterOption = None,
    exclude: ExcludeOption = None,
    basket: BasketOption = None,
    viewed: ViewedOption = None,
    playlist: PlaylistOption = None,
    timeout_ms: TimeoutOption = None,
    url: UrlOption = "",
    config: ConfigOption = None,
    set: SetOption = None,
    format: FormOption = Form.human,
    verbose: VerboseOption = False,
) -> None:
    """Ask the running cluster what happens to one item in a user's recommendations.

    The output says whether the item may be shown, and which condition of the filter keeps it out. It gives the item's exact
    rank in every source, its rank after the merge and in both models, and the rule of the slate that decides. For an item that
    no source proposed, it says what would happen if a source had.

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
