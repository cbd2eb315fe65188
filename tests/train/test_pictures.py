"""What all pictures share: names beside lines that stay apart, the same bytes for the same numbers, and a checker that sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import PAGES, contrast, faults, texts, title
from train import pictures
from train.pictures import ACCENT, COLOURS, bars, draw, lines, name_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

(INK,) = {f"#{colour}" for colour in re.findall(r"color: (.*)", Path(pictures.__file__).with_suffix(".mplstyle").read_text())}

NAMES = [f"source {n}" for n in range(14)]
MESSAGE = "Fourteen lines that end 3 ms from each other keep their names apart"


def crowded(figure: Figure) -> str:
    axis = figure.subplots()
    lines(axis, {name: ([1, 2], [n, n / 100]) for n, name in enumerate(NAMES)}, accent=NAMES[3])
    axis.set(xlabel="shards", ylabel="ms", ylim=(0, None))
    name_lines(axis)
    return MESSAGE


def test_lines_that_end_together_keep_their_names_apart(tmp_path: Path) -> None:
    path = draw(tmp_path / "new" / "folder" / "crowded.svg", crowded, note="two cores")
    assert faults(path) == [] and title(path) == MESSAGE
    drawn = [text.text for text in texts(path)]
    assert {*NAMES, "shards", "ms", "two cores"} <= set(drawn)
    heights = {text.text: text.top for text in texts(path)}
    assert sorted(NAMES, key=heights.__getitem__) == NAMES[::-1], "in the order in which the lines end"


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (draw(tmp_path / name, crowded, note="").read_bytes() for name in ("one.svg", "other.svg"))
    assert one == other


def test_bars_have_their_values_beside_them(tmp_path: Path) -> None:
    def paint(figure: Figure) -> str:
        bars(figure.subplots(), {"tops": 12.0, "ann": 3.25}, form="{:.1f}", accent="ann")
        return MESSAGE

    path = draw(tmp_path / "bars.svg", paint, note="")
    assert faults(path) == []
    heights = {text.text: text.top for text in texts(path)}
    assert heights["tops"] == pytest.approx(heights["12.0"], abs=3) and heights["ann"] == pytest.approx(heights["3.2"], abs=3)
    assert heights["tops"] < heights["ann"] and ACCENT in path.read_text()


@pytest.mark.parametrize(("colour", "least"), [(INK, 4.3), *((colour, 3.5) for colour in (ACCENT, *COLOURS))])
def test_colours_can_be_seen_on_a_white_and_on_a_dark_page(colour: str, least: float) -> None:
    assert all(contrast(colour, page) > least for page in PAGES)


@pytest.mark.parametrize(
    ("x", "y", "colour", "fault"),
    [
        (0.5, 0.55, INK, "'first' over 'planted'"),
        (0.97, 0.8, INK, "'planted' is cut off"),
        (0.2, 0.2, "#111111", "#111111 on #0d1117"),
        (0.2, 0.2, "#eeeeee", "#eeeeee on #ffffff"),
    ],
)
def test_a_planted_fault_is_seen(x: float, y: float, colour: str, fault: str, tmp_path: Path) -> None:
    def paint(figure: Figure) -> str:
        figure.text(0.48, 0.54, "first")
        figure.text(x, y, "planted", color=colour)
        return MESSAGE

    assert [said for said in faults(draw(tmp_path / "planted.svg", paint, note="")) if "planted" in said or "#" in said] == [
        fault
    ]


def test_a_picture_without_a_message_is_seen(tmp_path: Path) -> None:
    assert faults(draw(tmp_path / "silent.svg", lambda figure: "", note="two cores")) == ["no title"]
