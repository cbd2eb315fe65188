"""What every verb shares: its options, where output goes, and how a failure is told (one line, one `help:` line, a code).

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 our fault, 2 usage or configuration, 3 not ready.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cluster.config_file import LoadedConfig, load
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


class Form(StrEnum):
    """How results are printed."""

    human = "human"
    json = "json"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration file; ./oskolok.toml if there is one, else the defaults.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One key, as section.key=value. May be repeated.")]
FormOption = Annotated[Form, typer.Option("--format", help="human for people, json for programs.")]
UrlOption = Annotated[str, typer.Option("--url", help="The server's address; the configured one if left out.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print the equivalent curl commands to stderr.")]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def configuration(path: Path | None, overrides: Sequence[str] | None) -> LoadedConfig:
    """The configuration that the options and the environment name. Raises ConfigError."""
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    return load(path, overrides=overrides or (), environ=os.environ)


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
    """How a command ends that did not do what it was asked."""

    message: str
    help: str
    code: int


def failure_of(error: BaseException) -> Failure:
    """For people and for scripts. Foreign errors are ours to answer for."""
    match error:
        case ConfigError():
            return Failure(error.message, "`oskolok config schema` lists every key and its range", USAGE)
        case GenerationMissing():
            return Failure(error.message, "`oskolok build` makes a generation, `oskolok demo` does everything", USAGE)
        case SchemaMismatch():
            return Failure(error.message, "build again: shards and models must be of one schema and of this version", USAGE)
        case GenerationCorrupt():
            return Failure(error.message, "build again, or restore the file; nothing was loaded from it", OUR_FAULT)
        case ProblemAnswer():
            code = NOT_READY if error.status in (429, 503, 504) else USAGE if error.status < 500 else OUR_FAULT
            return Failure(str(error), error.help or "see the server's /docs", code)
        case Unavailable() | DeadlineExceeded():
            return Failure(error.message, "is it running? `oskolok serve` starts it, `oskolok status` shows it", NOT_READY)
        case OskolokError():
            return Failure(
                f"{type(error).__name__}: {error.message}", "run again with OSKOLOK_TRACEBACK=1 to see where", OUR_FAULT
            )
        case KeyboardInterrupt():
            return Failure("interrupted", "", INTERRUPTED)
    return Failure(f"{type(error).__name__}: {error}", "run again with OSKOLOK_TRACEBACK=1 to see where", OUR_FAULT)


def tell(failure: Failure) -> None:
    """Print a failure as every command does."""
    err.print(f"[bold red]error:[/] {_plain(failure.message)}")
    if failure.help:
        err.print(f"help: {_plain(failure.help)}")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
