"""Transformations that are not fastgen's sixteen: from another package, and a seventeenth in one block of code."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from conftest import Python

from fastgen.transforms import RECORDS

CHECK = "import sys; from fastgen import testing, transforms; testing.check(transforms.RECORDS[sys.argv[1]])"
NEW = "import sys; from fastgen.transforms import RECORDS; print(*(name for name in RECORDS if name not in sys.argv))"


@pytest.fixture
def plugin(root: Path, tmp_path: Path) -> Path:
    """A folder in which the package tests/plugin is installed, the way an installer leaves it, without a network."""
    site = tmp_path / "site"
    project = tomllib.loads((root / "tests/plugin/pyproject.toml").read_text())["project"]
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(root / "tests/plugin/fastgen_subtract_first.py", site)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    entry_points = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(entry_points))
    return site


def test_not_installed_it_is_unknown() -> None:
    assert "subtract_first" not in RECORDS


def test_plugin_passes_the_generic_tests(plugin: Path, python: Python) -> None:
    done = python("-c", CHECK, "subtract_first", path=(plugin,))
    assert done.returncode == 0, done.stderr


def test_plugin_passes_its_doctest(plugin: Path, python: Python) -> None:
    done = python("-m", "doctest", "-v", plugin / "fastgen_subtract_first.py", path=(plugin,))
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_plugin_may_be_imported_first(plugin: Path, python: Python) -> None:
    done = python("-c", "import fastgen_subtract_first as p; print(p.subtract_first)", path=(plugin,))
    assert done.stdout == "<transformation subtract_first>\n", done.stderr


def test_plugin_from_the_command_line_to_the_files(plugin: Path, root: Path, python: Python) -> None:
    made = python(
        "-m", "fastgen.run", "n=2000", "graph=small", "graph.vertices.0=subtract_first", "out=made", path=(plugin,)
    )
    assert made.returncode == 0, made.stderr
    replayed = python(root / "tests/replay.py", "made", "subtract_first", path=(plugin,))
    assert replayed.returncode == 0, replayed.stderr
    assert int(replayed.stdout) > 0


def test_readme_adds_a_seventeenth_in_one_block(root: Path, tmp_path: Path, python: Python) -> None:
    section = (root / "README.md").read_text(encoding="utf-8").partition("Add a transformation")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None, "README.md: no python block under 'Add a transformation'"
    copy = tmp_path / "checkout"
    for folder in ("fastgen", "conf"):
        shutil.copytree(root / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "fastgen/transforms/scan.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + block[1])

    (name,) = python("-c", NEW, *RECORDS, path=(copy,)).stdout.split()
    checked = python("-c", CHECK, name, path=(copy,))
    assert checked.returncode == 0, checked.stderr
    made = python("-m", "fastgen.run", "n=2000", "graph=small", f"graph.vertices.0={name}", "out=made", path=(copy,))
    assert made.returncode == 0, made.stderr
    replayed = python(root / "tests/replay.py", "made", name, path=(copy,))
    assert replayed.returncode == 0, replayed.stderr
    assert int(replayed.stdout) > 0
