"""What the tests of rows, files and commands share."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastgen.doors import compose
from fastgen.run import job
from fastgen.settings import Config, restore

ROOT = Path(__file__).parent.parent

SLOW = "n=20_000", "shard=2000", "parquet.row_group=500", "parquet.codec=brotli", "parquet.level=11", "workers=1"
"""A few seconds of work in ten files: the codec is slow, so that there is time to stop it."""


def variant(config: Config, **values: Any) -> Config:
    """The config with other values of top-level keys, without Hydra: a hundred configs take a second, not ten."""
    return restore({**config.identity(), **values}, config.out)


def make(out: Path, *overrides: str, **values: Any) -> Config:
    """Run the command's job; return its config. `values` are of the config, or keys of the job alone."""
    keys = {key: values.pop(key) for key in ("resume", "overwrite", "extend") if key in values}
    config = replace(compose(*overrides), out=str(out), **values)
    job(config, **keys)
    return config


def command(name: str, *overrides: str, cwd: Path, **env: str) -> tuple[list[str], dict[str, Any]]:
    """What `subprocess` needs for `python -m fastgen.<name> ...` of this checkout, in the folder `cwd`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **env}
    return [sys.executable, "-m", f"fastgen.{name}", *overrides], {"cwd": cwd, "env": environment, "text": True}


def fastgen(name: str, *overrides: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m fastgen.<name> ...` to its end."""
    arguments, options = command(name, *overrides, cwd=cwd, **env)
    return subprocess.run(arguments, **options, capture_output=True, check=False, timeout=300)


def on_terminal(arguments: list[str], **options: Any) -> tuple[str, str]:
    """What a command prints that ends well, and what it shows on a terminal of 100 columns. Windows has no such."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    shown = b""
    done = subprocess.run(arguments, **options, stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=300)
    os.close(theirs)
    with suppress(OSError):  # what Linux says at the end of a terminal that nobody writes to
        while chunk := os.read(ours, 65_536):
            shown += chunk
    os.close(ours)
    assert done.returncode == 0, shown
    return done.stdout, shown.decode()


def files(out: Path) -> dict[str, str]:
    """SHA-256 of every file below `out`, by its path."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def ended(done: subprocess.CompletedProcess[str], code: int) -> None:
    """The run ended with that exit code and a few lines, none of them a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
