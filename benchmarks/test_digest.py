"""The content digest: its rate, and its share of the time that a shard takes, text and writing included."""

from __future__ import annotations

import shutil
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import digest, engine, shard, write
from fastgen.doors import compose

TITLE = "content digest, one core"
GOAL = 3.0
"""per cent of a shard's time"""
ROUNDS = 5
COLUMNS = {
    "all columns": "columns=[index,x,y,chain_id,chain,trace,prompt,completion]",
    "without text": "columns=[index,x,y,chain_id,chain,trace]",
}


@pytest.mark.parametrize("written", list(COLUMNS))
def test_digest(written: str, tmp_path: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    config = replace(compose("n=500_000", COLUMNS[written]), out=str(tmp_path / "out"))
    train = shard.plan(config)[0]
    engine.prepare(config)
    write.prepare(config)
    rows, spare = (engine.Rows(config, write.group_rows(config)) for _ in range(2))
    engine.fill(rows, config, train.split, 0, write.group_rows(config))
    table: pa.Table = write.as_table(config, rows, 0)
    whole: list[float] = []

    def generate() -> None:
        start = time.perf_counter()
        shard.generate(config, train, spare)
        whole.append((time.perf_counter() - start) / (train.stop - train.start))

    found = benchmark.pedantic(
        lambda: digest.of_table("train", 0, table), setup=generate, rounds=ROUNDS, warmup_rounds=1
    )
    shutil.rmtree(tmp_path / "out")
    assert found.keys() == set(config.columns)
    if benchmark.stats is None:  # --benchmark-disable
        return
    each = benchmark.stats.stats.median / table.num_rows
    report(TITLE, written, "ns per example", f"{each * 1e9:.0f}")
    report(TITLE, written, "GB/s", f"{table.nbytes / table.num_rows / each / 1e9:.1f}")
    report(
        TITLE, written, "share of a shard's time (goal)", f"{100 * each / statistics.median(whole):.1f} % ({GOAL:.0f})"
    )
