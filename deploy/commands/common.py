"""What all verbs share: options, where output goes, and how a failure is reported (one line, one `help:` line, a code).

Results go to stdout, everything else to stderr. With --format json stdout holds one JSON document: the result, or a problem.
Exit codes: 0 done, 1 our fault, 2 usage or configuration, 3 not ready.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cluster.config.contradictions import contradictions
from cluster.config.file import Check, LoadedConfig, load
from cluster.config.named_files import absent_files
from cluster.errors import (
    ConfigError,
    DeadlineExceeded,
    GenerationCorrupt,
    GenerationMissing,
    OskolokError,
    SchemaMismatch,
    Unavailable,
)
from deploy.client import Client, ProblemAnswer

DEFAULT_FILE = Path("oskolok.toml")

OK, OUR_FAULT, USAGE, NOT_READY, INTERRUPTED = 0, 1, 2, 3, 130
_TRACEBACK = "run again with OSKOLOK_TRACEBACK=1 to see the traceback"


class Form(StrEnum):
    """How results are printed."""

    human = "human"
    json = "json"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration file. Default: ./oskolok.toml if it exists.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override one key, as section.key=value. May be repeated.")]
FormOption = Annotated[Form, typer.Option("--format", help="human: tables and text. json: one JSON document.")]
UrlOption = Annotated[str, typer.Option("--url", help="The server's address. Default: the configured one.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print the equivalent curl commands to stderr.")]

ItemsOption = Annotated[Path, typer.Option("--items", help="The catalogue: a Parquet file, or a folder of Parquet files.")]
EventsOption = Annotated[Path, typer.Option("--events", help="The event log (file or folder).")]
UsersOption = Annotated[Path | None, typer.Option("--users", help="User attributes (file or folder). Optional.")]
PlaylistsOption = Annotated[Path | None, typer.Option("--playlists", help="Named lists of items (file or folder). Optional.")]

Texts = list[str] | None
FilterOption = Annotated[
    Texts,
    typer.Option("--filter", help="Such as 'brand in (a, b)', '1 <= price < 4', 'on_sale or brand != x'. May be repeated."),
]
ExcludeOption = Annotated[Texts, typer.Option("--exclude", help="An item id not to return. May be repeated.")]
BasketOption = Annotated[Texts, typer.Option("--basket", help="An item id in the basket. May be repeated.")]
ViewedOption = Annotated[
    Texts, typer.Option("--viewed", help="An item id viewed in this session, newest first. May be repeated.")
]
PlaylistOption = Annotated[Texts, typer.Option("--playlist", help="A playlist to propose from. May be repeated.")]
TimeoutOption = Annotated[int | None, typer.Option("--timeout-ms", help="The request's time budget, in milliseconds.")]

WITH_FILES: tuple[Check, ...] = (contradictions, absent_files)
"""The checks of a configuration for verbs that read the files it names."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def configuration(
    path: Path | None, overrides: Sequence[str] | None, *, checks: Sequence[Check] = (contradictions,)
) -> LoadedConfig:
    """The configuration that the options and the environment name. Raises ConfigError."""
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    return load(path, overrides=overrides or (), environ=os.environ, checks=checks)


def client(url: str, path: Path | None, overrides: Sequence[str] | None, *, timeout_s: float = 10.0) -> Client:
    """A client of --url, or of the configured server on this machine."""
    if not url:
        http = configuration(path, overrides).config.http
        host = "127.0.0.1" if http.host in ("0.0.0.0", "::") else http.host
        url = f"http://{host}:{http.port}"
    return Client(url, timeout_s=timeout_s)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_curls(used: Client, *, verbose: bool) -> None:
    """What was asked, as curl commands."""
    if verbose:
        for line in used.curls:
            err.print(line, markup=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failed command ends. kind: for programs, the last part of a problem's type.  more: other members of a problem."""

    kind: str
    message: str
    help: str
    code: int
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_problem(self) -> dict[str, Any]:
        """A document like those of the HTTP API."""
        said = {"detail": self.message, "help": self.help, "exit_code": self.code}
        return {
            "type": f"urn:oskolok:problem:{self.kind}",
            **self.more,
            **{name: value for name, value in said.items() if value},
        }


def failure_of(error: BaseException) -> Failure:
    """Message, help and exit code of any error. An error's own help comes first; a foreign error counts as our fault."""
    own_help = str(error.details.get("help", "")) if isinstance(error, OskolokError) else ""
    match error:
        case ConfigError():
            errors = error.details.get("errors")
            return Failure("configuration", error.message, own_help, USAGE, {"errors": errors} if errors else {})
        case GenerationMissing():
            help = own_help or "`oskolok build` builds a generation; `oskolok demo` shows every step"
            return Failure("generation-missing", error.message, help, USAGE)
        case SchemaMismatch():
            help = own_help or "build again: shards and models must have one schema, that of this version"
            return Failure("schema-mismatch", error.message, help, USAGE)
        case GenerationCorrupt():
            help = own_help or "build again, or restore the file; nothing was loaded"
            return Failure("generation-corrupt", error.message, help, OUR_FAULT)
        case ProblemAnswer():
            code = NOT_READY if error.status in (429, 503, 504) else USAGE if error.status < 500 else OUR_FAULT
            return Failure("answer", str(error), error.help or "see the server's /docs", code, error.problem)
        case Unavailable() | DeadlineExceeded():
            help = own_help or "is the cluster running? `oskolok serve` starts it, `oskolok status` shows its state"
            return Failure("unavailable", error.message, help, NOT_READY)
        case KeyboardInterrupt():
            return Failure("interrupted", "interrupted", "", INTERRUPTED)
    said = error.message if isinstance(error, OskolokError) else error
    return Failure("internal", f"{type(error).__name__}: {said}", own_help or _TRACEBACK, OUR_FAULT)


def tell(failure: Failure, form: Form) -> None:
    """Report a failure: as lines on stderr, or as one problem document on stdout."""
    if form is Form.json:
        print_json(failure.as_problem())
        return
    err.print(f"[bold red]error:[/] {_plain(failure.message)}")
    if failure.help:
        err.print(f"help: {_plain(failure.help)}")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
