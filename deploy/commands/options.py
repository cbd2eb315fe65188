"""The options that several verbs take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.common import Form

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration file. Default: ./oskolok.toml if it exists.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override one key, as section.key=value. May be repeated.")]
Format = Annotated[Form, typer.Option("--format", help="human: tables and text. json: one JSON document.")]
Url = Annotated[str, typer.Option("--url", help="The server's address. Default: the configured one.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the equivalent curl commands to stderr.")]

Items = Annotated[Path, typer.Option("--items", help="The catalogue: a Parquet file, or a folder of Parquet files.")]
Events = Annotated[Path, typer.Option("--events", help="The event log (file or folder).")]
Users = Annotated[Path | None, typer.Option("--users", help="User attributes (file or folder). Optional.")]
Playlists = Annotated[Path | None, typer.Option("--playlists", help="Named lists of items (file or folder). Optional.")]

Texts = list[str] | None
Filter = Annotated[
    Texts,
    typer.Option("--filter", help="Such as 'brand in (a, b)', '1 <= price < 4', 'on_sale or brand != x'. May be repeated."),
]
Exclude = Annotated[Texts, typer.Option("--exclude", help="An item id not to return. May be repeated.")]
Basket = Annotated[Texts, typer.Option("--basket", help="An item id in the basket. May be repeated.")]
Viewed = Annotated[Texts, typer.Option("--viewed", help="An item id viewed in this session, newest first. May be repeated.")]
Playlist = Annotated[Texts, typer.Option("--playlist", help="A playlist to propose from. May be repeated.")]
Timeout = Annotated[int | None, typer.Option("--timeout-ms", help="The request's time budget, in milliseconds.")]
