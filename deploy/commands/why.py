"""`oskolok why`: explains why an item is recommended to a user, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.commands import options
from deploy.commands.common import Form, asking, out, present
from deploy.commands.filter_text import parse_filter
from deploy.commands.recommend import given
from deploy.commands.why_text import headline, sentences, standings_table


def why(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id.")],
    item: Annotated[str, typer.Option("--item", "-i", help="The item's id. Any item of the catalogue.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items the answer would have.")] = 10,
    filter: options.Filter = None,
    exclude: options.Exclude = None,
    basket: options.Basket = None,
    viewed: options.Viewed = None,
    playlist: options.Playlist = None,
    timeout_ms: options.Timeout = None,
    url: options.Url = "",
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
    verbose: options.Verbose = False,
) -> None:
    """Ask the running cluster what happens to one item in a user's recommendations.

    The output says whether the item may be shown, and which condition of the filter keeps it out. It gives the item's exact
    rank in every source, its rank after the merge and in both models, and the rule of the slate that decides. For an item that
    no source proposed, it says what would happen if a source had.

    $ oskolok why --user 42 --item 1082185
    $ oskolok why -u 42 -i 1082185 --filter 'stores in (367)' --basket 981760
    """
    body = given(
        user_id=user,
        k=k,
        filter=parse_filter(filter or ()),
        exclude_item_ids=exclude,
        context=given(basket=basket, viewed=viewed, playlists=playlist),
        timeout_ms=timeout_ms,
        item_id=item,
    )
    with asking(url, config, set, verbose=verbose) as client:
        answer = client.why(body)
    present(format, answer, lambda: show_why(answer))


def show_why(answer: Mapping[str, Any]) -> None:
    """The answer on stdout."""
    out.print(Text(headline(answer), style="bold"))
    if answer["sources"]:
        out.print(standings_table(answer))
    for line in sentences(answer):
        out.print(Text(line))
