"""The configuration as text: every key by its dotted name, its allowed range in words, and the whole of it as TOML.

Derived from the models in `cluster/config/sections.py`, so that a key, its default and its range are stated once. It does not
read files (`cluster/config/file.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster.config.sections import Config

Key = tuple[str, ...]

HEADER = """\
# Oskolok's configuration. Every key is shown with its value; delete what you do not change.
# Units are in the names (_ms, _s, _days, _bytes). Unknown keys are errors.
# Precedence: --set section.key=value > OSKOLOK__SECTION__KEY > this file > built-in default.
# `oskolok config check` validates, `oskolok config show` prints what is in force and where it came from.
"""


def leaves(model: BaseModel, prefix: Key = ()) -> dict[Key, object]:
    """Every key that is not a section, with its value, in the order of the models."""
    found: dict[Key, object] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found.update(leaves(value, (*prefix, name)))
        elif _named_sections(field.annotation) is not None:
            for own_name, section in value.items():
                found.update(leaves(section, (*prefix, name, own_name)))
        else:
            found[*prefix, name] = value
    return found


def field_at(key: Key) -> FieldInfo | None:
    """The model's field for a key, section or leaf, or None if the configuration has no such key.

    A section with a name of its own, as in [sources.item_lists.ease], and a value with one, have a field of their type; so
    has each table of a list of them, by its number: slate.caps.0.
    """
    field: FieldInfo | None = FieldInfo(annotation=Config)
    for name in key:
        if field is None:
            return None
        model = _section(field.annotation)
        if model is not None:
            field = model.model_fields.get(name)
        elif name.isdigit() and get_origin(field.annotation) is tuple:
            field = FieldInfo.from_annotation(get_args(field.annotation)[0])
        elif get_origin(field.annotation) is Mapping:
            field = FieldInfo.from_annotation(get_args(field.annotation)[1])
        else:
            return None
    return field


def siblings(key: Key) -> tuple[str, ...]:
    """The names that may stand where the last part of `key` stands; none where any name may."""
    field = field_at(key[:-1])
    model = _section(field.annotation) if field is not None else None
    return tuple(model.model_fields) if model is not None else ()


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _named_sections(annotation: Any) -> type[BaseModel] | None:
    """What the sections are whose names the file chooses, if that is what the annotation says."""
    return _section(get_args(annotation)[1]) if get_origin(annotation) is Mapping else None


def allowed(field: FieldInfo) -> str:
    """The field's range in words, "" where anything of its type goes.

    >>> allowed(field_at(("deadline", "default_ms"))), allowed(field_at(("catalog", "id_type")))
    ('1 to 10000', '"string" or "int64"')
    """
    if get_origin(field.annotation) is Literal:
        return " or ".join(toml_value(value) for value in get_args(field.annotation))
    if get_origin(field.annotation) is tuple and get_origin(of := get_args(field.annotation)[0]) is Literal:
        return f"any of {', '.join(toml_value(value) for value in get_args(of))}"
    low, high, unit, counted = "", "", "", " characters" if field.annotation is str else " entries"
    for rule in field.metadata:
        match rule:
            case Ge(ge=bound):
                low = f"{bound}"
            case Gt(gt=bound):
                low = f"more than {bound}"
            case Le(le=bound):
                high = f"{bound}"
            case Lt(lt=bound):
                high = f"less than {bound}"
            case MinLen(min_length=bound):
                low, unit = f"{bound}", counted
            case MaxLen(max_length=bound):
                high, unit = f"{bound}", counted
            case _ if getattr(rule, "pattern", None):
                return f"matches {rule.pattern}"
    if low and high:
        return f"{low}{', up to ' if low.startswith('more') else ' to '}{high}{unit}"
    return (
        f"up to {high}{unit}"
        if high
        else f"{low}{' or more' if low[-1:].isdigit() and not low.startswith('more') else ''}{unit}"
    )


def toml_value(value: object) -> str:
    """A value as TOML writes it. JSON's strings are TOML basic strings."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case tuple() | list():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case BaseModel():
            return toml_value({name: getattr(value, name) for name in value.model_fields_set})
        case Mapping():
            return "{" + ", ".join(f"{_toml_key(name)} = {toml_value(item)}" for name, item in value.items()) + "}"
    raise AssertionError(f"no TOML for {type(value).__name__}")


def render(config: Config, origins: Mapping[str, str] | None = None) -> str:
    """The configuration as a TOML file: descriptions and ranges as comments, or with `origins` where each value came from."""
    lines: list[str] = [HEADER]
    section: Key = ()
    explained: set[Key] = set()
    for key, value in leaves(config).items():
        kind = _kind(key)
        if key[:-1] != section:
            section = key[:-1]
            lines.append(f"\n[{'.'.join(section)}]{'' if kind in explained else _doc(section)}")
        statement = f"{key[-1]} = {toml_value(value)}"
        if origins is not None:
            comment = origins.get(".".join(key), "default")
        else:
            comment = "" if kind in explained else _comment(key)
        explained.add(kind)
        lines.append(f"{statement:<34}  # {comment}" if comment else statement)
    return "\n".join(lines) + "\n"


def _kind(key: Key) -> Key:
    """The key without its section's name, if the file chose that: sections of a kind are explained once."""
    field = field_at(key[:-2]) if len(key) > 2 else None
    return (*key[:-2], "", key[-1]) if field is not None and _named_sections(field.annotation) is not None else key


def _toml_key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml_value(name)


def _comment(key: Key) -> str:
    field = field_at(key)
    assert field is not None
    reach = allowed(field)
    return ". ".join(part for part in (field.description, reach) if part and part != str(field.default))


def _doc(section: Key) -> str:
    field = field_at(section)
    assert field is not None and field.annotation is not None
    doc = (field.annotation.__doc__ or "").strip().split("\n")[0]
    return "" if doc.startswith("Unknown keys are errors") else f"  # {doc}" if doc else ""
