"""A verb's docstring as its help: paragraphs without the source's line breaks, and one line per example.

Typer's markup keeps line breaks, so a paragraph of the source's width wraps twice on a narrow terminal; and it reads
`[catalog]` as a style. Here a word in brackets is text, and text between back quotes is code.
"""

from __future__ import annotations

import inspect
import re

_EXAMPLE = "$ "


def prose(text: str) -> str:
    """The docstring in rich's markup. Lines that begin with "$ " are examples and stay lines.

    >>> prose("Columns are said in\\n    [catalog]; see `--help`.\\n\\n    $ oskolok build\\n    $ oskolok serve")
    'Columns are said in \\\\[catalog]; see [bold]--help[/].\\n\\n[bold]oskolok build[/]\\n[bold]oskolok serve[/]'
    """
    return "\n\n".join(map(_paragraph, inspect.cleandoc(text).split("\n\n")))


def _paragraph(text: str) -> str:
    lines = text.replace("[", r"\[").splitlines()
    if lines[0].startswith(_EXAMPLE):
        return "\n".join(f"[bold]{line.removeprefix(_EXAMPLE)}[/]" for line in lines)
    return re.sub("`([^`]+)`", r"[bold]\1[/]", " ".join(line.strip() for line in lines))
