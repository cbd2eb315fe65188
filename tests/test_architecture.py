"""The rules that hold the code base together, each with planted violations to show that its checker bites.

Which package may import which; no circle of files or of rooms; where Ray may stand; nothing that runs code from data; no file
that outgrew one noun and no folder that outgrew one subject.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
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
MAY_IMPORT_TRAIN = {"deploy/demo", *(f"deploy/commands/{verb}.py" for verb in ("build", "demo", "evaluate", "train_rankers"))}
RUN_DATA = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
LINES_MAX = 320
LINES_OF_A_TEST_MAX = 500
FILES_MAX = 20
"""Files of one folder, beside its subfolders."""


@dataclass(frozen=True)
class Source:
    """One file of the repository, or one that a test made up. path: relative to the root."""

    path: PurePosixPath
    text: str

    @property
    def package(self) -> str:
        return self.path.parts[0]

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")

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
    if MAY_IMPORT_TRAIN & {str(source.path), str(source.path.parent)}:
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
    if path.name == "actor.py" or str(path) == "cluster/ray_errors.py" or path.parts[0] in ("deploy", "bench"):
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
    """Files of more lines than they may have."""
    n_lines = source.text.count("\n")
    n_lines_max = LINES_OF_A_TEST_MAX if source.package == "tests" else LINES_MAX
    return [f"{source.path} has {n_lines} lines"] if n_lines > n_lines_max else []


def circles(of: Callable[[str], str], checked: Iterable[Source]) -> list[set[str]]:
    """Sets of names that import each other in a loop, through whatever stands between them; imports for types alone count too.

    of: the name, by dotted module: the module itself, or the room it is in.
    """
    by_module = {source.module: source for source in checked}
    arrows: dict[str, set[str]] = defaultdict(set)
    for module, source in by_module.items():
        for _, name in source.imports():
            while name and name not in by_module:
                name = name.rpartition(".")[0]
            if name and of(name) != of(module):
                arrows[of(module)].add(of(name))
    reached = {name: reachable(name, arrows) for name in list(arrows)}
    looping = [name for name in reached if name in reached[name]]
    loops = {frozenset(other for other in looping if other in reached[name] and name in reached[other]) for name in looping}
    return [set(loop) for loop in loops]


def reachable(start: str, arrows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(arrows[start])
    while ahead:
        if (name := ahead.pop()) not in found:
            found.add(name)
            ahead.extend(arrows.get(name, ()))
    return found


def itself(module: str) -> str:
    return module


def room(module: str) -> str:
    """A folder below a package is a room, and so is each file beside those folders."""
    return ".".join(module.split(".")[:2])


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


@pytest.mark.parametrize("of", [itself, room])
@pytest.mark.parametrize("package", [*PRODUCT, "bench"])
def test_no_part_of_a_package_imports_itself_in_a_circle(
    repository: dict[str, list[Source]], package: str, of: Callable[[str], str]
) -> None:
    assert circles(of, repository[package]) == []


@pytest.mark.parametrize("package", [*PRODUCT, "bench"])
def test_no_folder_outgrew_its_subject(repository: dict[str, list[Source]], package: str) -> None:
    n_files = Counter(source.path.parent for source in repository[package])
    assert {str(folder): n for folder, n in n_files.items() if n > FILES_MAX} == {}


@pytest.mark.parametrize("package", EVERYTHING)
def test_every_folder_is_a_package(package: str) -> None:
    """A folder of tests without `__init__.py` makes `import shard` find the tests."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


PLANTED: list[tuple[Checker, str, str]] = [
    (wrong_arrows, "cluster/x.py", "from shard.shard import Shard"),
    (wrong_arrows, "shard/x.py", "import router.planning.plan"),
    (wrong_arrows, "shard/sources/x.py", "from ..shard import Shard"),
    (wrong_arrows, "ranker/x.py", "def f():\n    from shard import space"),
    (wrong_arrows, "router/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shard.shard import Shard"),
    (wrong_arrows, "train/x.py", "import deploy"),
    (wrong_arrows, "deploy/runtime/serving.py", "from train.build import build"),
    (wrong_arrows, "deploy/runtime/serving.py", "import importlib\nimportlib.import_module('train.build')"),
    (wrong_arrows, "router/x.py", "from tests.router import fakes"),
    (wrong_arrows, "deploy/x.py", "import bench.tools.harness"),
    (wrong_arrows, "deploy/runtime/demo.py", "import train.build"),
    (stray_ray, "shard/shard.py", "import ray"),
    (stray_ray, "router/x.py", "def f():\n    from ray import serve"),
    (stray_ray, "cluster/clients/replicas.py", "import ray.exceptions as e"),
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
    (too_long, "tests/shard/test_x.py", "\n" * (LINES_OF_A_TEST_MAX + 1)),
]


@pytest.mark.parametrize(("checker", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(checker: Checker, path: str, text: str) -> None:
    assert len(checker(Source(PurePosixPath(path), text))) == 1


@pytest.mark.parametrize(
    ("of", "files", "loops"),
    [
        (itself, {"shard/a.py": "import shard.b", "shard/b.py": "from shard import a"}, [{"shard.a", "shard.b"}]),
        (
            itself,
            {"shard/a.py": "from shard.b import B", "shard/b.py": "if TYPE_CHECKING:\n    from shard.a import A"},
            [{"shard.a", "shard.b"}],
        ),
        (
            itself,
            {"shard/a.py": "import shard.b", "shard/b.py": "import shard.c", "shard/c.py": "def f():\n    import shard.a"},
            [{"shard.a", "shard.b", "shard.c"}],
        ),
        (itself, {"shard/a.py": "import shard.b\nimport shard.c", "shard/b.py": "import shard.c", "shard/c.py": ""}, []),
        (
            room,
            {"shard/x/a.py": "from shard.y.b import B", "shard/y/b.py": "", "shard/y/c.py": "import shard.x.a"},
            [{"shard.x", "shard.y"}],
        ),
        (room, {"shard/x/a.py": "from shard.x.b import B", "shard/x/b.py": "import shard.c", "shard/c.py": ""}, []),
    ],
)
def test_a_planted_circle_is_found(of: Callable[[str], str], files: dict[str, str], loops: list[set[str]]) -> None:
    assert circles(of, [Source(PurePosixPath(path), text) for path, text in files.items()]) == loops


ALLOWED: list[tuple[Checker, str, str]] = [
    (wrong_arrows, "deploy/commands/build.py", "from train.build import build"),
    (wrong_arrows, "deploy/demo/synthetic.py", "import train.input.parquet"),
    (wrong_arrows, "train/x.py", "from router.planning.plan import plan\nfrom shard.shard import Shard"),
    (wrong_arrows, "cluster/x.py", "import numpy, cluster.types"),
    (stray_ray, "shard/actor.py", "import ray"),
    (stray_ray, "cluster/ray_errors.py", "from ray import exceptions"),
    (stray_ray, "tests/integration/test_x.py", "import ray"),
    (stray_ray, "router/x.py", "import rayon"),
    (code_from_data, "shard/x.py", "np.load(path, allow_pickle=False)"),
    (code_from_data, "shard/x.py", "model.eval()"),
    (too_long, "shard/x.py", "\n" * LINES_MAX),
]


@pytest.mark.parametrize(("checker", "path", "text"), ALLOWED)
def test_what_is_allowed_is_let_through(checker: Checker, path: str, text: str) -> None:
    assert checker(Source(PurePosixPath(path), text)) == []
