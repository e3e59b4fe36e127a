"""What several tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

collect_ignore = ["plugin"]  # to import it would be to register its transformation
collect_ignore_glob = ["campaign_*.py", "fuzz_*.py"]  # scripts, of which some need packages of their own

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """`python(*arguments, path=[...])` runs a fresh Python in tmp_path, with `path` and the checkout to import from."""

    def run(*arguments: str | Path, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
        command = [sys.executable, "-W", "error", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def uncached(tmp_path: Path) -> dict[str, str]:
    """Environment in which no compiled code can be kept: each run compiles anew, for some seconds."""
    (tmp_path / "file").write_text("")
    return {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")}
