"""`oskolok replay FILE`: answers kept requests again, and shows what another generation or configuration would change."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.config.file import load
from cluster.errors import ConfigError
from deploy.commands import options
from deploy.commands.common import OUR_FAULT, Form, err, out, present

if TYPE_CHECKING:
    from cluster.config.sections import Config
    from deploy.replay.diff import Changed, Difference
    from router.replay.logged import Logged

_SIGNS = {"came": "+", "went": "-", "moved": "~"}


def replay(
    file: Annotated[Path, typer.Argument(help="A log below <storage.path>/replay, or a folder of logs.")],
    generation: Annotated[
        str, typer.Option("--generation", help="Use another generation: an id in the same storage, or a folder.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Use another configuration. Default: the one each request was answered with."),
    ] = None,
    set: options.Set = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Replay this many requests at most.")] = 1_000,
    format: options.Format = Form.human,
) -> None:
    """Answer kept requests again in this process, without a cluster.

    With the generation and configuration that answered, every slate must come out the same, bit for bit; otherwise the exit
    code is 1. What failed then fails again, and is named. With --generation, --config or --set, the output lists the items
    that came, went and moved, and the stage that caused it.

    `observability.replay_sample` sets the share of requests that are kept, and `observability.replay_asked_per_s` how many of
    those with `recommend --explain full`.

    $ oskolok replay var/oskolok/replay/1764046800000-71.parquet
    $ oskolok replay var/oskolok/replay --set slate.cap_by=department --set slate.cap=1
    """
    requests = list(islice(_requests(file), limit))
    if not requests:
        raise ConfigError(f"{file} holds no requests")
    results = _replayed(requests, file, generation, config, set or ())
    is_repeat = not generation and config is None and not set
    present(format, [_as_json(*result) for result in results], lambda: _show(results, is_repeat=is_repeat))
    if is_repeat and not all(difference.equal or difference.excuse for _, difference in results):
        raise typer.Exit(OUR_FAULT)


def _requests(path: Path) -> Iterator[Logged]:
    from router.replay.file import read_log

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    for file in files:
        yield from read_log(file)


def _replayed(
    requests: Sequence[Logged], file: Path, generation: str, config: Path | None, overrides: Sequence[str]
) -> list[tuple[Logged, Difference]]:
    import asyncio

    from deploy.replay.diff import difference
    from deploy.replay.house import House
    from deploy.replay.play import as_answered, play

    users = {one.request.user_id for one in requests}
    houses: dict[tuple[Path, str], House] = {}
    configs: dict[str, tuple[Config, Config]] = {}

    async def all_of_them() -> list[tuple[Logged, Difference]]:
        results = []
        for logged in requests:
            if logged.config not in configs:
                configs[logged.config] = _configs(logged.config, config, overrides)
            as_logged, wanted = configs[logged.config]
            where, heavy = _generation(file, generation or logged.generation), wanted.ranker.heavy.model
            if (where, heavy) not in houses:
                err.print(f"  {'read':<10} generation {where.name}", markup=False)
                houses[where, heavy] = House.open(where, users=users if generation else (), heavy_model=heavy)
            played = await play(logged, houses[where, heavy], wanted, as_logged=as_logged)
            results.append((logged, difference(as_answered(logged), played)))
        return results

    return asyncio.run(all_of_them())


def _generation(file: Path, named: str) -> Path:
    """The folder of a generation: as named, or by its id in the storage that the log lies in."""
    above = file.absolute().parents
    storage = next((folder for folder in above if (folder / "generations").is_dir()), above[0])
    return Path(named) if Path(named).is_dir() else storage / "generations" / named


def _configs(answered: str, path: Path | None, overrides: Sequence[str]) -> tuple[Config, Config]:
    """The configuration that a request was answered under, and the one that is wanted. Raises ConfigError."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as kept:
        kept.write(answered)
        kept.flush()
        as_logged = load(Path(kept.name)).config
        return as_logged, load(path or Path(kept.name), overrides=overrides).config


def _show(results: Sequence[tuple[Logged, Difference]], *, is_repeat: bool) -> None:
    for logged, difference in results:
        text = "the same, bit for bit" if difference.equal else f"{difference.n_kept} of {len(logged.slate)} stay"
        if difference.rescored:
            text += ", with other scores or propensities"
        out.print(f"user {logged.request.user_id}, k {logged.request.k}: {text}{_agreement(difference)}", markup=False)
        for note in difference.notes:
            out.print(f"  {note}", markup=False)
        if is_repeat and not difference.equal and difference.excuse:
            out.print(f"  cannot be repeated: {difference.excuse}", markup=False)
        for changed in difference.changed:
            out.print(f"  {_line(changed)}", markup=False)
    print(_summary([difference for _, difference in results], is_repeat=is_repeat))


def _summary(differences: Sequence[Difference], *, is_repeat: bool) -> str:
    """
    >>> from deploy.replay.diff import Difference
    >>> _summary([Difference(True, False, 5, (), 9, 9)], is_repeat=True)
    '1 request: 1 the same, 0 differ'
    """
    n_same = sum(difference.equal for difference in differences)
    n_excused = sum(bool(difference.excuse) and not difference.equal for difference in differences) if is_repeat else 0
    what = f"{len(differences)} request{'s' if len(differences) != 1 else ''}{'' if is_repeat else ' with other settings'}"
    excused = f", {n_excused} cannot be repeated" if n_excused else ""
    return f"{what}: {n_same} the same, {len(differences) - n_same - n_excused} differ{excused}"


def _agreement(difference: Difference) -> str:
    if difference.n_agreeing is None:
        return f"; {difference.n_candidates} candidates retrieved again"
    if difference.n_agreeing == difference.n_candidates:
        return f"; retrieval returns the same {difference.n_candidates} candidates"
    return f"; retrieval returns {difference.n_agreeing} of the {difference.n_candidates} candidates again"


def _line(changed: Changed) -> str:
    """
    >>> from deploy.replay.diff import Changed
    >>> _line(Changed("7", "went", "slate", 3, 0, 3, 3, "cap.brand"))
    '- 3      7            slate: cap.brand, ranked 3 before and 3 now'
    """
    places = {"came": f"{changed.after}", "went": f"{changed.before}", "moved": f"{changed.before} → {changed.after}"}
    ranked = f"ranked {changed.ranked_before or 'nowhere'} before and {changed.ranked_after or 'nowhere'} now"
    rule = f"{changed.rule}, " if changed.rule else ""
    return f"{_SIGNS[changed.change]} {places[changed.change]:<6} {changed.item_id!s:<12} {changed.stage}: {rule}{ranked}"


def _as_json(logged: Logged, difference: Difference) -> dict[str, Any]:
    import msgspec

    members: dict[str, Any] = msgspec.to_builtins(difference)
    return {"user_id": logged.request.user_id, "k": logged.request.k, "generation": logged.generation, **members}
