"""Stages of one block of rows on one core: ns per example, and times a copy of as many bytes as the block has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import engine, sample, write
from fastgen.doors import compose
from fastgen.settings import Config

TITLE = f"stages: ns per example of the default config, one core, blocks of {engine.BLOCK:,}"
ROUNDS = 31
GOAL = 25.0
"""million examples/s and core that the generation of blocks should reach"""


@cache
def default() -> Config:
    return compose("n=1e9", "columns=[index,x,y,chain_id,chain,trace]")


@cache
def block() -> engine.Rows:
    rows = engine.Rows(default(), engine.BLOCK)
    engine.fill(rows, default(), default().splits[0], 0, engine.BLOCK)
    return rows


def draw() -> None:
    """Chains and vectors."""
    rows, split = block(), default().splits[0]
    seed, stream, start = np.uint64(0), np.uint64(split.stream), np.uint64(0)
    chains = sample.chain_table(split)
    sample.draw_chains(seed, stream, start, 8, 8, *chains, rows.chain_id, rows.length, rows.second)
    sample.draw_vectors(seed, stream, start, 11, 8, rows.length, rows.second, rows.offsets, rows.x)


def order() -> tuple[Any, Any]:
    """Rows by chain."""
    rows = block()
    return engine._order(rows.chain_id, rows.length, 8, 8, len(default().chains), rows.order, rows.spare)


ordered = cache(order)


def apply() -> None:
    """Kernels, and rows back in their order."""
    rows = block()
    engine._apply(
        rows.length,
        *ordered(),
        11,
        *engine.program(default()),
        rows.offsets,
        rows.trace_offsets,
        rows.x,
        rows.y,
        rows.trace,
    )


def fill() -> None:
    """All of it: a block generated."""
    engine.fill(block(), default(), default().splits[0], 0, engine.BLOCK)


def copied() -> float:
    """Median ns per example of copying what a block holds."""
    rows = block()
    size = rows.trace_offsets[-1] * rows.trace.itemsize + 2 * rows.offsets[-1] * rows.x.itemsize
    source, target, seconds = np.ones(size, np.uint8), np.zeros(size, np.uint8), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / engine.BLOCK * 1e9


def show(name: str, benchmark: BenchmarkFixture, report: Report, rows: int) -> None:
    if benchmark.stats is None:  # --benchmark-disable
        return
    median = benchmark.stats.stats.median / rows * 1e9
    copy = copied()
    benchmark.extra_info |= {"ns_per_example": median, "times_copy": median / copy}
    report(TITLE, name, "ns", f"{median:.1f}")
    report(TITLE, name, "times a copy", f"{median / copy:.1f}")
    report(TITLE, name, "M examples/s", f"{1e3 / median:.1f}")


@pytest.mark.parametrize("stage", [draw, order, apply, fill], ids=lambda stage: stage.__name__)
def test_stage(stage: Callable[[], Any], benchmark: BenchmarkFixture, report: Report) -> None:
    benchmark.pedantic(stage, rounds=ROUNDS, warmup_rounds=2)

    rows = block()
    expected = engine.example(default(), "train", engine.BLOCK - 1)
    assert rows.y[-8 - 8 // rows.y.itemsize : -8 // rows.y.itemsize].tolist() == expected.y
    show(stage.__name__, benchmark, report, engine.BLOCK)
    if stage is fill:
        report(TITLE, f"goal for {stage.__name__}", "M examples/s", f"{GOAL:.1f}")


def test_encode(tmp_path: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    """What pyarrow takes to write the same rows."""
    table = write.as_table(default(), block(), 0)

    def encode() -> None:
        with pq.ParquetWriter(tmp_path / "block.parquet", table.schema, **write.options(default())) as writer:
            writer.write_table(table)

    benchmark.pedantic(encode, rounds=5, warmup_rounds=1)

    assert pq.read_metadata(tmp_path / "block.parquet").num_rows == engine.BLOCK
    show("encode", benchmark, report, engine.BLOCK)
