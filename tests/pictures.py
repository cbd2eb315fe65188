"""What is wrong with an SVG as matplotlib writes it: texts over each other or cut off, colours that a page would swallow.

Texts are measured in DejaVu Sans, which is wider than what most browsers take instead.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import combinations
from math import cos, radians, sin
from pathlib import Path

PAGES = ("#ffffff", "#0d1117")
CONTRAST_MIN = 3.0  # WCAG 2.1, 1.4.11, and 1.4.3 for large text
_SVG = "{http://www.w3.org/2000/svg}"
_ANCHORS = {"start": 0.0, "middle": 0.5, "end": 1.0}


@dataclass(frozen=True)
class Text:
    """A text and its box in points, y downwards."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Text) -> bool:
        """Whether the boxes share more than half a point of height and lie less than two points beside each other."""
        beside = max(self.left, other.left) - min(self.right, other.right)
        return beside < 2 and min(self.bottom, other.bottom) - max(self.top, other.top) > 0.5


def texts(path: Path) -> list[Text]:
    """All texts of a picture, in the order in which they are drawn."""
    return [_text(element) for element in ET.parse(path).iter(f"{_SVG}text") if (element.text or "").strip()]


def faults(path: Path) -> list[str]:
    """What is wrong, a line each; empty if the picture can be read."""
    root, found = ET.parse(path).getroot(), texts(path)
    width, height = (float(size) for size in (root.get("viewBox") or "").split()[2:])
    wrong = [f"{one.text!r} over {other.text!r}" for one, other in combinations(found, 2) if one.overlaps(other)]
    page = Text("", 0, 0, width, height)
    wrong += [
        f"{one.text!r} is cut off"
        for one in found
        if one.left < page.left or one.top < page.top or one.right > page.right or one.bottom > page.bottom
    ]
    black = {"#000000"} if any("fill" not in _style(element) for element in root.iter(f"{_SVG}text")) else set()
    colours = sorted(black | set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", path.read_text())))
    wrong += [f"{colour} on {page}" for colour in colours for page in PAGES if contrast(colour, page) < CONTRAST_MIN]
    return wrong + ([] if title(path) else ["no title"])


def title(path: Path) -> str:
    """The message: the bold lines in the largest letters."""
    lines = [element.text or "" for element in ET.parse(path).iter(f"{_SVG}text") if _style(element).get("font-size") == "11px"]
    return " ".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _style(element: ET.Element) -> dict[str, str]:
    return dict(part.split(": ", 1) for part in (element.get("style") or "").split("; ") if part)


def _text(element: ET.Element) -> Text:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    style, content = _style(element), (element.text or "").replace("\N{NO-BREAK SPACE}", " ")
    font, size = FontProperties(family="DejaVu Sans", weight=style.get("font-weight", "normal")), style["font-size"]
    box = TextPath((0, 0), content, size=float(size.removesuffix("px")), prop=font).get_extents()
    before = _ANCHORS[style.get("text-anchor", "start")] * box.x1
    corners = [(x - before, -y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
    angle = radians(float((_number("rotate", element) or ["0"])[0]))
    turned = [(x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)) for x, y in corners]
    at_x, at_y = map(float, _number("translate", element) or [element.get("x") or 0, element.get("y") or 0])
    xs, ys = zip(*turned, strict=True)
    return Text(content, at_x + min(xs), at_y + min(ys), at_x + max(xs), at_y + max(ys))


def _number(move: str, element: ET.Element) -> list[str]:
    """The numbers of one part of the element's transform; empty if it has no such part."""
    part = re.search(rf"{move}\(([^)]*)\)", element.get("transform") or "")
    return part[1].split() if part else []


def contrast(one: str, other: str) -> float:
    """WCAG 2.1, contrast ratio."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
