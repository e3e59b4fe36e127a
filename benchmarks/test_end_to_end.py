"""End to end: the command in a fresh process, against pyarrow writing the same tables from memory.

Both are timed in turns in one run, so that a machine that is slow at times is slow for both, with the same settings and
number of workers. The command's time has everything in it: start-up, generation, text, encoding, checks, hashes,
manifest.
The writer's has only `ParquetWriter` on tables that are in memory already, a file per shard.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import shard, write
from fastgen.cpus import cpus
from fastgen.doors import compose
from fastgen.settings import Config

TITLE = "end to end (the goals hold at 20,000,000 examples)"
ROUNDS = 3
WORKERS = (1, cpus()) if cpus() > 1 else (1,)
COLUMNS = {
    "all columns": (("index", "x", "y", "chain_id", "chain", "trace", "prompt", "completion"), 1.15),
    "without text": (("index", "x", "y", "chain_id", "chain", "trace"), 1.2),
}
"""what is written -> the columns, and the goal: times the writer's time"""
GOAL_SPEED_UP = 0.9
"""of the writer's own speed-up from one worker to all"""

medians: dict[tuple[str, str, int], float] = {}
"""("command" or "writer", what is written, workers) -> seconds"""


@lru_cache(maxsize=1)  # 20 million rows with text take 8 GB
def tables(rows: int, written: str) -> tuple[Config, list[pa.Table]]:
    """The config and, in memory, the table of each of its shards."""
    config = compose(f"n={rows}", _override(written))
    return config, [shard.table(config, each.split.name, each.start, each.stop) for each in shard.plan(config)]


def _override(written: str) -> str:
    return f"columns=[{','.join(COLUMNS[written][0])}]"


def write_tables(folder: Path, rows: int, written: str, workers: int) -> float:
    """Seconds that pyarrow takes to write the tables."""
    config, made = tables(rows, written)

    def write_one(number: int) -> None:
        with pq.ParquetWriter(folder / f"{number}.parquet", made[number].schema, **write.options(config)) as writer:
            writer.write_table(made[number], row_group_size=write.group_rows(config))

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(write_one, range(len(made))))
    return time.perf_counter() - start


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("written", list(COLUMNS))
def test_end_to_end(
    written: str, workers: int, bench_rows: int, tmp_path: Path, benchmark: BenchmarkFixture, report: Report
) -> None:
    writer: list[float] = []
    out, memory = tmp_path / "out", tmp_path / "memory"

    def setup() -> None:
        for folder in (out, memory):
            shutil.rmtree(folder, ignore_errors=True)
        memory.mkdir()
        writer.append(write_tables(memory, bench_rows, written, workers))
        if hasattr(os, "sync"):
            os.sync()  # so that the command does not wait until the writer's files are on the disk

    def command() -> None:
        arguments = [f"n={bench_rows}", f"out='{out}'", f"workers={workers}", _override(written)]
        subprocess.run([sys.executable, "-m", "fastgen.run", *arguments], check=True, capture_output=True)

    tables(bench_rows, written)
    benchmark.pedantic(command, setup=setup, rounds=ROUNDS, warmup_rounds=1)

    assert sum(pq.read_metadata(path).num_rows for path in out.glob("data/*/*.parquet")) == bench_rows
    if benchmark.stats is None:  # --benchmark-disable
        return
    medians["command", written, workers] = seconds = benchmark.stats.stats.median
    medians["writer", written, workers] = alone = statistics.median(writer)
    benchmark.extra_info |= {"rows_per_second": bench_rows / seconds, "times_writer": seconds / alone}
    row = f"{written}, {workers} worker{'s' * (workers > 1)}, n={bench_rows:,}"
    report(TITLE, row, "examples/s", f"{bench_rows / seconds:,.0f}")
    report(TITLE, row, "seconds", f"{seconds:.1f}")
    report(TITLE, row, "writer only", f"{alone:.1f}")
    report(TITLE, row, "ratio (goal)", f"{seconds / alone:.2f} ({COLUMNS[written][1]})")
    if workers > 1:
        ours, theirs = (medians[who, written, 1] / medians[who, written, workers] for who in ("command", "writer"))
        report(TITLE, f"{written}, speed-up from 1 worker", "seconds", f"{ours:.2f}")
        report(TITLE, f"{written}, speed-up from 1 worker", "writer only", f"{theirs:.2f}")
        report(TITLE, f"{written}, speed-up from 1 worker", "ratio (goal)", f"{ours / theirs:.2f} ({GOAL_SPEED_UP})")
