"""The audit of a corpus, in a fresh process, against pyarrow reading the same columns and doing nothing with them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen.corpus import parts
from fastgen.cpus import cpus
from fastgen.write import load

TITLE = "audit (the goal holds at 10,000,000 examples)"
ROUNDS = 3
GOAL = 60.0
"""seconds for 10,000,000 examples"""
COLUMNS = {"vectors": ["x", "y", "chain_id", "chain"], "text": ["prompt", "completion"]}


def read(out: Path, names: list[str]) -> float:
    """Seconds that pyarrow takes to read the columns, a row group at a time, with as many threads."""
    start = time.perf_counter()
    with ThreadPoolExecutor(cpus()) as pool:
        for _ in pool.map(
            lambda part: pq.ParquetFile(part.path).read_row_group(part.group, names, use_threads=False).num_rows,
            parts(load(out)),
        ):
            pass
    return time.perf_counter() - start


@pytest.mark.parametrize("columns", list(COLUMNS))
def test_audit(columns: str, tmp_path: Path, benchmark: BenchmarkFixture, report: Report, bench_rows: int) -> None:
    rows = bench_rows // 2

    def run(command: str, *overrides: str) -> str:
        arguments = [sys.executable, "-m", f"fastgen.{command}", *overrides]
        return subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    run("run", f"n={rows}", f"columns=[{','.join(COLUMNS[columns])}]")
    alone: list[float] = []
    said = benchmark.pedantic(
        lambda: run("audit", "data=out"),
        setup=lambda: alone.append(read(tmp_path / "out", COLUMNS[columns])),
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    assert said.splitlines()[-1].startswith("holds (14 tests")
    if benchmark.stats is None:  # --benchmark-disable
        return
    seconds = benchmark.stats.stats.median
    row = f"{columns}, n={rows:,}, {cpus()} workers"
    report(TITLE, row, "examples/s", f"{rows / seconds:,.0f}")
    report(TITLE, row, "seconds (goal)", f"{seconds:.1f} ({GOAL:.0f})")
    report(TITLE, row, "times reading", f"{seconds / statistics.median(alone):.1f}")
