"""Rows of predictions made into figures per second, and into a page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastgen.doors import compose
from fastgen.report import page, tables
from fastgen.report.predictions import Source, load
from fastgen.report.runs import Run, run_of
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.verdict.batch import verify

ROWS = 200_000


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Any, Any]:
    """Predictions of the default config with their verdicts; one in ten has an error."""
    import pyarrow.parquet as pq

    config = compose(f"n={ROWS}")
    parts = [table(config, split.name, 0, split.rows) for split in config.splits]
    rows = pa.concat_tables(parts)
    texts = rows["completion"].to_pylist()
    for r in range(0, ROWS, 10):
        texts[r] = texts[r].replace(" , ", " , 0 ", 1) if r % 20 else texts[r].replace(" 1 , ", " 2 , ", 1)
    names = np.repeat([split.name for split in config.splits], [split.rows for split in config.splits])
    path = tmp_path_factory.mktemp("predictions") / "predictions.parquet"
    pq.write_table(pa.table({"split": names, "index": rows["index"], "prediction": texts}), path)
    read = load(Source("predictions", path), config)
    return config, read, verify(read.prompt, read.text, config, read.intended)


def made(config: Config, read: Any, verdicts: Any) -> tuple[Run, list[Any]]:
    run = run_of("predictions", config, read, verdicts)
    return run, tables.tables(run)


def test_figures(benchmark: Any, judged: tuple[Config, Any, Any]) -> None:
    run, found = benchmark.pedantic(made, args=judged, rounds=3, warmup_rounds=1)
    benchmark.extra_info["rows"] = ROWS
    assert run.right.size == ROWS
    assert found[0].name == "score"


def test_page(benchmark: Any, judged: tuple[Config, Any, Any]) -> None:
    run, found = made(*judged)
    read = judged[1]

    def drawn() -> str:
        examples = page.failing(run, read.prompt, read.text, chat=False)
        return page.page("predictions", page.sections(run, found), examples, found[0])

    text = benchmark.pedantic(drawn, rounds=3, warmup_rounds=1)
    benchmark.extra_info["rows"] = ROWS
    assert text.count("<svg") > 20
