"""Change the code at one place and see whether a test fails, again and again: is what the tests promise tested?

    python tests/campaign_mutants.py GROUP [--sample 60] [--folder build/mutants]

A group is one of GROUPS: the modules that are changed, each with the tests that are about it. The changes are those of
cosmic-ray (pip install "fastgen[mutants]"), less what can't matter: see `skipped`. Of all places where something can be
changed a sample is drawn with a fixed seed, and of each place one change; the sample is shuffled, so that the part of
it that is done is a sample too.

It works on a copy of the checkout in the folder, and writes every result there at once. Started again, it takes the
tests as they are now, tries what survived once more, and goes on; for other code, take another folder.

Kernels run compiled: some are made of intrinsics, which have no form in Python. A cache of compiled code that outlives
a mutant would hide it (Numba looks at the file of a function, not at what it calls), so each gets a cache of its own.
That begins with the code of the modules that import nothing that has changed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parent.parent
COPIED = ("fastgen", "conf", "tests", "README.md", "pyproject.toml")

RECORDS = {
    "elementwise": "degenerate or add or multiply or negate or square",
    "scan": "cumsum or difference or cummax or cummin",
    "permute": "reverse or rotate or swap_pairs or interleave",
    "order": "sort or evens_first or rank or equal_values or inside",
}
PARSE = "fastgen/text tests/test_parse.py"
VERDICT = "fastgen/verdict tests/test_verdict.py tests/test_verdict_batch.py"
GROUPS = {
    "transforms": {
        "transforms/base.py": "fastgen/transforms/base.py tests/test_transforms.py -k 'not kernel'",
        **{
            f"transforms/{name}.py": f"fastgen/transforms/{name}.py tests/test_transforms.py -k '{records}'"
            for name, records in RECORDS.items()
        },
    },
    "split": {
        "split.py": "fastgen/split.py fastgen/strategies.py tests/test_split.py tests/test_strategies.py",
        "strategies.py": "fastgen/split.py fastgen/strategies.py tests/test_strategies.py",
    },
    "text": {
        "text/grammar.py": "fastgen/text tests/test_grammar.py tests/test_render.py",
        "text/parse.py": PARSE,
        "text/lexicon.py": PARSE,
        "text/walk.py": PARSE,
        "text/batch.py": PARSE,
        "text/render.py": "fastgen/text tests/test_render.py",
        "text/tokens.py": "fastgen/text tests/test_tokens.py",
    },
    "verdict": {
        "verdict/kinds.py": "fastgen/verdict tests/test_verdict.py",
        **{f"verdict/{name}.py": VERDICT for name in ("reference", "judge", "batch", "reward")},
        **{f"verdict/{name}.py": f"fastgen/verdict tests/test_{name}.py" for name in ("corrupt", "likely", "critic")},
        "verdict/corruptor.py": "fastgen/verdict tests/test_critic.py",
    },
}
"""group -> module -> what pytest runs for it, the quickest first"""

WALL = 600
"""Seconds after which nothing is said of a mutant: the limit that counts is one of its processor time."""
MEMORY = 8 << 30
KILLED = ("failed", "timeout", "crashed")


class Mutant(NamedTuple):
    """One change: of a module, by the operator's `occurrence`-th place, which lies at a line and column."""

    module: str
    operator: str
    occurrence: int
    place: tuple[int, int]

    def __str__(self) -> str:
        line, column = self.place
        return f"{self.module}:{line}:{column} {self.operator.removeprefix('core/')} #{self.occurrence}"


def skipped(operator: str) -> bool:
    """Operators that change nothing anybody could see: identity for equality, which for None and small numbers is one.

    Those that need arguments of their own are not used.
    """
    if get_operator(operator).arguments():
        return True
    _, before, after = (*operator.split("_"), "", "")[:3]
    return ("Is" in before) != ("Is" in after) if "Comparison" in operator else False


