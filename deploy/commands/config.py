"""`oskolok config check | show | schema`: is the file valid, which values are in force, which keys exist."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.config.sections import Config
from cluster.config.text import allowed, field_at, leaves, render, toml_value
from deploy.commands import options
from deploy.commands.common import WITH_FILES, Form, configuration, out, present, print_json

app = typer.Typer(no_args_is_help=True, help="Check, show and explain the configuration.")

Defaults = Annotated[bool, typer.Option("--defaults", help="Print the built-in defaults, ignoring file and environment.")]


@app.command()
def check(config: options.ConfigFile = None, set: options.Set = None, format: options.Format = Form.human) -> None:
    """Validate the file, the environment and --set together. All mistakes are reported at once, each with its line."""
    loaded = configuration(config, set, checks=WITH_FILES)
    line = f"ok: {len(loaded.origins)} of {len(leaves(loaded.config))} keys are set; the others have their defaults"
    present(format, {"ok": True, "changed": dict(loaded.origins)}, lambda: out.print(line))


@app.command()
def show(
    config: options.ConfigFile = None, set: options.Set = None, format: options.Format = Form.human, defaults: Defaults = False
) -> None:
    """Print every key with its value and where the value comes from. The output is a valid configuration file."""
    if defaults:
        print(render(Config()), end="")
        return
    loaded = configuration(config, set)
    present(format, loaded.config.model_dump(mode="json"), lambda: print(render(loaded.config, loaded.origins), end=""))


@app.command()
def schema(format: options.Format = Form.human) -> None:
    """List every key with its default, meaning and allowed range. With --format json, print the JSON Schema."""
    if format is Form.json:
        print_json(Config.model_json_schema())
        return
    for key, value in leaves(Config()).items():
        field = field_at(key)
        assert field is not None
        about = ". ".join(part for part in (field.description, allowed(field)) if part)
        out.print(f"{'.'.join(key):<34} {toml_value(value):<16} {about}", markup=False)
