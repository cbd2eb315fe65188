"""The rules that hold the code base together, each with planted violations to show that its checker bites.

Which package may import which; where Ray may stand; nothing that runs code from data; no file that outgrew one noun.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
SERVING = ("cluster", "shard", "router", "ranker")
PRODUCT = (*SERVING, "train", "deploy")
EVERYTHING = (*PRODUCT, "bench", "tests")

MAY_IMPORT: dict[str, set[str]] = {
    "cluster": set(),
    "shard": {"cluster"},
    "ranker": {"cluster"},
    "router": {"cluster"},
    "train": {"shard", "router", "ranker", "cluster"},
    "deploy": {*SERVING},
    "bench": {*PRODUCT, "tests"},
    "tests": {*PRODUCT, "bench"},
}
MAY_IMPORT_TRAIN = ("build", "demo", "evaluate", "train_rankers")  # in the name of a file of deploy/
RUN_DATA = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
LINES_MAX = 500


@dataclass(frozen=True)
class Source:
    """One file of the repository, or one that a test made up. path: relative to the root."""

    path: PurePosixPath
    text: str

    @property
    def package(self) -> str:
        return self.path.parts[0]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted module) of every import, wherever it stands, also through importlib."""
        for node in self.nodes:
            match node:
                case ast.Import(names):
                    yield from ((node.lineno, name.name) for name in names)
                case ast.ImportFrom(module, names, level):
                    prefix = "." * level
                    yield from ((node.lineno, f"{prefix}{module or ''}.{name.name}".rstrip(".")) for name in names)
                case ast.Call(ast.Name("__import__" | "import_module"), [ast.Constant(str() as module), *_]):
                    yield node.lineno, module
                case ast.Call(ast.Attribute(_, "import_module"), [ast.Constant(str() as module), *_]):
                    yield node.lineno, module


def wrong_arrows(source: Source) -> list[str]:
    """Imports of our own packages that DESIGN section 2 does not allow. Relative imports hide the package: none."""
    allowed = MAY_IMPORT[source.package] | {source.package}
    if source.package == "deploy" and any(word in source.path.name for word in MAY_IMPORT_TRAIN):
        allowed = allowed | {"train"}
    wrong = []
    for line, module in source.imports():
        top = module.partition(".")[0]
        if module.startswith(".") or (top in EVERYTHING and top not in allowed):
            wrong.append(f"{source.path}:{line} imports {module}")
    return wrong


def stray_ray(source: Source) -> list[str]:
    """Imports of Ray outside the thin shells around everything else."""
    path = source.path
    if path.name == "actor.py" or str(path) == "cluster/remote.py" or path.parts[0] in ("deploy", "bench"):
        return []
    if path.parts[:2] == ("tests", "integration"):
        return []
    return [f"{path}:{line} imports {module}" for line, module in source.imports() if module.partition(".")[0] == "ray"]


def code_from_data(source: Source) -> list[str]:
    """Ways to run code that came as data: pickle and its kin, numpy's pickles, eval and exec."""
    found = [f"{source.path}:{line} imports {module}" for line, module in source.imports() if RUN_DATA & set(module.split("."))]
    for node in source.nodes:
        match node:
            case ast.Call(ast.Name("eval" | "exec" as name)):
                found.append(f"{source.path}:{node.lineno} calls {name}")
            case ast.Call(ast.Attribute(_, "read_pickle" | "to_pickle" as name)):
                found.append(f"{source.path}:{node.lineno} calls {name}")
            case ast.keyword("allow_pickle", value) if not (isinstance(value, ast.Constant) and value.value is False):
                found.append(f"{source.path}:{node.lineno} sets allow_pickle")
    return found


def too_long(source: Source) -> list[str]:
    """Files of more than LINES_MAX lines."""
    n_lines = source.text.count("\n")
    return [f"{source.path} has {n_lines} lines"] if n_lines > LINES_MAX else []


Checker = Callable[[Source], list[str]]
CHECKED: dict[Checker, tuple[str, ...]] = {
    wrong_arrows: EVERYTHING,
    stray_ray: EVERYTHING,
    code_from_data: PRODUCT,
    too_long: EVERYTHING,
}