def fixed(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where changes can't matter: annotations, caches of functions, imports for types alone, zip's guard `strict`."""
    for node in ast.walk(tree):
        parts: list[Any] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns, *(part for part in node.decorator_list if "cache" in ast.unparse(part))]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            parts = [node]
        elif isinstance(node, ast.Call):
            parts = [keyword for keyword in node.keywords if keyword.arg == "strict"]
        for part in filter(None, parts):
            decorator = isinstance(node, ast.FunctionDef) and part is not node.returns
            yield (part.lineno, part.col_offset - decorator), (part.end_lineno, part.end_col_offset)


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module, but those that can't matter."""
    source = (ROOT / "fastgen" / module).read_text(encoding="utf-8")
    nodes, regions = list(ast_nodes(get_ast(source))), list(fixed(ast.parse(source)))
    found = []
    for name in operator_names():
        if skipped(name):
            continue
        operator = get_operator(name)()
        places = [place for node in nodes for place, _ in operator.mutation_positions(node)]
        found += [Mutant(module, name, i, place) for i, place in enumerate(places)]
    return [mutant for mutant in found if not any(start <= mutant.place < stop for start, stop in regions)]


def drawn(group: str, every: list[Mutant], size: int) -> list[Mutant]:
    """`size` places at random, and of each one mutant. A larger sample begins with the smaller one."""
    at: dict[tuple[str, tuple[int, int]], list[Mutant]] = {}
    for mutant in every:
        at.setdefault((mutant.module, mutant.place), []).append(mutant)
    draw = random.Random(group)
    places = sorted(at)
    draw.shuffle(places)
    chosen = (next(filter(parses, draw.sample(at[place], len(at[place]))), None) for place in places)
    return list(islice(filter(None, chosen), size))


def parses(mutant: Mutant) -> bool:
    """Whether it is Python at all: to cosmic-ray, the stars of a call are operators too."""
    try:
        ast.parse(mutated(mutant))
    except SyntaxError:
        return False
    return True


def mutated(mutant: Mutant) -> str:
    """The code of its module."""
    source = (ROOT / "fastgen" / mutant.module).read_text(encoding="utf-8")
    return str(mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence))


# What has to be compiled again


