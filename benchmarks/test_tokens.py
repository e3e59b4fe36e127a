"""Tokens of a block of the default config on one core: ns per token, and times a copy of as many bytes."""

from __future__ import annotations

import statistics
import time
from functools import cache

import numpy as np
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import engine
from fastgen.doors import compose
from fastgen.settings import Config
from fastgen.text.tokens import Tokens, fill
from fastgen.text.tokens import tokens as reference

TITLE = f"tokens: ns per token of the default config, one core, blocks of {engine.BLOCK:,}"
ROUNDS = 21
GOAL = 1.0
"""ns per token of a column"""


@cache
def block(columns: str) -> tuple[Config, engine.Rows, Tokens]:
    config = compose("n=1e9", f"columns=[{columns}]")
    rows = engine.Rows(config, engine.BLOCK)
    engine.fill(rows, config, config.splits[0], 0, engine.BLOCK)
    return config, rows, Tokens(config, engine.BLOCK)


def copied(size: int) -> float:
    """Median seconds of copying so many bytes."""
    source, target, seconds = np.ones(size, np.uint8), np.zeros(size, np.uint8), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@pytest.mark.parametrize("columns", ["input_ids", "labels", "roles", "input_ids,labels,roles"])
def test_fill(columns: str, benchmark: BenchmarkFixture, report: Report) -> None:
    config, rows, tokens = block(columns)

    benchmark.pedantic(fill, args=(tokens, config, rows), rounds=ROUNDS, warmup_rounds=2)

    count = int(tokens.offsets[engine.BLOCK])
    if "input_ids" in tokens.columns:
        last = reference(engine.example(config, "train", engine.BLOCK - 1), config)[0]
        assert tokens.columns["input_ids"][count - len(last) : count].tolist() == last
    if benchmark.stats is None:  # --benchmark-disable
        return
    median = benchmark.stats.stats.median
    ratio = median / copied(sum(count * array.itemsize for array in tokens.columns.values()))
    benchmark.extra_info |= {"ns_per_token": median / count * 1e9, "times_copy": ratio}
    report(TITLE, columns, "ns per token", f"{median / count * 1e9:.2f}")
    report(TITLE, columns, "times a copy", f"{ratio:.1f}")
    report(TITLE, columns, "M examples/s", f"{engine.BLOCK / median / 1e6:.1f}")
    report(TITLE, "goal for a column", "ns per token", f"{GOAL:.2f}")
