"""oskolok.toml, the environment and --set, read into one Config — or every mistake in them at once, each with its line.

Precedence: `--set section.key=value`, then OSKOLOK__SECTION__KEY, then the file, then the built-in default. TOML's own
reader keeps no positions, so `key_lines` finds them by reading the file a statement at a time. What a key means, its
range and its default are stated in `cluster/config/sections.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from cluster.config.contradictions import Contradiction, contradictions
from cluster.config.problems import Problem, from_pydantic, key_of, meant_by, place, refusal
from cluster.config.sections import Config
from cluster.config.text import Key, field_at, leaves, siblings
from cluster.errors import ConfigError

ENV_PREFIX = "OSKOLOK__"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """origins: dotted key -> where its value was set ("line 7", "--set", "OSKOLOK__…"); defaults are absent.

    A section's `model_fields_set` names what differs from the defaults: a file that shows them all asks for nothing.
    """

    config: Config
    origins: Mapping[str, str]


Check = Callable[[Config], Iterator[Contradiction]]


def load(
    path: Path | None,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (contradictions,),
) -> LoadedConfig:
    """The configuration of a file, or of none, with the environment and overrides such as "cluster.n_shards=8" on top.

    checks: what is looked for in the whole, beside keys that are wrong by themselves. Raises ConfigError: its message is a
    table of every problem, and so is its `errors`.
    """
    tree, origins = _read(path) if path is not None else ({}, {})
    problems: list[Problem] = []
    for key, raw, where in (*_environment(environ or {}), *_overrides(overrides)):
        if not key:
            problems.append(Problem(0, where, raw, "write it as section.key=value"))
        elif not _put(tree, key, _value(key, raw)):
            problems.append(Problem(0, where, ".".join(key), "unknown key: its parent is a value, not a section"))
        else:
            origins[key] = Problem(0, where, ".".join(key), "")
    config, found = _validate(tree, origins, checks)
    problems += found
    if config is None or problems:
        raise refusal(path.name if path else "configuration", problems)
    values, defaults = leaves(config), leaves(Config())
    for key in origins.keys() & defaults.keys():
        if values[key] == defaults[key]:
            _drop(tree, key)
    return LoadedConfig(
        Config.model_validate(_tuples(tree)), {".".join(key): origins[key].where for key in values if key in origins}
    )


def key_lines(text: str) -> dict[Key, int]:
    """The line, from 1, at which each key of a valid TOML text is set, sections included."""
    found: dict[Key, int] = {}
    section: Key = ()
    within: Key = ()
    tables: dict[Key, int] = {}  # how many of a list's tables there have been, less one
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start, chunk = at, lines[at]
        at += 1
        if not chunk.strip() or chunk.lstrip().startswith("#"):
            continue
        while (parsed := _parsed(chunk)) is None and at < len(lines):
            chunk, at = f"{chunk}\n{lines[at]}", at + 1
        keys = list(_keys(parsed or {}))
        if chunk.lstrip().startswith("["):
            section, within = keys[-1], ()
            if chunk.lstrip().startswith("[["):
                tables[section] = tables.get(section, -1) + 1
                section = (*section, str(tables[section]))
                keys.append(section)
        else:
            within = section
        for key in keys:
            found.setdefault((*within, *key), start + 1)
    return found


def _validate(
    tree: dict[str, object], origins: Mapping[Key, Problem], checks: Sequence[Check]
) -> tuple[Config | None, list[Problem]]:
    """The model and what the checks find; where keys are wrong by themselves, those, and what is found in the rest."""
    wrong: set[Key] = set()
    problems: list[Problem] = []
    config: Config | None = None
    while config is None:
        try:
            config = Config.model_validate(_tuples(tree))
        except ValidationError as error:
            found = error.errors()
            problems += [from_pydantic(details, origins) for details in found] if not wrong else []
            for details in found:
                key = key_of(details)
                wrong.update({key, meant_by(key) or key} if details["type"] == "extra_forbidden" else {key})
                _drop(tree, key[:-1] if details["type"] == "missing" else key)
    for key, others, message in (found for check in checks for found in check(config)):
        if not any(_overlap(bad, part) for bad in wrong for part in (key, *others)):
            problems.append(place(origins, key, message))
    return (None if wrong else config), problems


def _overlap(one: Key, other: Key) -> bool:
    """Whether one is the other, or stands in it."""
    n = min(len(one), len(other))
    return one[:n] == other[:n]


def _read(path: Path) -> tuple[dict[str, object], dict[Key, Problem]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}", help="--config names the file; `oskolok config show` prints one"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text, byte {error.start}") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        found = re.search(r"line (\d+)", place)
        line = int(found[1]) if found else len(text.splitlines())
        problem = Problem(line, f"line {line}", "", f"not TOML: {message[:1].lower()}{message[1:]}")
        raise refusal(path.name, [problem]) from None
    return tree, {key: Problem(line, f"line {line}", ".".join(key), "") for key, line in key_lines(text).items()}


def _parsed(chunk: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(chunk)
    except tomllib.TOMLDecodeError:
        return None


def _keys(tree: Mapping[str, object], prefix: Key = ()) -> Iterator[Key]:
    for name, value in tree.items():
        yield (*prefix, name)
        if isinstance(value, dict):
            yield from _keys(value, (*prefix, name))


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[Key, str, str]]:
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            yield _cased(name.removeprefix(ENV_PREFIX).split("__")), environ[name], name


def _overrides(overrides: Sequence[str]) -> Iterator[tuple[Key, str, str]]:
    for override in overrides:
        name, equals, raw = override.partition("=")
        yield (tuple(name.strip().split(".")), raw.strip(), "--set") if equals else ((), override, "--set")


def _cased(parts: Sequence[str]) -> Key:
    """Variables are written in capitals, and one key (`M`) has a capital of its own: match without regard to case."""
    key: Key = ()
    for part in parts:
        names = siblings((*key, part))
        key = (*key, next((name for name in names if name.lower() == part.lower()), part.lower()))
    return key


def _value(key: Key, raw: str) -> object:
    """The text of an override as a TOML value; where the key wants a string, quotes may be left out."""
    field = field_at(key)
    wants_text = field is not None and isinstance(field.default, str) and True not in get_args(field.annotation)
    if wants_text and not raw.startswith(('"', "'")):
        return raw
    parsed = _parsed(f"value = {raw}")
    return raw if parsed is None or len(parsed) != 1 else parsed["value"]


def _put(tree: dict[str, object], key: Key, value: object) -> bool:
    for name in key[:-1]:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            return False
        tree = below
    tree[key[-1]] = value
    return True


def _tuples(value: object) -> object:
    """TOML arrays as tuples, which is what the strict models take."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _drop(tree: dict[str, object], key: Key) -> None:
    """Remove what stands there, or what it would stand in; of a list of tables the whole list, whose numbers would change."""
    at = key[0]
    for name in key[1:]:
        below = tree.get(at)
        if not isinstance(below, dict) or name not in below:
            break
        tree, at = below, name
    tree.pop(at, None)
