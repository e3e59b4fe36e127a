"""Texts judged per second, parsing included: all right, and one in ten with an error."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from fastgen.doors import compose
from fastgen.shard import table
from fastgen.verdict.batch import verify


@pytest.mark.parametrize(("count", "wrong"), [(100_000, 0), (5_000, 10)])  # plain Python judges the wrong ones
def test_verdicts(benchmark: Any, count: int, wrong: int) -> None:
    config = compose()
    rows = table(config, "train", 0, count)
    texts = rows["completion"].to_pylist()
    for r in range(0, count if wrong else 0, wrong or 1):
        texts[r] = texts[r].replace(" , ", " , 0 ", 1)
    array = pa.array(texts)
    found = benchmark.pedantic(verify, args=(rows["prompt"], array, config), rounds=5, warmup_rounds=1)
    benchmark.extra_info["texts"] = count
    assert (found.rows["error"] > 0).sum() == (count // wrong if wrong else 0)
