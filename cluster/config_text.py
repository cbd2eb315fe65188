"""The configuration as text: every key by its dotted name, its allowed range in words, and the whole of it as TOML.

Derived from the models in `cluster/config.py`, so that a key, its default and its range are stated once. It does not
read files (`cluster/config_file.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster.config import Config

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
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found.update(leaves(value, (*prefix, name)))
        else:
            found[*prefix, name] = value
    return found


def field_at(key: Key) -> FieldInfo | None:
    """The model's field for a key, section or leaf, or None if the configuration has no such key."""
    model: type[BaseModel] | None = Config
    field: FieldInfo | None = None
    for name in key:
        if model is None or name not in model.model_fields:
            return None
        field = model.model_fields[name]
        annotation = field.annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return field


def siblings(key: Key) -> tuple[str, ...]:
    """The names that may stand where the last part of `key` stands."""
    model: type[BaseModel] = Config
    for name in key[:-1]:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return ()
        model = field.annotation
    return tuple(model.model_fields)


def allowed(field: FieldInfo) -> str:
    """The field's range in words, "" where anything of its type goes.

    >>> allowed(field_at(("deadline", "default_ms"))), allowed(field_at(("catalog", "id_type")))
    ('1 to 10000', '"string" or "int64"')
    """
    if get_origin(field.annotation) is Literal:
        return " or ".join(toml_value(value) for value in get_args(field.annotation))
    low, high, unit = "", "", ""
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
                low, unit = f"{bound}", " long"
            case MaxLen(max_length=bound):
                high, unit = f"{bound}", " long"
            case _ if getattr(rule, "pattern", None):
                return f"matches {rule.pattern}"
    if low and high:
        return f"{low} to {high}{unit}"
    return f"{high}{unit}" if high else f"{low}{' or more' if low[-1:].isdigit() and not low.startswith('more') else ''}{unit}"


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
    raise AssertionError(f"no TOML for {type(value).__name__}")


def render(config: Config, origins: Mapping[str, str] | None = None) -> str:
    """The configuration as a TOML file: descriptions and ranges as comments, or with `origins` where each value came from."""
    lines: list[str] = [HEADER]
    section: Key = ()
    for key, value in leaves(config).items():
        if key[:-1] != section:
            section = key[:-1]
            lines.append(f"\n[{'.'.join(section)}]{_doc(section)}")
        statement = f"{key[-1]} = {toml_value(value)}"
        comment = origins.get(".".join(key), "default") if origins is not None else _comment(key)
        lines.append(f"{statement:<34}  # {comment}" if comment else statement)
    return "\n".join(lines) + "\n"


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
