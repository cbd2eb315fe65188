"""`oskolok evaluate`: the recall of each candidate source and of their union on later purchases; with `--stages`, what each
stage of ranking adds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cluster.errors import ConfigError, InvalidQuery
from deploy.commands import options
from deploy.commands.build import Bars
from deploy.commands.common import Form, configuration, err, out, plain_table, print_json
from deploy.commands.filter_text import parse_filter

if TYPE_CHECKING:
    from cluster.config.sections import Config
    from cluster.filtering import Filter
    from train.stages.read import Inputs
    from train.worth.evaluation import Evaluation
    from train.worth.stage_worth import StageWorth

_SHARES = ("coverage", "exclusive", "exclusive_new", "asked")


def evaluate(
    items: options.Items,
    events: options.Events,
    users: options.Users = None,
    playlists: options.Playlists = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days at the end of the log to hold out.")] = 28,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="How many of the users active in those days to ask, at most.")
    ] = 1_000,
    basket: Annotated[
        int, typer.Option("--basket", min=0, help="How many items of a user's first visit to put into the basket.")
    ] = 3,
    filter: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Restrict candidates and purchases, such as 'stores in (367)'. May be repeated."),
    ] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Measure merge, light and heavy models and the slate instead of the sources.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for the pictures. Default: <storage.path>/evaluation-plots.")
    ] = None,
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
) -> None:
    """Measure every source, and the union as it is served, on the end of the log.

    The command holds out the last --days of the log, builds a generation from the events before, and asks it for candidates.
    The columns compare them with what users then bought.

    @100, @500: recall among that many candidates. new@…: recall of items that the user had not bought in the four weeks before.
    items: share of the eligible catalogue that was proposed to at least one user. only, new only: of all purchases that the
    sources proposed together, the share that no other source proposed. ms: time that a request costs one shard.

    With --stages, the command fits the ranking models as a build would, and measures the order after each stage on users who
    had no part in fitting. heavy: the model that the other half of the users chose. slate: made from the stage that serves;
    the last line names that stage and the reason. adds: gain in ndcg@10 over the stage before. passed: of the ten items that
    the heavy model likes best, the share that the light model lets it see. The window is train.ranker.label_days long; --days
    and --basket are ignored, and --filter is refused.

    All items, then the items of one store only:

    $ oskolok evaluate --items items.parquet --events events.parquet
    $ oskolok evaluate --items … --events … --filter 'stores in (367)'
    """
    from train.pictures import can_draw
    from train.stages.read import Inputs
    from train.worth.evaluation import EvaluationTerms
    from train.worth.evaluation import evaluate as run_evaluate
    from train.worth.plots import draw_sources

    if plots is not None and not can_draw():
        raise ConfigError("--plots needs matplotlib: pip install 'oskolok[bench]'")
    loaded = configuration(config, set).config
    inputs = Inputs(items, events, users, playlists)
    if stages:
        if filter:
            raise ConfigError("--stages measures all items and takes no --filter; leave one of them out")
        _stages(loaded, inputs, n_users=sample, plots=plots, format=format)
        return
    terms = EvaluationTerms(days=days, n_users=sample, basket_items=basket, filter=_filter(filter or [], loaded))
    bars = Bars()
    with bars.shown:
        found = run_evaluate(loaded, inputs, terms, progress=bars)
    drawn = draw_sources(found, plots or Path(loaded.storage.path) / "evaluation-plots") if can_draw() else []
    if format is Form.json:
        print_json(_as_json(found, drawn))
        return
    out.print(_table(found))
    for note in _notes(found):
        out.print(note, highlight=False)
    if found.not_asked:
        out.print(f"[dim]no request asked these sources: {', '.join(found.not_asked)}[/]")
    for path in drawn:
        err.print(f"[dim]{path}[/]")
    if not drawn:
        err.print("[dim]plots need matplotlib: pip install 'oskolok[bench]'[/]", markup=True)


def _stages(config: Config, inputs: Inputs, *, n_users: int, plots: Path | None, format: Form) -> None:
    from train.pictures import can_draw
    from train.worth.plots import draw_stages
    from train.worth.rank_evaluation import evaluate_stages

    bars = Bars()
    with bars.shown:
        worth = evaluate_stages(config, inputs, n_users=n_users, progress=bars)
    drawn = [draw_stages(worth, plots or Path(config.storage.path) / "evaluation-plots")] if can_draw() else []
    if format is Form.json:
        told = {"users": worth.n_users, "requests": worth.n_requests, "n_heavy": worth.n_heavy, "chosen": worth.chosen}
        print_json(told | {"serving": worth.ranking.stage, "why": worth.ranking.why, "stages": worth.systems})
        return
    out.print(_stage_table(worth))
    bound = worth.systems["candidates"]["recall"]
    out.print(f"[dim]{worth.n_users:,} users; {bound:.3f} of what they bought is among the candidates[/]")
    out.print(f"[dim]the heavy model orders {worth.n_heavy} candidates; all users together choose {worth.chosen}[/]")
    out.print(f"ranking: {worth.ranking.line}", markup=False)
    for path in drawn:
        err.print(f"[dim]{path}[/]")


def _stage_table(worth: StageWorth) -> Table:
    grid = plain_table(("after", "ndcg@10", "95 %", "adds", "recall", "mrr", "passed", "ms"), left=("after",))
    for system, row in worth.systems.items():
        if "ms" not in row:
            continue
        grid.add_row(
            system,
            f"{row['ndcg@10']:.3f}",
            _between(row["ndcg@10_lo"], row["ndcg@10_hi"]),
            f"{row['adds']:+.3f}" if "adds" in row else "",
            f"{row['recall@10']:.3f}",
            f"{row['mrr']:.3f}",
            f"{row['light_share']:.3f}" if "light_share" in row else "",
            f"{row['ms']:.2f}",
            style="bold" if system == worth.ranking.stage else None,
        )
    return grid


def _between(low: float, high: float) -> str:
    """
    >>> _between(0.3712, 0.4)
    '.371–.400'
    """
    return "–".join(f"{end:.3f}".replace("0.", ".", 1) for end in (low, high))


def _filter(texts: list[str], config: Config) -> Filter:
    """Raises ConfigError also for a test that the configured attributes cannot answer, before anything is built."""
    import msgspec

    from deploy.http.convert import to_filter
    from deploy.http.schema import FilterBody
    from train.worth.evaluation import check

    try:
        filter = to_filter(msgspec.convert(parse_filter(texts), FilterBody), config)
        check(filter, config)
    except InvalidQuery as error:
        raise ConfigError(f"--filter: {error.message}; allowed: {error.details['allowed']}") from None
    return filter


def _table(found: Evaluation) -> Table:
    rows = found.table
    recalls = [metric for metric in next(iter(rows.values())) if metric.startswith("recall")]
    titles = {name: name.replace("recall_new", "new").replace("recall", "") for name in recalls}
    titles |= {"coverage": "items", "exclusive": "only", "exclusive_new": "new only", "ms_per_request": "ms"}
    grid = plain_table(("source", *titles.values()), left=("source",))
    for system, row in rows.items():
        grid.add_row(
            system, *(_cell(name, row.get(name)) for name in titles), style="bold" if system == list(rows)[-1] else None
        )
    return grid


def _cell(metric: str, value: float | None) -> str:
    """
    >>> _cell("recall@100", 0.1234), _cell("exclusive", 0.0123), _cell("ms_per_request", 1.234), _cell("exclusive", None)
    ('.123', '1.2 %', '1.23', '–')
    """
    if value is None:
        return "–"
    if metric in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if metric == "ms_per_request" else f"{value:.3f}".removeprefix("0")


def _notes(found: Evaluation) -> list[str]:
    """A line for each source whose recall is above the union's, with the setting to change."""
    union, depth = found.table["union"], found.terms.depth
    return [
        f"note: recall@{depth} of {source} alone is {_cell('recall', recall)}, of the union "
        f"{_cell('recall', union[f'recall@{depth}'])}: give {source} more weight, such as --set merge.weights.{source}=3"
        for source, recall in found.ahead_of_union.items()
    ]


def _as_json(found: Evaluation, drawn: list[Path]) -> dict[str, Any]:
    return {
        "days": found.terms.days,
        "users": len(found.held_out.users),
        "items_bought": len(found.held_out.items),
        "items_new": int(found.held_out.new.sum()),
        "eligible_items": found.n_eligible,
        "sources": found.table,
        "ahead_of_union": found.ahead_of_union,
        "not_asked": list(found.not_asked),
        "plots": [str(path) for path in drawn],
    }
