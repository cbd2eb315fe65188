"""Pictures in the docs: each is shown or linked somewhere, can be read, and its alt text is its message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import faults, title

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
SHOWN = [
    pytest.param(alt, (page.parent / path).resolve(), id=path)
    for page in PAGES
    for alt, path in re.findall(r"!\[([^\]]*)\]\(([^)]*\.svg)\)", page.read_text())
]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_it_can_be_read_and_some_page_has_it(path: Path) -> None:
    assert faults(path) == []
    assert any(f"{path.relative_to(page.parent)})" in page.read_text() for page in PAGES if path.is_relative_to(page.parent))


@pytest.mark.parametrize(("alt", "path"), SHOWN)
def test_its_alt_text_is_its_message(alt: str, path: Path) -> None:
    assert alt == title(path)
