"""Why an item is recommended, or why not, as sentences and a small table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from deploy.commands.common import plain_table
from deploy.commands.slate_text import described

_OPS = {"eq": "=", "ne": "!=", "in": "in", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def headline(why: Mapping[str, Any]) -> str:
    """The item, and the verdict on it.

    >>> headline({"item_id": "7", "payload": {"brand": "acme"}, "user_id": "42", "verdict": "recommended", "rank": 2, "k": 8})
    '7 (acme) is recommended to 42: rank 2 of 8'
    """
    what = described(why["payload"])
    item = f"{why['item_id']} ({what})" if what else str(why["item_id"])
    if why["verdict"] == "recommended":
        return f"{item} is recommended to {why['user_id']}: rank {why['rank']} of {why['k']}"
    return f"{item} is not recommended to {why['user_id']}: {_reason(why)}"


def standings_table(why: Mapping[str, Any]) -> Table:
    """Where the item stands in every source that was asked."""
    table = plain_table(("source", "rank", "of", "score", "cut-off", "budget", ""), left=("source", ""))
    for row in why["sources"]:
        table.add_row(
            row["source"],
            "–" if row["rank"] is None else f"{row['rank']:,}",
            f"{row['held']:,}",
            "–" if row["score"] is None else f"{row['score']:.4g}",
            "–" if row["cutoff"] is None else f"{row['cutoff']:.4g}",
            f"{row['budget']:,}",
            _standing(row, why),
            style="" if row["proposed"] else "dim",
        )
    return table


def sentences(why: Mapping[str, Any]) -> list[str]:
    """What happened to it stage by stage, a line each."""
    lines = [*_eligibility(why), *_merge(why), *_ranking(why), *_slate(why)]
    if not why["exact"]:
        lines.append("some shards did not answer: ranks count only the shards that did")
    if why["degraded"]:
        lines.append(f"the answer is degraded: {' '.join(why['degraded'])}")
    lines.append(f"owner: {why['replica']}, generation {why['generation']}")
    return lines


def _reason(why: Mapping[str, Any]) -> str:
    proposing = [row["source"] for row in why["sources"] if row["proposed"]]
    match why["verdict"]:
        case "excluded":
            return f"excluded by {_listed(why['excluded_by'])}"
        case "filtered":
            return f"the filter keeps it out: {_condition(why['failed'][0])}"
        case "shard_missing":
            return f"{why['replica']}, which owns it, did not answer in time"
        case "not_proposed":
            return "no source proposes it" if why["sources"] else "no source was asked"
        case "merged_too_low":
            merge = why["merge"]
            place = f"{merge['rank']:,} of {merge['among']:,}"
            return f"{_listed(proposing)} proposed it, but only {merge['limit']:,} become candidates and it is {place}"
        case "rule":
            return f"the slate's {_rule(why['rule'])}"
        case "ranked_too_low":
            order = why["order"]
            return f"it is ranked {order['rank']:,} of {order['among']:,}, and only {why['k']} are shown"
    return "it had a position but could no longer be shown"


def _standing(row: Mapping[str, Any], why: Mapping[str, Any]) -> str:
    if row["proposed"]:
        return "proposes it"
    if row["rank"] is None:
        return "does not have it"
    if why["failed"] or why["excluded_by"]:
        return "would propose it" if row["rank"] <= row["budget"] else "below the cut-off anyway"
    if row["rank"] > row["budget"]:
        return "below the cut-off"
    return "held back by the cap" if why["pushed_cap"] else "missed by the approximate search"


def _eligibility(why: Mapping[str, Any]) -> list[str]:
    lines = [f"fails {condition['pointer']}: {_condition(condition)}" for condition in why["failed"]]
    if why["excluded_by"]:
        lines.append(f"excluded by {_listed(why['excluded_by'])}")
    return lines or ["eligible: it passes the filter and nothing excludes it"]


def _merge(why: Mapping[str, Any]) -> list[str]:
    merge = why["merge"]
    if merge is None:
        return []
    cut = "is a candidate" if merge["rank"] <= merge["limit"] else "is cut"
    return [f"merge: place {merge['rank']:,} of {merge['among']:,}, the first {merge['limit']:,} are candidates: it {cut}"]


def _ranking(why: Mapping[str, Any]) -> list[str]:
    if why["light"] is None:
        return []
    light, heavy = why["light"], why["heavy"]
    if_it_were = "if it were a candidate, " if why["hypothetical"] else ""
    sentence = f"ranking: {if_it_were}light puts it at {light['rank']:,} of {light['among']:,} (score {light['score']:.4g})"
    if heavy is None:
        return [sentence]
    passes = "passes it on" if light["rank"] <= light["limit"] else f"passes only {light['limit']:,} on"
    puts = "puts" if light["rank"] <= light["limit"] else "would put"
    return [f"{sentence} and {passes}; heavy {puts} it at {heavy['rank']:,} of {heavy['among']:,} (score {heavy['score']:.4g})"]


def _slate(why: Mapping[str, Any]) -> list[str]:
    if not why["hypothetical"]:
        return []
    if why["would_be"]:
        return [f"slate: it would then be shown at {why['would_be']} of {why['k']}"]
    rule = why["would_rule"]
    if rule == "below_cutoff":
        order = why["order"]
        at = f", ranked {order['rank']:,} of {order['among']:,}" if order is not None else ""
        return [f"slate: it would still not be among the {why['k']}{at}"]
    return [f"slate: then the slate's {_rule(rule)}"] if rule != "excluded" else []


def _rule(rule: str) -> str:
    """
    >>> _rule("cap.brand"), _rule("displaced")
    ('rule cap.brand holds it back', 'rules gave its place to others')
    """
    return "rules gave its place to others" if rule == "displaced" else f"rule {rule} holds it back"


def _condition(failed: Mapping[str, Any]) -> str:
    """
    >>> _condition({"pointer": "/filter/must_not/0", "field": "brand", "op": "eq", "values": ["acme"], "has": "acme"})
    'it requires not brand = acme, and the item has acme'
    >>> _condition({"pointer": "/filter/must/0/any_of/1", "field": "brand", "op": "ne", "values": ["acme"], "has": None})
    'it would accept brand != acme, and the item has none'
    """
    values = failed["values"]
    shown = f"({_listed(values)})" if failed["op"] == "in" else str(values[0])
    steps = failed["pointer"].split("/")
    no = "not " if (steps.count("must_not") + steps.count("none_of")) % 2 else ""
    has = failed["has"]
    item_has = "none" if has is None else _listed(has) if isinstance(has, list) else has
    needs = "would accept" if "any_of" in steps and not no else "requires"
    return f"it {needs} {no}{failed['field']} {_OPS[failed['op']]} {shown}, and the item has {item_has}"


def _listed(values: Any, n_max: int = 6) -> str:
    more = f" and {len(values) - n_max} more" if len(values) > n_max else ""
    return ", ".join(map(str, values[:n_max])) + more
