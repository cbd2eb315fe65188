"""What all verbs share: options, where output goes, and how a failure is reported (one line, one `help:` line, a code).

Results go to stdout, everything else to stderr. With --format json stdout holds one JSON document: the result, or a problem.
Exit codes: 0 done, 1 our fault, 2 usage or configuration, 3 not ready.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

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
from deploy.client import Client, ProblemAnswer, local_url

DEFAULT_FILE = Path("oskolok.toml")

OK, OUR_FAULT, USAGE, NOT_READY, INTERRUPTED = 0, 1, 2, 3, 130
_TRACEBACK = "run again with OSKOLOK_TRACEBACK=1 to see the traceback"
_NOT_RUNNING = "is the cluster running? `oskolok serve` starts it, `oskolok status` shows its state"


class Form(StrEnum):
    """How results are printed."""

    human = "human"
    json = "json"


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


@contextmanager
def asking(url: str, path: Path | None, overrides: Sequence[str] | None, *, verbose: bool) -> Iterator[Client]:
    """A client of --url, or of the configured server on this machine. --verbose prints its requests as curl commands."""
    client = Client(url or local_url(configuration(path, overrides).config.http))
    try:
        yield client
    finally:
        if verbose:
            for line in client.curls:
                err.print(line, markup=False)


def plain_table(titles: Iterable[str], *, left: Collection[str]) -> Table:
    """A table without lines, of one line a row. Columns stand on the right, as numbers do, but for those in `left`."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", no_wrap=True)
    return table


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def present(format: Form, value: Any, human: Callable[[], object]) -> None:
    """What a verb has to say: the value as JSON, or what `human` prints."""
    print_json(value) if format is Form.json else human()


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


_FAILURES: Mapping[type[OskolokError], tuple[str, int, str]] = {
    ConfigError: ("configuration", USAGE, ""),
    GenerationMissing: ("generation-missing", USAGE, "`oskolok build` builds a generation; `oskolok demo` shows every step"),
    SchemaMismatch: ("schema-mismatch", USAGE, "build again: shards and models must have one schema, that of this version"),
    GenerationCorrupt: ("generation-corrupt", OUR_FAULT, "build again, or restore the file; nothing was loaded"),
    Unavailable: ("unavailable", NOT_READY, _NOT_RUNNING),
    DeadlineExceeded: ("unavailable", NOT_READY, _NOT_RUNNING),
}
"""The kind, exit code and help of our errors; the nearest entry up an error's family tree counts."""


def failure_of(error: BaseException) -> Failure:
    """Message, help and exit code of any error. An error's own help comes first; a foreign error counts as our fault."""
    if isinstance(error, ProblemAnswer):
        code = NOT_READY if error.status in (429, 503, 504) else USAGE if error.status < 500 else OUR_FAULT
        return Failure("answer", str(error), error.help or "see the server's /docs", code, error.problem)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "interrupted", "", INTERRUPTED)
    if not isinstance(error, OskolokError):
        return Failure("internal", f"{type(error).__name__}: {error}", _TRACEBACK, OUR_FAULT)
    internal = "internal", OUR_FAULT, _TRACEBACK
    kind, code, help = next((_FAILURES[cls] for cls in type(error).__mro__ if cls in _FAILURES), internal)
    message = f"{type(error).__name__}: {error.message}" if kind == "internal" else error.message
    errors = error.details.get("errors") if kind == "configuration" else None
    return Failure(kind, message, str(error.details.get("help", "")) or help, code, {"errors": errors} if errors else {})


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
