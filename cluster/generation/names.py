"""Which names a generation and its files may have, so that a name can never lead out of its folder."""

from __future__ import annotations

import re

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_PART = re.compile(r"[a-z0-9_][a-z0-9._-]{0,199}")

PARTS_MAX = 4


def is_generation_id(text: str) -> bool:
    """Whether it may name a generation: `[a-z0-9._-]`, not beginning with a dot or a dash, at most 100 characters.

    >>> is_generation_id("20261124-1200"), is_generation_id("../etc"), is_generation_id(".building-1")
    (True, False, False)
    """
    return _ID.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Whether it may name a file of a generation: one to four such parts with slashes between, none beginning with a dot.

    >>> is_file_name("shard-0000/items.arrow"), is_file_name("/etc/passwd"), is_file_name("a/../b"), is_file_name("a//b")
    (True, False, False, False)
    """
    parts = text.split("/")
    return len(parts) <= PARTS_MAX and all(_PART.fullmatch(part) for part in parts)
