"""The `oskolok` command. Verbs that talk to a running cluster use HTTP and load neither Ray nor a model library.

The modules of the verbs import what they need when they run, so that --help stays quick.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from itertools import pairwise
from typing import Annotated

import typer

from deploy.commands import config as config_command
from deploy.commands import options
from deploy.commands.build import build
from deploy.commands.common import INTERRUPTED, OK, USAGE, Failure, Form, failure_of, out, present, tell
from deploy.commands.demo import demo
from deploy.commands.evaluate import evaluate
from deploy.commands.prose import prose
from deploy.commands.recommend import recommend
from deploy.commands.replay import replay
from deploy.commands.serve import serve
from deploy.commands.status import status
from deploy.commands.stop import stop
from deploy.commands.train_rankers import train_rankers
from deploy.commands.why import why

app = typer.Typer(
    name="oskolok",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=prose("""A sharded retrieval-and-ranking cluster for recommender systems, on Ray.

    `oskolok demo` fetches data, builds, starts a cluster and shows its answers. With your own catalogue and event log:

    $ oskolok build --items items.parquet --events events.parquet
    $ oskolok serve
    $ oskolok recommend USER
    $ oskolok why --user USER --item ITEM

    Settings come from ./oskolok.toml; `oskolok config schema` lists all keys.
    """),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"oskolok {version_of('oskolok')}")
        raise typer.Exit


@app.callback()
def before_the_verb(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the verb."""


def version(format: options.Format = Form.human) -> None:
    """Print the versions of Oskolok, Ray and Python."""
    versions = {"oskolok": version_of("oskolok"), "ray": version_of("ray"), "python": sys.version.split()[0]}
    present(format, versions, lambda: out.print(" · ".join(f"{name} {number}" for name, number in versions.items())))


for verb in (demo, build, train_rankers, serve, recommend, why, replay, status, stop, evaluate, version):
    app.command(help=prose(verb.__doc__ or ""))(verb)
app.add_typer(config_command.app, name="config")


def main() -> None:
    """The console script. Exits 0, 1 (our fault), 2 (usage or configuration), 3 (not ready), 130 (interrupted)."""
    os.umask(0o077)  # what is built and served has histories of users; every process that is started from here inherits this
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. The output format is read first, since reading the arguments may fail."""
    form = Form.json if "--format=json" in arguments or ("--format", "json") in pairwise(arguments) else Form.human
    try:
        code = app(arguments, standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # nobody reads on: the interpreter's last flush must not fail
        return OK
    except Exception as error:
        if callable(show := getattr(error, "show", None)):  # a usage error: click's, of which typer may have its own copy
            if form is Form.human:
                show()
            else:
                tell(
                    Failure("usage", str(getattr(error, "message", error)), "`oskolok VERB --help` shows its options", USAGE),
                    form,
                )
            return USAGE
        failure = failure_of(error)
        tell(failure, form)
        if os.environ.get("OSKOLOK_TRACEBACK"):
            raise
        return failure.code
    return code if isinstance(code, int) else OK


if __name__ == "__main__":
    main()
