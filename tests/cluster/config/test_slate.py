"""The slate's rules in a file: every mistake is one clear line at its own place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config.file import load
from cluster.config.sections import Config
from cluster.config.text import render
from cluster.errors import ConfigError

CATALOG = '[catalog]\ncategory = ["brand"]\ncategories = ["stores"]\nboolean = ["own"]\n'


def complaints(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "oskolok.toml"
    path.write_text(CATALOG + text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [" ".join(row.split()) for row in caught.value.message.split("\n")[1:]]


MISTAKES = [
    (
        '[slate]\ncap_by = "brand"\ncap = 300\n',
        "line 7 slate.cap 300 is more than limits.k = 200, the most places that a slate can have",
    ),
    (
        '[[slate.caps]]\nattribute = "brand"\nmax = 2\n[[slate.caps]]\nattribute = "stores"\nmax = 2\n',
        'line 9 slate.caps.1.attribute "stores" is not in catalog.category',
    ),
    (
        '[[slate.caps]]\nattribute = "brand"\nmax = 5\nfirst = 3\n',
        "line 7 slate.caps.0.max 5 is more than its first = 3 places",
    ),
    ('[[slate.caps]]\nattribute = "brand"\n', "line 5 slate.caps.0.max is required; allowed: 1 to 1000"),
    (
        '[[slate.pins]]\nitem_id = "a"\nposition = 900\n',
        "line 7 slate.pins.0.position 900 is more than limits.k = 200, the most places that a slate can have",
    ),
    ("[[slate.pins]]\nitem_id = 5\nposition = 1\n", "line 6 slate.pins.0.item_id 5 is not of catalog.id_type, which is string"),
    (
        '[slate]\npins = [{item_id = "a", position = 1}, {item_id = "b", position = 1}]\n',
        "line 6 slate.pins position 1 is listed more than once",
    ),
    ('[[slate.boosts]]\nsource = "tops"\nmultiply = 0.0\n', "line 7 slate.boosts.0.multiply"),
    (
        "[[slate.boosts]]\nmultiply = 2.0\n",
        "line 5 slate.boosts.0 must name exactly one of source, attribute and stat; given: none",
    ),
    (
        '[[slate.quotas]]\nsource = "new"\n[[slate.quotas]]\nsource = "tops"\nattribute = "brand"\nvalues = ["a"]\n',
        "line 7 slate.quotas.1 must name exactly one of source, attribute and stat; given: source, attribute",
    ),
    (
        '[[slate.quotas]]\nattribute = "colour"\nvalues = ["red"]\n',
        'line 6 slate.quotas.0.attribute "colour" is not a category, categories or boolean attribute of the catalog',
    ),
    ('[[slate.quotas]]\nattribute = "brand"\n', "line 6 slate.quotas.0.attribute needs values"),
    (
        '[[slate.quotas]]\nattribute = "own"\nvalues = ["yes"]\n',
        'line 7 slate.quotas.0.values the values of own are true and false; given: ["yes"]',
    ),
    ('[[slate.quotas]]\nstat = "age_days"\n', "line 6 slate.quotas.0.stat needs at_least or at_most"),
    ('[[slate.quotas]]\nsource = "new"\nmin = 4\nmax = 3\n', "line 7 slate.quotas.0.min 4 is more than its max = 3"),
    ('[slate]\nprecedence = ["caps", "caps", "pins", "quotas"]\n', 'line 6 slate.precedence "caps" is listed more than once'),
    (
        '[slate.explore]\nmethod = "uniform"\nsource = "new"\n',
        "line 6 slate.explore.method has no effect without places in slate.explore.positions",
    ),
    ('[slate.diversity]\nmethod = "mmx"\n', "line 6 slate.diversity.method should be"),
    ("[slate.diversity]\nrelevance = 1.0\n", "line 6 slate.diversity.relevance"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[expected.split()[2] for _, expected in MISTAKES])
def test_a_mistake_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    rows = complaints(tmp_path, text)
    assert len(rows) == 1, rows
    assert rows[0].startswith(expected)


def test_rules_come_back_from_the_text_they_are_shown_as(tmp_path: Path) -> None:
    text = CATALOG + (
        '[[slate.caps]]\nattribute = "brand"\nmax = 2\nfirst = 5\n'
        '[[slate.pins]]\nitem_id = "a"\nposition = 3\n'
        '[[slate.boosts]]\nattribute = "own"\nvalues = [true]\nmultiply = 1.5\n'
        '[[slate.quotas]]\nstat = "age_days"\nat_most = 14.0\nmin_share = 0.1\n'
        '[slate.diversity]\nmethod = "dpp"\n'
        '[slate.explore]\nmethod = "thompson"\npositions = [4]\nstat = "log_views"\nat_most = 3.0\n'
    )
    path = tmp_path / "oskolok.toml"
    path.write_text(text)
    loaded = load(path).config
    path.write_text(render(loaded))
    assert load(path).config == loaded
    assert loaded.slate.group_by == ("brand",)
    assert [mark.must[0].field for mark in loaded.slate.marks] == ["own"]


def test_a_file_with_two_mistakes_in_one_list_tells_both(tmp_path: Path) -> None:
    rows = complaints(tmp_path, '[[slate.caps]]\nattribute = "brand"\nmax = 0\n[[slate.caps]]\nattribute = 3\nmax = 1\n')
    assert [row.split()[:3] for row in rows] == [["line", "7", "slate.caps.0.max"], ["line", "9", "slate.caps.1.attribute"]]


def test_nothing_is_asked_of_shards_without_rules() -> None:
    slate = Config().slate
    assert (slate.group_by, slate.marks) == ((), ())
