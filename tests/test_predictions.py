"""Predictions from files: every row has a state, and no row is dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastgen.doors import compose
from fastgen.report import predictions
from fastgen.report.predictions import NOT_JUDGED, Source, load, sources
from fastgen.shard import table
from fastgen.values import ConfigError

CONFIG = compose("n=1000")
ROWS = table(CONFIG, "validation", 0, 60)


def lines(path: Path, rows: list[Any]) -> Source:
    """A file of JSON lines; bytes are lines as they are."""
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return Source(path.stem, path)


def keyed(count: int = 20) -> list[dict[str, Any]]:
    texts = ROWS["completion"].to_pylist()
    return [{"split": "validation", "index": i, "prediction": texts[i]} for i in range(count)]


def test_every_state_is_counted_and_the_sum_is_what_was_read(tmp_path: Path) -> None:
    rows: list[Any] = keyed()
    rows[3]["prediction"] = None
    rows[4]["prediction"] = "\ud800 sort"
    rows[5]["prediction"] = "7 " * 5_000_000
    rows[6]["index"] = 7
    rows[8]["split"] = "test"
    rows[9]["index"] = 10**9
    rows[10]["index"] = -1
    rows[11]["prompt"] = "1 2 -> 2 1 :"
    rows += [b"\xff\xfe\x00", b"[1, 2]", b"[" * 100_000, b" "]
    found = load(lines(tmp_path / "a.jsonl", rows), CONFIG, expect=["validation"])
    assert found.counts == {
        **{"text": 12, "no text": 1, "not UTF-8": 1, "over 1 MiB": 1, "duplicate": 1, "no key": 1},
        **{"unknown split": 1, "no such example": 1, "another config": 1, "damaged": 3},
    }
    assert sum(found.counts.values()) == 23
    assert found.missing == {"validation": 200 - 15}
    assert len(found) == 15 == sum(found.counts.values()) - sum(found.counts[state] for state in NOT_JUDGED)
    assert found.index.to_pylist() == [0, 1, 2, 3, 4, 5, 6 + 1, *range(12, 20)]


def test_the_intended_chain_comes_from_split_and_index(tmp_path: Path) -> None:
    found = load(lines(tmp_path / "a.jsonl", keyed()[::-1]), CONFIG)
    assert found.intended.tolist() == ROWS["chain_id"].to_pylist()[:20][::-1]
    assert [each.decode() for each in found.prompt.to_pylist()] == ROWS["prompt"].to_pylist()[:20][::-1]


@pytest.mark.parametrize("gold", ["chain", "chain_id", "completion"])
def test_the_intended_chain_comes_from_a_gold_column(tmp_path: Path, gold: str) -> None:
    rows = [
        {"prompt": row["prompt"], gold: row[gold], "output": "x"}
        for row in ROWS.select(["prompt", "completion", "chain", "chain_id"]).to_pylist()
    ]
    rows[0][gold] = "nothing" if gold != "chain_id" else 10**6
    found = load(lines(tmp_path / "a.jsonl", rows), CONFIG)
    assert found.intended.tolist() == [-1, *ROWS["chain_id"].to_pylist()[1:]]
    assert found.split.null_count == found.index.null_count == len(found) == 60


def test_without_gold_nothing_is_intended(tmp_path: Path) -> None:
    rows = [{"prompt": text, "response": "x"} for text in ROWS["prompt"].to_pylist()]
    assert (load(lines(tmp_path / "a.jsonl", rows), CONFIG).intended == -1).all()


def test_parquet_says_the_same_as_lines(tmp_path: Path) -> None:
    rows = keyed()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    a = load(lines(tmp_path / "a.jsonl", rows), CONFIG)
    b = load(Source("b", tmp_path / "b.parquet"), CONFIG)
    assert (a.counts, a.text, a.index, a.split) == (b.counts, b.text, b.index, b.split)
    assert np.array_equal(a.intended, b.intended)


def test_samples_of_one_prompt_are_no_duplicates(tmp_path: Path) -> None:
    rows = [row | {"sample": sample} for sample in (0, 1, 1) for row in keyed()]
    found = load(lines(tmp_path / "a.jsonl", rows), CONFIG)
    assert (found.counts["text"], found.counts["duplicate"]) == (40, 20)
    assert np.bincount(found.sample).tolist() == [20, 20]


@pytest.mark.parametrize(
    "wrong", ["1 2 3 -> 1 2 3 :", "1 2 3 4 5 6 7 8 -> 1 2 3 4 5 6 7 11 :", "hello", "", "1 2 3 4 5 6 7 8 ->"]
)
def test_prompts_of_another_config(tmp_path: Path, wrong: str) -> None:
    rows = [{"prompt": wrong, "output": "x"}, {"prompt": ROWS["prompt"][0].as_py(), "output": "x"}]
    found = load(lines(tmp_path / "a.jsonl", rows), CONFIG)
    assert (found.counts["another config"], found.counts["text"]) == (1, 1)


def test_a_chat_template_may_stand_around_a_prompt(tmp_path: Path) -> None:
    rows = [row | {"prompt": f"<user>{ROWS['prompt'][row['index']]}</user>"} for row in keyed()]
    assert load(lines(tmp_path / "a.jsonl", rows), CONFIG).counts["text"] == 20


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        (["prediction", "output"], None, "prediction, output could all hold what the model wrote"),
        (["text"], None, "which one holds what the model wrote"),
        (["prediction"], "answer", "text_column=answer"),
    ],
)
def test_text_columns_that_can_not_be_told(tmp_path: Path, columns: list[str], asked: str, message: str) -> None:
    source = lines(tmp_path / "a.jsonl", [{"prompt": "x", **dict.fromkeys(columns, "y")}])
    with pytest.raises(ConfigError, match=message):
        load(source, CONFIG, asked)


@pytest.mark.parametrize(
    ("columns", "asked", "column"),
    [
        (["prediction", "completion"], None, "prediction"),
        (["completion"], None, "completion"),
        (["prediction", "output"], "output", "output"),
    ],
)
def test_text_columns_that_can(tmp_path: Path, columns: list[str], asked: str, column: str) -> None:
    source = lines(tmp_path / "a.jsonl", [{"prompt": "x", **dict.fromkeys(columns, "y")}])
    assert load(source, CONFIG, asked).text_column == column


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02" * 1000, b"PAR1 and no more", b"[]\n"])
def test_files_that_hold_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match="predictions="):
        load(Source("a", tmp_path / "a.jsonl"), CONFIG)


def test_sources_are_in_natural_order(tmp_path: Path) -> None:
    for number in (100, 20, 3):
        lines(tmp_path / f"step-{number}.jsonl", keyed(1))
    assert [each.name for each in sources([str(tmp_path / "step-*.jsonl")])] == ["step-3", "step-20", "step-100"]
    with pytest.raises(ConfigError, match="there is no such file"):
        sources([str(tmp_path / "none-*")])


def test_expecting_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expect=validation"):
        load(lines(tmp_path / "a.jsonl", [{"prompt": "x", "output": "y"}]), CONFIG, expect=["validation"])


def test_far_apart_indices_are_made_one_by_one(tmp_path: Path) -> None:
    config = compose("n=1e10")
    rows = [{"split": "train", "index": i, "output": ""} for i in (7_999_999_999, 0, 123_456, 5)]
    found = load(lines(tmp_path / "a.jsonl", rows), config)
    expected = [table(config, "train", row["index"], row["index"] + 1)["prompt"][0].as_py() for row in rows]
    assert [each.decode() for each in found.prompt.to_pylist()] == expected
    assert predictions.NEAR < 123_456
