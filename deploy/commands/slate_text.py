"""An answer as a table for people: ranks, items, scores, sources, coverage and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from deploy.commands.common import plain_table

_SHOWN_VALUES = 4
_TITLES = ("#", "item", "what it is", "score", "sources")
_WHAT_MIN, _SOURCES_MIN = 12, 12


def slate_table(answer: Mapping[str, Any], width: int) -> Table:
    """The items, in `width` columns. What an item is comes first: texts, then numbers, long sets cut.

    Of an item's sources as many are named as the rest of the width has room for, then how many more there are.
    """
    items = answer["items"]
    rows = [(str(item["rank"]), str(item["item_id"]), described(item["payload"]), f"{item['score']:.3f}") for item in items]
    taken = sum(max((len(row[at]) for row in rows), default=0) for at in (0, 1, 3)) + 2 * len(_TITLES)
    for_sources = max(_SOURCES_MIN, width - taken - max((len(row[2]) for row in rows), default=0))
    named = [_fitted(item["sources"], for_sources) for item in items]
    room = max(_WHAT_MIN, width - taken - max(map(len, named), default=0))
    table = plain_table(_TITLES, left=("item", "what it is", "sources"))
    for (rank, item, what, score), sources in zip(rows, named, strict=True):
        table.add_row(rank, Text(item), Text(what if len(what) <= room else what[: room - 1] + "…"), score, sources)
    return table


def summary(answer: Mapping[str, Any]) -> str:
    """One line: coverage, shards, degradations, generation, time.

    >>> counts = {"total": 4, "ok": 3, "late": 1, "failed": 0, "loading": 0}
    >>> summary({"coverage": {"ratio": 0.75, "shards": counts}, "degraded": ["shard_timeout"], "exact_merge": True,
    ...          "generation": {"id": "g7"}, "timings_ms": {"total": 12.34}})
    'coverage 0.75 (3/4 shards), degraded: shard_timeout, generation g7, 12.3 ms'
    """
    shards = answer["coverage"]["shards"]
    parts = [f"coverage {answer['coverage']['ratio']:.2f} ({shards['ok']}/{shards['total']} shards)"]
    if answer["degraded"]:
        parts.append(f"degraded: {' '.join(answer['degraded'])}")
    if not answer["exact_merge"]:
        parts.append("merge not certified exact")
    return ", ".join([*parts, f"generation {answer['generation']['id']}", f"{answer['timings_ms']['total']:.1f} ms"])


def shortage(answer: Mapping[str, Any], k: int) -> str:
    """Why there are fewer than k items, as far as the filter is the reason; "" if there are enough.

    >>> unknown = {"field": "department", "value": "produce", "did_you_mean": "PRODUCE"}
    >>> shortage({"items": [], "eligible": {"n_items": 0, "n_searched": 23000, "unknown_values": [unknown]}}, 10)
    "0 of 23,000 items pass the filter and are not excluded; department has no value 'produce', did you mean 'PRODUCE'?"
    """
    eligible = answer.get("eligible")
    if len(answer["items"]) >= k or not eligible:
        return ""
    parts = [f"{eligible['n_items']:,} of {eligible['n_searched']:,} items pass the filter and are not excluded"]
    for unknown in eligible["unknown_values"]:
        alike = f", did you mean '{unknown['did_you_mean']}'?" if unknown["did_you_mean"] else ""
        parts.append(f"{unknown['field']} has no value '{unknown['value']}'{alike}")
    return "; ".join(parts)


def relaxations(answer: Mapping[str, Any]) -> list[str]:
    """A note for each cap that was relaxed; which cap, and for how many items, only an explained answer says.

    >>> relaxations({"degraded": ["cap_relaxed"]})
    ['note: a cap was relaxed, because nothing else was left']
    >>> relaxations({"degraded": ["cap_relaxed"], "explain": {"slate": {"relaxed": {"3": ["cap.brand"]}}}})
    ['note: cap.brand was relaxed for 1 item, because nothing else was left']
    """
    slate = (answer.get("explain") or {}).get("slate") or {"relaxed": {}}
    n_items = Counter(name for names in slate["relaxed"].values() for name in names if name.startswith("cap."))
    relaxed = [f"{name} was relaxed for {n} item{'s' if n > 1 else ''}" for name, n in n_items.items()]
    if not relaxed and "cap_relaxed" in answer["degraded"]:
        relaxed = ["a cap was relaxed"]
    return [f"note: {what}, because nothing else was left" for what in relaxed]


def funnel(answer: Mapping[str, Any]) -> str:
    """The stages with what came out of each, if the answer was explained, else their times.

    >>> rows = [{"stage": "merge", "out": 400}, {"stage": "rank", "out": 400}, {"stage": "slate", "out": 20}]
    >>> funnel({"explain": {"funnel": rows, "rank": {"n_heavy": 37, "n_heavy_full": 100}}})
    'merge 400 → rank 400 (heavy 37 of 100) → slate 20'
    """
    explain = answer.get("explain")
    if not explain:
        return " → ".join(f"{stage} {ms:.1f}" for stage, ms in answer["timings_ms"].items() if stage != "total") + " ms"
    rows = explain["funnel"]
    heavy = {"rank": _heavy(explain["rank"])} if explain.get("rank") else {}
    return " → ".join(f"{row['stage']} {row['out']}{heavy.get(row['stage'], '')}" for row in rows)


def sources_table(answer: Mapping[str, Any]) -> Table:
    """What each source contributed, if the answer was explained; without rows if not.

    alone: candidates that no other source found.  shown: items of the answer.  ms: in the slowest shard.
    """
    titles = ("source", "asked", "found", "kept", "alone", "shown", "ms", "how")
    table = plain_table(titles, left=("source", "how"))
    for row in (answer.get("explain") or {}).get("sources", ()):
        numbers = [f"{row[name]:,}" for name in ("asked", "found", "kept", "exclusive", "placed")]
        silent = row["found"] == 0
        table.add_row(row["source"], *numbers, f"{row['took_ms']:.1f}", _how(row["strategies"]), style="dim" if silent else "")
    return table


def _heavy(rank: Mapping[str, Any]) -> str:
    n, full = rank["n_heavy"], rank["n_heavy_full"]
    return f" (heavy {n})" if n == full else f" (heavy {n} of {full})"


def _fitted(names: Sequence[str], room: int) -> str:
    """
    >>> _fitted(["tops", "ann", "history"], 16), _fitted(["tops", "ann", "history"], 12), _fitted(["a_long_name"], 3)
    ('tops ann history', 'tops ann +1', 'a_long_name')
    """
    for n in range(len(names), 0, -1):
        text = " ".join(names[:n]) + (f" +{len(names) - n}" if n < len(names) else "")
        if len(text) <= room or n == 1:
            return text
    return ""


def _how(strategies: Mapping[str, int]) -> str:
    """The strategies, the commonest first; how many shards used each, unless all did the same.

    >>> _how({"graph": 4}), _how({"scan": 1, "graph": 3})
    ('graph', 'graph 3, scan 1')
    """
    if len(strategies) == 1:
        return next(iter(strategies))
    return ", ".join(f"{name} {n}" for name, n in sorted(strategies.items(), key=lambda entry: (-entry[1], entry[0])))


def described(payload: Mapping[str, object]) -> str:
    """What an item is, on one line: texts first, then sets, then numbers."""
    words = [value for value in payload.values() if isinstance(value, str)]
    sets = [_listed(value) for value in payload.values() if isinstance(value, list)]
    numbers = [
        f"{name} {value:g}" for name, value in payload.items() if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return ", ".join([*words, *sets, *numbers])


def _listed(values: Sequence[object]) -> str:
    more = f" +{len(values) - _SHOWN_VALUES}" if len(values) > _SHOWN_VALUES else ""
    return "/".join(map(str, values[:_SHOWN_VALUES])) + more
