"""Text on one core: GB/s rendered and parsed, and how much slower malformed text is parsed per byte."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import engine
from fastgen.doors import compose
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.text import render
from fastgen.text.batch import parse_batch

TITLE = f"text: GB/s on one core, batches of {engine.BLOCK:,} rows"
HOSTILE = "malformed text: ns per byte, against well-formed text of the default config"
ROUNDS = 15
GOAL_RENDER = 3.0
GOALS_PARSE = {"default": 1.3, "with prompts": 1.3, "k=100": 0.8, "k=256": 0.8}
GOAL_SLOWER = 10.0
OVERRIDES = {"k=100": ["k=100"], "k=256": ["k=256"]}

STEPS = " , ".join(["1 2 3"] * 8)
WHOLE = f" sort {STEPS} ; reverse {STEPS} ; rotate1 {STEPS} ."
MALFORMED = {
    "commas": "," * 240,
    "semicolons": " ;" * 120,
    "numbers": " 1" * 120,
    "heads": " sort" * 48,
    "unknown words": " foo" * 60,
    "numbers out of range": " sort" + " 99 99 99 ," * 20,
    "one long number": "1" * 240,
    "one long word": "x" * 240,
    "blanks": " " * 240,
    "no UTF-8": b"\xff" * 240,
    "a fault in every step": WHOLE.replace("3", "x"),
    "two blanks everywhere": WHOLE.replace(" ", "  "),
    "a separator missing everywhere": WHOLE.replace(" ,", ""),
}


@cache
def written(case: str) -> tuple[Config, pa.Array, pa.Array, int]:
    """Config, prompts and completions of a block of rows, and the bytes of those that are read."""
    config = compose("n=1e9", "columns=[prompt,completion]", *OVERRIDES.get(case, []))
    rows = table(config, "train", 0, engine.BLOCK).combine_chunks()
    prompts, completions = rows["prompt"].chunk(0), rows["completion"].chunk(0)
    read = (prompts, completions) if case == "with prompts" else (completions,)
    return config, prompts, completions, sum(len(text) for texts in read for text in texts.to_pylist())


def copied(size: int) -> float:
    """Median seconds of copying so many bytes."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return timed(lambda: np.copyto(target, source))


def timed(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_render(column: str, benchmark: BenchmarkFixture, report: Report) -> None:
    config = compose("n=1e9", f"columns=[{column}]")
    rows = engine.Rows(config, engine.BLOCK)
    engine.fill(rows, config, config.splits[0], 0, engine.BLOCK)
    benchmark.pedantic(lambda: render.fill(rows.texts, config, rows), rounds=ROUNDS, warmup_rounds=2)
    offsets, text = rows.texts.columns[column]
    last = text[offsets[-2] : offsets[-1]].tobytes().decode()
    assert last in render.render(engine.example(config, "train", engine.BLOCK - 1), config)
    if benchmark.stats is None:  # --benchmark-disable
        return
    size, seconds = int(offsets[-1]), benchmark.stats.stats.median
    benchmark.extra_info["GB/s"] = round(size / seconds / 1e9, 2)
    report(TITLE, f"render {column}", "GB/s (goal)", f"{size / seconds / 1e9:.2f} ({GOAL_RENDER})")
    report(TITLE, f"render {column}", "times a copy", f"{seconds / copied(size):.1f}")


@pytest.mark.parametrize("case", list(GOALS_PARSE))
def test_parse(case: str, benchmark: BenchmarkFixture, report: Report) -> None:
    config, prompts, completions, size = written(case)
    given = prompts if case == "with prompts" else None
    found = benchmark.pedantic(lambda: parse_batch(completions, config, given), rounds=ROUNDS, warmup_rounds=2)
    assert not found.fault_count.any()
    if benchmark.stats is None:  # --benchmark-disable
        return
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["GB/s"] = round(size / seconds / 1e9, 2)
    report(TITLE, f"parse, {case}", "GB/s (goal)", f"{size / seconds / 1e9:.2f} ({GOALS_PARSE[case]})")
    report(TITLE, f"parse, {case}", "times a copy", f"{seconds / copied(size):.1f}")


@pytest.mark.parametrize("case", list(MALFORMED))
def test_malformed(case: str, benchmark: BenchmarkFixture, report: Report) -> None:
    config, text = compose(), MALFORMED[case]
    data = text if isinstance(text, bytes) else text.encode()
    hostile = pa.array([data] * engine.BLOCK, pa.binary())
    found = benchmark.pedantic(lambda: parse_batch(hostile, config), rounds=3, warmup_rounds=1)
    assert (found.fault_count > 0).all() or found.blanks.all()
    if benchmark.stats is None:  # --benchmark-disable
        return
    _, _, completions, size = written("default")
    whole = timed(lambda: parse_batch(completions, config)) / size
    each = benchmark.stats.stats.median / len(data) / engine.BLOCK
    benchmark.extra_info["times slower"] = round(each / whole, 1)
    report(HOSTILE, case, "ns per byte", f"{each * 1e9:.2f}")
    report(HOSTILE, case, "times slower (goal)", f"{each / whole:.1f} ({GOAL_SLOWER:.0f})")
