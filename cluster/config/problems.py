"""What is wrong with a configuration, with all that is needed to repair it: place, key, given value, allowed values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic_core import ErrorDetails

from cluster.config.sections import Config
from cluster.config.text import Key, allowed, field_at, leaves, siblings, toml_value
from cluster.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. line: in the file, 0 elsewhere.  where: "line 7", "--set", a variable's name."""

    line: int
    where: str
    key: str
    message: str


def key_of(details: ErrorDetails) -> Key:
    """The key a complaint is about; of a name that a section may not have, the section."""
    loc = details["loc"]
    tables = [part for at, part in enumerate(loc) if not isinstance(part, int) or at + 1 < len(loc)]  # of [[slate.caps]] which
    return tuple(str(part) for part in tables if part != "[key]")


def from_pydantic(details: ErrorDetails, origins: Mapping[Key, Problem]) -> Problem:
    """One of pydantic's complaints in a line: what is wrong, what was given, what is allowed."""
    key = key_of(details)
    given = details["input"]
    if details["type"] == "extra_forbidden":
        return place(origins, key, f"unknown key{_did_you_mean(key)}")
    field = field_at(key)
    reach = allowed(field) if field is not None else ""
    if details["type"] == "missing":
        return place(origins, key, f"is required; allowed: {reach}")
    if details["loc"][-1] == "[key]":
        return place(origins, key, f"a section's name here must {_lowered(details['msg']).removeprefix('string should ')}")
    if isinstance(given, dict) or details["type"] == "model_type":
        shown = "a table" if isinstance(given, dict) else _shown(given)
        return place(origins, key, f"should be {'a section' if details['type'] == 'model_type' else 'a value'}, got {shown}")
    wanted = _TYPES.get(details["type"]) or _lowered(details["msg"]).removeprefix("input ")
    message = f"{wanted}, got {_shown(given)}"
    if details["type"] == "literal_error" and isinstance(given, str):
        near = get_close_matches(given, re.findall("'([^']*)'", details["ctx"]["expected"]), n=1, cutoff=0.6)
        message += f"; did you mean '{near[0]}'?" if near else ""
    of_the_whole = reach and not isinstance(details["loc"][-1], int)
    return place(origins, key, f"{message} (allowed: {reach})" if of_the_whole else message)


_TYPES = {
    "tuple_type": "should be a list",
    "mapping_type": "should be a table",
    "dict_type": "should be a table",
    "string_type": "should be text in quotes",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
}
"""What pydantic calls by Python's names, as TOML does."""


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    try:
        text = toml_value(value)
    except AssertionError:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def meant_by(key: Key) -> Key | None:
    """The key of the same section that an unknown one resembles."""
    near = get_close_matches(key[-1], siblings(key), n=1, cutoff=0.6)
    return (*key[:-1], near[0]) if near else None


def _did_you_mean(key: Key) -> str:
    """A near name beside the unknown one, else a key of that name elsewhere, else what the section has."""
    if (near := meant_by(key)) is not None:
        return f"; did you mean '{near[-1]}'?"
    elsewhere = [".".join(leaf) for leaf in leaves(Config()) if leaf[-1] == key[-1]]
    if elsewhere:
        return f" here; did you mean '{elsewhere[0]}'?"
    names = siblings(key)
    return f"; this section has {', '.join(names)}" if names and len(names) <= 8 else ""


def place(origins: Mapping[Key, Problem], key: Key, message: str) -> Problem:
    """The problem, placed at the nearest key that was set: the key itself, the section it stands in, or what stands in it."""
    around = [key[:end] for end in range(len(key), 0, -1)]
    within = [other for other in origins if other[: len(key)] == key]
    for other in (*around, *within):
        if (origin := origins.get(other)) is not None:
            return Problem(origin.line, origin.where, ".".join(key), message)
    return Problem(0, "default", ".".join(key), message)


def refusal(source: str, problems: Sequence[Problem]) -> ConfigError:
    """The error that tells all of them: people in a table, programs in `errors`."""
    rows = sorted(problems)
    where = max(len(row.where) for row in rows)
    key = max(len(row.key) for row in rows)
    body = "\n".join(f"  {row.where:<{where}}  {row.key:<{key}}  {row.message}" for row in rows)
    return ConfigError(
        f"{source}: {len(rows)} error{'s' if len(rows) > 1 else ''}\n{body}",
        help="`oskolok config schema` lists every key and its range",
        errors=[{"where": row.where, "key": row.key, "detail": row.message} for row in rows],
    )
