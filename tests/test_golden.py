"""The same values everywhere: digests that every platform, Python and version of the packages must give."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fastgen.doors import compose
from fastgen.engine import example
from fastgen.shard import table

GOLDEN = Path(__file__).parent / "golden/values.json"
CASES = {
    "default": [],
    "bytes": ["k=256", "graph=mixed", f"seed={2**64 - 1}"],
    "wide": ["k=65536", "length={min:3,max:20}", "graph=wide", "seed=1"],
    "long": ["k=97", "length=300", "graph=deep", "split.seed=5"],
    "controls": ["n=200_000", "split=controls", "chain.weights=[1,2,5]"],
}
ROWS = 100
COLUMNS = "columns=[index,x,y,chain_id,chain,trace]"


def digest(rows: object) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@pytest.mark.parametrize("case", CASES)
def test_values_are_the_same_everywhere(case: str) -> None:
    config = compose(*CASES[case], COLUMNS)
    made = {split.name: table(config, split.name, 7, 7 + ROWS).to_pylist() for split in config.splits}
    assert {name: digest(rows) for name, rows in made.items()} == json.loads(GOLDEN.read_text())[case]
    first = example(config, config.splits[-1].name, 7)
    assert (first.x, first.y) == (made[config.splits[-1].name][0]["x"], made[config.splits[-1].name][0]["y"])


def test_errors_made_on_purpose_are_the_same_everywhere() -> None:
    config = compose("columns=[index,corrupted,error,error_depth,error_step,step_labels]")
    made = {split.name: table(config, split.name, 7, 7 + ROWS).to_pylist() for split in config.splits}
    assert {name: digest(rows) for name, rows in made.items()} == json.loads(GOLDEN.read_text())["critic"]