def importers(module: str) -> set[str]:
    """The modules that a change of this one reaches when they are imported, itself included."""
    files = {path.relative_to(ROOT / "fastgen").as_posix() for path in (ROOT / "fastgen").rglob("*.py")}
    imports: dict[str, set[str]] = {}
    for file in files:
        names = set()
        for node in ast.parse((ROOT / "fastgen" / file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fastgen":
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        paths = {name.partition(".")[2].replace(".", "/") for name in names}
        imports[file] = {file for path in paths for file in (f"{path}.py", f"{path}/__init__.py") if file in files}
    reached = {module}
    while more := {file for file in files - reached if imports[file] & reached}:
        reached |= more
    return reached


def stale(mutant: Mutant) -> set[str]:
    """The modules whose compiled code may differ: constants are part of it, and so is what it calls.

    Inside a function of a module that compiles nothing, a change reaches neither.
    """
    source = (ROOT / "fastgen" / mutant.module).read_text(encoding="utf-8")
    compiles = re.search(r"^@(jit|\w+\.kernel)$", source, re.MULTILINE)
    inside = any(
        node.body[0].lineno <= mutant.place[0] <= (node.end_lineno or 0)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    )
    return set() if inside and not compiles else importers(mutant.module)


def keep(cache: Path, recompiled: set[str]) -> None:
    """Begin the cache of this process with what `cache` has, but for these modules."""
    new = importlib.import_module("fastgen.jit").cache_folder()
    for old in cache.glob("fastgen-*/*/*"):
        package, module = old.parent.name.rpartition("_")[0], old.name.partition(".")[0]
        if f"{package}/{module}.py".removeprefix("fastgen/") not in recompiled:
            (new / old.parent.name).mkdir(exist_ok=True)
            os.link(old, new / old.parent.name / old.name)


# Running


def tested(folder: Path, tests: str, cache: Path, recompiled: set[str] | None, seconds: float) -> tuple[str, float]:
    """What the tests say of the copy, and the processor time that they took; in a process of its own.

    The process is forked from this one, which has imported all but fastgen: that saves two seconds of each.
    """
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setsid()
            os.chdir(folder / "copy")
            log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.environ.update(NUMBA_CACHE_DIR=str(cache), PYTHONPATH=str(folder / "copy"), PYTHONDONTWRITEBYTECODE="1")
            sys.dont_write_bytecode = True
            sys.path[0] = str(folder / "copy")
            if recompiled is not None:
                keep(folder / "cache", recompiled)
            pytest = importlib.import_module("pytest")
            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "-p", "no:xdist"]
            code = int(pytest.main([*options, *shlex.split(tests)]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    stop = time.monotonic() + WALL
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > stop:
            os.killpg(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
            return "undecided", used.ru_utime + used.ru_stime
        time.sleep(0.05)
    cpu = used.ru_utime + used.ru_stime
    if os.WIFSIGNALED(status):
        return ("timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "crashed"), cpu
    return ("survived" if os.WEXITSTATUS(status) == 0 else "failed"), cpu


def baseline(folder: Path, tests: str) -> float:
    """The processor time of the tests of the code as it is; leaves compiled code for its mutants to begin with."""
    result, cpu = tested(folder, tests, folder / "cache", None, 10_000)
    if result != "survived":
        sys.exit(f"{tests}: fail without a change; see {folder / 'log.txt'}")
    return cpu


def tried(folder: Path, mutant: Mutant, tests: str, seconds: float) -> tuple[str, float]:
    """Put a mutant into the copy, test it, and take it out."""
    original, changed = ROOT / "fastgen" / mutant.module, folder / "copy" / "fastgen" / mutant.module
    cache = folder / "throwaway"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    try:
        changed.write_text(mutated(mutant), encoding="utf-8")
        return tested(folder, tests, cache, stale(mutant), seconds)
    finally:
        shutil.copy2(original, changed)  # with its time, by which the cache knows it


def changed_line(mutant: Mutant) -> str:
    """What the mutant makes of its line."""
    source = (ROOT / "fastgen" / mutant.module).read_text(encoding="utf-8")
    before, after = (code.splitlines()[mutant.place[0] - 1].strip() for code in (source, mutated(mutant)))
    return f"    - {before}\n    + {after}"


def main() -> None:
    """Run a campaign, or the rest of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--sample", type=int, default=60, help="how many places (default: 60)")
    parser.add_argument("--folder", type=Path, default=Path("build/mutants"), help="for the copy and the results")
    given = parser.parse_args()
    folder = (given.folder / given.group).resolve()
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / "copy" / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, folder / "copy" / name)
    for name in ("numba", "pyarrow", "pytest"):
        importlib.import_module(name)

    modules = GROUPS[given.group]
    every = [mutant for module in modules for mutant in mutants(module)]
    sample = drawn(given.group, every, given.sample)
    path = folder / "results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    results = dict(json.loads(line) for line in lines)
    with path.open("a", encoding="utf-8") as file:

        def note(key: str, result: tuple[str, float]) -> None:
            results[key] = [*result]
            print(json.dumps([key, result]), file=file, flush=True)
            print(f"{key}: {result[0]} ({result[1]:.0f} s)", flush=True)

        for mutant in sample:
            if results.get(str(mutant), [""])[0] in KILLED:
                continue
            tests = modules[mutant.module]
            if tests not in results:
                note(tests, ("passed", baseline(folder, tests)))
            note(str(mutant), tried(folder, mutant, tests, 2 * results[tests][1] + 5))

    counts = Counter(results[str(mutant)][0] for mutant in sample)
    for mutant in sample:
        if results[str(mutant)][0] not in KILLED:
            print(f"{results[str(mutant)][0]}: {mutant}\n{changed_line(mutant)}")
    killed = sum(counts[kind] for kind in KILLED)
    print(f"{given.group}: {len(every)} mutants, {len(sample)} drawn: {killed} killed ({dict(counts)})")
    print(f"score: {killed / len(sample):.1%}")


if __name__ == "__main__":
    main()
