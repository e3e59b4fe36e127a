"""The wheel: `conf/` travels in it, and it runs where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, without its dependencies and without a network."""
    root, folder = Path(__file__).parent.parent, tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(root)]
    subprocess.run(built, check=True, cwd=folder)
    [wheel] = folder.glob("fastgen-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, cwd=folder)
    return folder / "site"


def python(site: Path, folder: Path, *arguments: str) -> str:
    """What a fresh Python prints that finds fastgen in the site and runs in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_from_any_folder(site: Path, tmp_path: Path) -> None:
    assert python(site, tmp_path, "-c", "import fastgen; print(fastgen.__file__)").strip().startswith(str(site))
    python(site, tmp_path, "-m", "fastgen.run", "graph=small", "n=300", "out=made")
    assert sum(pq.read_metadata(path).num_rows for path in (tmp_path / "made/data").glob("*/*.parquet")) == 300
    assert "nothing to do" in python(site, tmp_path, "-m", "fastgen.run", "graph=small", "n=300", "out=made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_it_holds_the_whole_package(site: Path) -> None:
    root = Path(__file__).parent.parent
    for kind, package, found in (("*.py", root / "fastgen", "fastgen"), ("*.yaml", root / "conf", "fastgen/conf")):
        expected = {path.relative_to(package) for path in package.rglob(kind)}
        assert {path.relative_to(site / found) for path in (site / found).rglob(kind)} == expected
    assert (site / "fastgen/py.typed").exists()
