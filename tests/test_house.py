"""How the code is built: which module may import which, where compiled code may stand, what nobody may say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import derived
import pytest

from fastgen import jit
from fastgen.transforms import RECORDS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastgen"

ORDER = (
    *("jit", "trace", "modular", "lanes", "rng"),
    *("transforms.base", "transforms.elementwise", "transforms.scan", "transforms.permute", "transforms.order"),
    *("transforms", "testing"),
    *("graph", "solve", "classes", "split", "strategies", "text", "text.grammar", "text.preamble"),
    *("cpus", "values", "progress", "splitting", "settings", "doors", "signals"),
    *("text.render", "text.parse", "text.lexicon", "text.walk", "text.batch", "text.tokens", "text.tokenizer"),
    *("sample", "engine", "ceiling", "verdict", "verdict.kinds", "verdict.reference", "verdict.judge", "verdict.batch"),
    *("verdict.reward", "verdict.corrupt", "verdict.corruptor", "verdict.likely", "verdict.critic"),
    *("digest", "commit", "lock", "write", "shard", "folder", "launch", "launch.local"),
    *("chance", "corpus", "integrity", "overlap"),
    *("findings", "display", "report", "report.predictions"),
    *("report.rates", "report.baselines", "report.runs", "report.loss", "report.tables", "report.plots"),
    *("report.page", "adapters", "transformer", "run", "show", "search", "audit", "check", "evaluate", "recipe"),
)
"""From the ground to the roof: a module imports only from those before it. The package itself is lazy, and any may ask
its version."""

FILES = sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    """fastgen/transforms/scan.py -> transforms.scan; fastgen/__init__.py -> the empty name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules of fastgen that the code imports, wherever it does, named as above."""
    modules = {name(path) for path in FILES}
    for node in ast.walk(_without_types(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name[8:] for alias in node.names if alias.name.startswith("fastgen."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fastgen":
            module = (node.module or "")[8:]
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                yield inner if inner in modules else module


def _without_types(tree: ast.AST) -> ast.AST:
    """The code without its blocks `if TYPE_CHECKING:`, which import nothing when it runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module):
            node.body = [each for each in node.body if "TYPE_CHECKING" not in ast.dump(getattr(each, "test", each))]
    return tree


def names(tree: ast.AST) -> set[str]:
    """Every name and attribute that the code says."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


@each_file
def test_imports_go_one_way(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    relative = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative, f"relative imports in lines {relative}"
    if name(path):
        assert name(path) in ORDER, "a new module: give it its place in ORDER"
        before = {"", *ORDER[: ORDER.index(name(path))]}
        assert set(imports(tree)) <= before


def test_order_names_only_what_there_is() -> None:
    assert set(ORDER) == {name(path) for path in FILES} - {""}


@each_file
def test_compiled_code_is_part_of_the_cache_key(path: Path) -> None:
    """Numba does not see a change in a compiled function of another file; the cache folder's name has to."""
    sources = {source for pattern in jit.SOURCES for source in PACKAGE.glob(pattern)}
    decorators = {"jit", "intrinsic", "kernel", "njit", "overload", "overload_attribute"}
    functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef))
    compiled = any(names(decorator) & decorators for node in functions for decorator in node.decorator_list)
    assert path in sources or not compiled, "add it to jit.SOURCES"


def test_sources_exist() -> None:
    for pattern in jit.SOURCES:
        assert list(PACKAGE.glob(pattern)), pattern


@each_file
def test_only_jit_compiles(path: Path) -> None:
    said = names(ast.parse(path.read_text(encoding="utf-8")))
    assert not said & {"prange", "guvectorize", "vectorize", "cfunc"}
    assert name(path) == "jit" or not said & {"njit"}


@each_file
def test_no_options_that_break_workers(path: Path) -> None:
    """parallel=True aborts the process under threads or after a fork; fastmath is for floats."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    keywords = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    literals = {
        key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys if _constant(key)
    }
    assert not (keywords | literals) & {"parallel", "fastmath"}


def _constant(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant)


@each_file
def test_nothing_is_executed(path: Path) -> None:
    """Configs and data sets are input: no value of theirs is ever run, imported or unpickled."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    assert not names(tree) & {"instantiate", "pickle", "get_class", "get_method", "unsafe_load"}
    assert "import_module" not in names(tree) or not name(path), (
        "but the package itself, which has a table of its doors"
    )
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {module.partition(".")[0] for module in modules} & {"pickle", "marshal", "shelve"}
    assert "_target_" not in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda path: path.name)
def test_no_target_in_conf(path: Path) -> None:
    assert "_target_" not in path.read_text(encoding="utf-8")


def test_codes_never_change() -> None:
    pinned = derived.CODES.read_text(encoding="utf-8")
    for line in pinned.splitlines():
        code, transformation = line.split()
        assert RECORDS[transformation].code == int(code), "files hold the old code: give a changed meaning a new one"
    assert derived.codes(pinned) == pinned, "new codes: python tests/derived.py"


def test_readme_tables_are_up_to_date() -> None:
    text = derived.README.read_text(encoding="utf-8")
    assert derived.readme(text) == text, "python tests/derived.py"


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of somebody's machine and no address of a package index in what travels."""
    travels = [
        *FILES,
        *(ROOT / "conf").rglob("*.yaml"),
        ROOT / "pyproject.toml",
        ROOT / "constraints.txt",
        ROOT / "README.md",
    ]
    for path in travels:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|Users|work)/|index-url|://[^\s/]*@", text), path
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")
