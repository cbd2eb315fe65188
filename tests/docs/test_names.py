"""What the pages name is there: files and headings they link to, verbs and flags of the commands they show, make's targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from deploy.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = typer.main.get_command(app)

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@on_every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())) if is_broken(link, page)] == []


@on_every_page
def test_files_in_the_text_are_there(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.<>])((?:cluster|shard|ranker|router|train|deploy|bench|tests|docs)/[\w/.-]*\w)", page.read_text()
    )
    assert [path for path in sorted(set(named)) if not (ROOT / path).exists() and not (page.parent / path).exists()] == []


@on_every_page
def test_commands_can_be_typed(page: Path) -> None:
    assert [wrong for line in commands(page.read_text()) if (wrong := complaint(line))] == []


@on_every_page
def test_make_has_the_targets(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert {name for names in named for name in names if name} <= targets


def test_examples_in_help_can_be_typed() -> None:
    helps = [verb.callback.__doc__ or "" for verb in COMMAND.commands.values() if verb.callback]  # type: ignore[attr-defined]
    lines = [line for help in helps for line in commands(help)]
    assert len(lines) >= 8
    assert [wrong for line in lines if (wrong := complaint(line))] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("oskolok up", "up"),
        ("oskolok config chekc", "chekc"),
        ("oskolok recommend 1 --nope=3", "--nope"),
        ("oskolok status -q", "-q"),
        ("oskolok recommend 1592 -k 3 --filter 'stores in (367)'  # why", ""),
        ("oskolok evaluate --stages", ""),
        ("oskolok --version", ""),
    ],
)
def test_a_planted_mistake_is_found(line: str, wrong: str) -> None:
    assert complaint(line) == (f"{line}: no {wrong}" if wrong else "")


def test_a_planted_link_is_found() -> None:
    page = ROOT / "README.md"
    assert [is_broken(link, page) for link in ("docs/nosuch.md", "docs/ranking.md#no-such-heading", "#nowhere")] == [True] * 3
    assert not is_broken("docs/ranking.md#replay", page)


def is_broken(link: str, page: Path) -> bool:
    if re.match(r"[a-z]+:", link):  # elsewhere
        return False
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target.read_text()))


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ +(.+?) *$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def commands(text: str) -> Iterator[str]:
    """Lines of code and `code` in a sentence that begin with oskolok."""
    yield from (match.strip() for match in re.findall(r"^ *(?:\$ )?(oskolok .*)$", text, re.MULTILINE) if "`" not in match)
    yield from re.findall(r"`(oskolok [^`]+)`", without_code(text))


def complaint(line: str) -> str:
    """The first word of a command that the command line does not have, "" if it has all."""
    words = shlex.split(line, comments=True)[1:]
    command = COMMAND
    while words and not words[0].startswith("-") and (below := getattr(command, "commands", None)):
        if words[0] not in below:
            return f"{line}: no {words[0]}"
        command, words = below[words[0]], words[1:]
    flags = {flag for option in command.params for flag in option.opts} | {"--help"}
    for word in words:
        if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in flags:
            return f"{line}: no {word.partition('=')[0]}"
    return ""