def sources(package: str) -> Iterator[Source]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield Source(PurePosixPath(path.relative_to(ROOT).as_posix()), path.read_text())


@pytest.fixture(scope="module")
def repository() -> dict[str, list[Source]]:
    return {package: list(sources(package)) for package in EVERYTHING}


@pytest.mark.parametrize("checker", CHECKED, ids=lambda checker: checker.__name__)
def test_the_repository_keeps_the_rule(repository: dict[str, list[Source]], checker: Checker) -> None:
    checked = [source for package in CHECKED[checker] for source in repository[package]]
    assert len(checked) > 50
    assert [violation for source in checked for violation in checker(source)] == []


@pytest.mark.parametrize("package", EVERYTHING)
def test_every_folder_is_a_package(package: str) -> None:
    """A folder of tests without `__init__.py` makes `import shard` find the tests."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


PLANTED: list[tuple[Checker, str, str]] = [
    (wrong_arrows, "cluster/x.py", "from shard.shard import Shard"),
    (wrong_arrows, "shard/x.py", "import router.plan"),
    (wrong_arrows, "shard/sources/x.py", "from ..shard import Shard"),
    (wrong_arrows, "ranker/x.py", "def f():\n    from shard import space"),
    (wrong_arrows, "router/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shard.shard import Shard"),
    (wrong_arrows, "train/x.py", "import deploy"),
    (wrong_arrows, "deploy/serving.py", "from train.build import build"),
    (wrong_arrows, "deploy/serving.py", "import importlib\nimportlib.import_module('train.build')"),
    (wrong_arrows, "router/x.py", "from tests.router import fakes"),
    (wrong_arrows, "deploy/x.py", "import bench.harness"),
    (stray_ray, "shard/shard.py", "import ray"),
    (stray_ray, "router/x.py", "def f():\n    from ray import serve"),
    (stray_ray, "cluster/pool.py", "import ray.exceptions as e"),
    (stray_ray, "tests/shard/test_x.py", "__import__('ray')"),
    (stray_ray, "train/x.py", "from importlib import import_module\nimport_module('ray.data')"),
    (code_from_data, "shard/x.py", "import pickle"),
    (code_from_data, "train/x.py", "from joblib import load"),
    (code_from_data, "ranker/x.py", "from sklearn.externals import joblib"),
    (code_from_data, "train/x.py", "def f():\n    import cloudpickle as c"),
    (code_from_data, "shard/x.py", "np.load(path, allow_pickle=True)"),
    (code_from_data, "shard/x.py", "np.load(path, allow_pickle=flag)"),
    (code_from_data, "deploy/x.py", "eval('1')"),
    (code_from_data, "deploy/x.py", "pd.read_pickle(path)"),
    (too_long, "shard/x.py", "\n" * (LINES_MAX + 1)),
]


@pytest.mark.parametrize(("checker", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(checker: Checker, path: str, text: str) -> None:
    assert len(checker(Source(PurePosixPath(path), text))) == 1


ALLOWED: list[tuple[Checker, str, str]] = [
    (wrong_arrows, "deploy/commands/build.py", "from train.build import build"),
    (wrong_arrows, "deploy/demo.py", "import train.synthetic"),
    (wrong_arrows, "train/x.py", "from router.plan import plan\nfrom shard.shard import Shard"),
    (wrong_arrows, "cluster/x.py", "import numpy, cluster.types"),
    (stray_ray, "shard/actor.py", "import ray"),
    (stray_ray, "cluster/remote.py", "from ray import exceptions"),
    (stray_ray, "tests/integration/test_x.py", "import ray"),
    (stray_ray, "router/x.py", "import rayon"),
    (code_from_data, "shard/x.py", "np.load(path, allow_pickle=False)"),
    (code_from_data, "shard/x.py", "model.eval()"),
    (too_long, "shard/x.py", "\n" * LINES_MAX),
]


@pytest.mark.parametrize(("checker", "path", "text"), ALLOWED)
def test_what_is_allowed_is_let_through(checker: Checker, path: str, text: str) -> None:
    assert checker(Source(PurePosixPath(path), text)) == []
