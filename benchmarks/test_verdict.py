"""Texts judged per second, parsing included: all right, and one in ten with an error."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from fastgen.doors import compose
from fastgen.shard import table
from fastgen.verdict import verify

ROWS = 100_000


@pytest.mark.parametrize("wrong", [0, 10])
def test_verdicts(benchmark: Any, wrong: int) -> None:
    config = compose()
    rows = table(config, "train", 0, ROWS)
    texts = rows["completion"].to_pylist()
    for r in range(0, ROWS if wrong else 0, wrong or 1):
        texts[r] = texts[r].replace(" , ", " , 0 ", 1)
    array = pa.array(texts)
    found = benchmark(verify, rows["prompt"], array, config)
    benchmark.extra_info["texts"] = ROWS
    assert (found.rows["error"] > 0).sum() == (ROWS // wrong if wrong else 0)
