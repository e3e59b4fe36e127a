"""Cold start: what a fresh process takes, with compiled kernels in the cache and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

TITLE = "cold start: seconds of a fresh process (and the goal)"

GOALS = {"--help": 1.0, "k=1": 1.0, "n=1000 out=made": 3.0}
"""arguments -> seconds, with a warm cache"""


def run(arguments: str, cache: Path, folder: Path) -> int:
    """Exit code of `python -m fastgen.run` in `folder`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "fastgen.run", *arguments.split()]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled kernels: empty for the first that uses it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def warm(cache: Path, tmp_path: Path) -> Path:
    """The same, with the kernels in it."""
    if not any(cache.iterdir()):
        assert run("n=1000 out=made", cache, tmp_path) == 0
    return cache


def test_cold(cache: Path, tmp_path: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    assert not any(cache.iterdir())
    code = benchmark.pedantic(run, args=("n=1000 out=made", cache, tmp_path), rounds=1)

    assert code == 0
    if benchmark.stats is not None:
        report(TITLE, "n=1000 out=made", "cold cache", f"{benchmark.stats.stats.median:.2f}")


@pytest.mark.parametrize("arguments", GOALS)
def test_warm(
    arguments: str, warm: Path, tmp_path_factory: pytest.TempPathFactory, benchmark: BenchmarkFixture, report: Report
) -> None:
    def setup() -> tuple[tuple[str, Path, Path], dict[str, object]]:
        return (arguments, warm, tmp_path_factory.mktemp("run")), {}

    code = benchmark.pedantic(run, setup=setup, rounds=3)

    assert code == (2 if arguments == "k=1" else 0)
    if benchmark.stats is not None:
        report(TITLE, arguments, "warm cache", f"{benchmark.stats.stats.median:.2f} ({GOALS[arguments]:.0f})")
