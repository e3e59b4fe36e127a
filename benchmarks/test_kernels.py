"""Kernels: ns per element, trace included, and the ratio to a copy of as many bytes as they write (y and trace).

Kernels are called by address from a compiled loop, as the engine calls them: a call from Python would add a microsecond
to the 1 to 10 that they take. The copy is `np.copyto`, whose call takes 0.15 microseconds of its 1 to 10.
"""

from __future__ import annotations

import statistics
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import Report
from numba import from_dtype, types
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen.jit import address, call, jit
from fastgen.trace import code_dtype, vector_dtype
from fastgen.transforms import RECORDS, Record
from fastgen.transforms.base import OWN_CODES

K = 11
ROWS = 1024
ROUNDS = 21
GOALS = {8: 0.3, 16: 0.3, 64: 2.0}
"""length -> ns per element that the mean over all kernels should not exceed"""

medians: dict[int, dict[str, float]] = {length: {} for length in GOALS}
"""length -> name -> median ns per element"""


@jit
def repeat(times: int, where: int, x: Any, y: Any, trace: Any, op: int, k: int, c: int) -> None:
    for _ in range(times):
        call(where, x, y, trace, op, k, c)


@cache
def copied(length: int) -> float:
    """Median ns per element of the copy: of the bytes of y and of the trace, from one array to another."""
    size = length * ROWS * (vector_dtype(K).itemsize + code_dtype(K, length).itemsize)
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    times, seconds = repeats(length), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / (times * length * ROWS) * 1e9


def repeats(length: int) -> int:
    """Calls of one round: about a millisecond of them."""
    return 4096 // length


@pytest.mark.parametrize("length", GOALS)
@pytest.mark.parametrize("record", [record for record in RECORDS.values() if record.code in OWN_CODES], ids=str)
def test_kernel(record: Record, length: int, benchmark: BenchmarkFixture, report: Report) -> None:
    x = np.random.default_rng(0).integers(0, K, (length, ROWS)).astype(vector_dtype(K))
    y, trace = np.zeros_like(x), np.zeros(x.shape, code_dtype(K, length))
    element, step = from_dtype(x.dtype), from_dtype(trace.dtype)
    vectors, codes = types.Array(element, 2, "C"), types.Array(step, 2, "C")
    where = address(record.compiled, (vectors, vectors, codes, types.int64, types.int64, types.int64))
    times = repeats(length)

    benchmark.pedantic(repeat, args=(times, where, x, y, trace, record.code, K, 1), rounds=ROUNDS, warmup_rounds=2)

    assert y[:, 7].tolist() == record(x[:, 7].tolist(), K, [], *([1] if record.argument else []))
    if benchmark.stats is None:  # --benchmark-disable
        return
    title = f"kernels, trace included: ns per element (and times a copy of y and trace), {ROWS} rows, k={K}"
    medians[length][record.name] = median = benchmark.stats.stats.median / (times * x.size) * 1e9
    benchmark.extra_info |= {"ns_per_element": median, "times_copy": median / copied(length)}
    mean = statistics.mean(medians[length].values())
    report(title, "mean", f"length {length}", f"{mean:.3f} ({mean / copied(length):.1f})")
    report(title, "goal for the mean", f"length {length}", f"{GOALS[length]:.3f}      ")
    report(title, "copy", f"length {length}", f"{copied(length):.3f} (1.0)")
    report(title, record.name, f"length {length}", f"{median:.3f} ({median / copied(length):.1f})")
