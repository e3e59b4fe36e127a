"""Texts judged per second, parsing included: right ones, and those of a model at some stage of training."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa
import pytest

from fastgen.doors import compose
from fastgen.shard import table
from fastgen.verdict.batch import verify

COUNT = 200_000
HEADS = ("sort", "rank", "reverse", "cumsum", "difference", "negate", "add3", "rotate1")


def _slipped(text: str, random: Random, share: float) -> str:
    """The text with other numbers: one of them, or this share."""
    tokens = text.split(" ")
    numbers = [i for i, token in enumerate(tokens) if token.isdigit()]
    for i in [random.choice(numbers)] if share == 0 else [i for i in numbers if random.random() < share]:
        tokens[i] = str(random.randrange(11))
    return " ".join(tokens)


def _untrained(text: str, random: Random, share: float) -> str:
    """Words of the vocabulary at random."""
    return " " + " ".join(random.choices([*HEADS, ",", ",", ",", ";", ".", *map(str, range(11))], k=80))


@pytest.mark.parametrize("columns", ["corrupted", "corrupted,step_labels"])
@pytest.mark.parametrize("key", ["task=infer", "task=plan", "text=result"])
def test_texts_with_one_error(benchmark: Any, key: str, columns: str) -> None:
    """Made and written, with all else that a row takes; then judged, too."""
    config = compose(key, f"columns=[{columns}]")
    made = benchmark.pedantic(table, args=(config, "train", 0, COUNT // 10), rounds=5, warmup_rounds=1)
    benchmark.extra_info["thousand rows/s"] = round(COUNT / 10 / benchmark.stats.stats.median / 1e3, 1)
    assert made.num_rows == COUNT // 10


@pytest.mark.parametrize(
    ("key", "wrong", "made"),
    [
        ("task=infer", 0, None),
        ("task=infer", 0.1, (_slipped, 0)),
        ("task=infer", 0.5, (_slipped, 0)),
        ("task=infer", 1, (_slipped, 0)),
        ("task=infer", 1, (_slipped, 0.3)),
        ("task=infer", 1, (_untrained, 0)),
        ("task=execute", 0, None),
        ("task=plan", 0.1, (_slipped, 0)),
        ("text=result", 0, None),
        ("text=names", 0, None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_verdicts(benchmark: Any, key: str, wrong: float, made: Any) -> None:
    config, random = compose(key), Random(0)
    rows = table(config, "train", 0, COUNT)
    texts = rows["completion"].to_pylist()
    for r in range(COUNT):
        if random.random() < wrong:
            texts[r] = made[0](texts[r], random, made[1])
    array = pa.array(texts)
    found = benchmark.pedantic(verify, args=(rows["prompt"], array, config), rounds=5, warmup_rounds=1)
    benchmark.extra_info["million texts/s"] = round(COUNT / benchmark.stats.stats.median / 1e6, 2)
    share = (found.rows["error"] > 0).mean()
    assert share == 0 if wrong == 0 else 0.8 * wrong < share <= wrong
