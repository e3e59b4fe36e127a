"""A table at the end: what the benchmarks measured, as ratios to something measured in the same session.

Run with `python -m pytest benchmarks --benchmark-only`. `FASTGEN_BENCH_ROWS` is the number of examples of those that
make a corpus (default 20,000,000; the goals hold there).
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Cells = dict[str, dict[str, str]]
"""row -> column -> what stands there"""

_TABLES = pytest.StashKey[dict[str, Cells]]()

Report = Callable[[str, str, str, str], None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """`report(table, row, column, text)` puts the text into a table that is printed when all have run."""

    def put(table: str, row: str, column: str, text: str) -> None:
        tables = request.config.stash.setdefault(_TABLES, {})
        tables.setdefault(table, {}).setdefault(row, {})[column] = text

    return put


@pytest.fixture(scope="session")
def bench_rows() -> int:
    """Examples of a benchmark that makes a corpus."""
    return int(os.environ.get("FASTGEN_BENCH_ROWS", "20_000_000"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables."""
    for title, rows in config.stash.get(_TABLES, {}).items():
        columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
        lines = [
            ["", *columns],
            *([row, *(cells.get(column, "") for column in columns)] for row, cells in rows.items()),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        terminalreporter.section(title)
        for first, *others in lines:
            cells = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
            terminalreporter.write_line("  ".join((first.ljust(widths[0]), *cells)))
