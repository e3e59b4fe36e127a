"""Text out: the reference by hand, the kernel against the reference, sizes and offsets."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import fastgen, variant

from fastgen import write
from fastgen.engine import Example, example
from fastgen.settings import CONF, Config, compose, restore
from fastgen.shard import table
from fastgen.text.render import most, render

TEXTS, TASKS, SPELLINGS, GRAPHS = (
    sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("text", "task", "spelling", "graph")
)
LONG = "ñ" * 32  # 64 bytes, the most that a word has
FOREIGN = {
    "words": {"sort": LONG, "add": "más", ";": "luego", ",": "、", "->": "⇒", ".": "punto-final"},
    "numbers": [f"número_{value}_" + "z" * (value % 40) for value in range(300)],
}


def same(config: Config, rows: int = 40) -> None:
    """The kernel gives what the reference does, in every split, from an odd place on."""
    for split in config.splits:
        made = table(config, split.name, 3, 3 + rows)
        made.validate(full=True)
        expected = [render(example(config, split.name, index), config) for index in range(3, 3 + rows)]
        for i, name in enumerate(("prompt", "completion")):
            if name in config.columns:
                assert made[name].to_pylist() == [texts[i] for texts in expected]


# The reference


SORT = [(13, 0, 1, 1), (13, 1, 3, 1), (13, 2, 0, 3), (13, 3, 2, 4)]
CUMSUM = [(5, 0, 1, 1), (5, 1, 1, 2), (5, 2, 3, 5), (5, 5, 4, 9)]
BY_HAND = Example(0, 0, ("sort", "cumsum"), [3, 1, 4, 1], [1, 2, 5, 9], SORT + CUMSUM)
FULL = "sort 0 1 1 , 1 3 1 , 2 0 3 , 3 2 4 ; cumsum 0 1 1 , 1 1 2 , 2 3 5 , 5 4 9"


@pytest.mark.parametrize(
    ("overrides", "prompt", "completion"),
    [
        ([], "3 1 4 1 -> 1 2 5 9 :", f" {FULL} ."),
        (["task=execute"], "3 1 4 1 : sort ; cumsum :", f" {FULL} -> 1 2 5 9 ."),
        (["task=plan"], "3 1 4 1 -> 1 2 5 9 :", f" sort ; cumsum : {FULL} ."),
        (["task=direct"], "3 1 4 1 : sort ; cumsum ->", " 1 2 5 9 ."),
        (["text=result"], "3 1 4 1 -> 1 2 5 9 :", " sort 1 1 3 4 ; cumsum 1 2 5 9 ."),
        (["text=names"], "3 1 4 1 -> 1 2 5 9 :", " sort ; cumsum ."),
        (["text=result", "spelling=letters"], "d b e b -> b c f j :", " sort b b d e ; cumsum b c f j ."),
        (
            ['task.prompt="{x} to {y} in {depth} mod {k} :"', "+spelling.words.cumsum=sums", "text=names"],
            "3 1 4 1 to 1 2 5 9 in 2 mod 11 :",
            " sort ; sums .",
        ),
    ],
)
def test_texts_by_hand(overrides: list[str], prompt: str, completion: str) -> None:
    assert render(BY_HAND, compose(*overrides)) == (prompt, completion)


def test_a_preamble_stands_before_the_prompt_and_nowhere_else() -> None:
    config = compose("text.preamble=short")
    assert config.grammar.preamble
    assert render(BY_HAND, config) == (f"{config.grammar.preamble}3 1 4 1 -> 1 2 5 9 :", f" {FULL} .")


# The kernel


@pytest.mark.parametrize(("text", "task", "spelling"), list(product(TEXTS, TASKS, SPELLINGS)))
def test_every_group_equals_the_reference(text: str, task: str, spelling: str) -> None:
    same(compose(f"text={text}", f"task={task}", f"spelling={spelling}", "n=1000"))


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_equals_the_reference(graph: str) -> None:
    same(compose(f"graph={graph}", "n=1000", "k=101", "length={min:1,max:20}"))


@pytest.mark.parametrize("k", [2, 3, 7, 11, 127, 128, 255, 256, 257, 65_536])
@pytest.mark.parametrize("step", [["a", "b", "r"], ["r"], ["b", "a"], []])
def test_every_modulus_equals_the_reference(k: int, step: list[str]) -> None:
    config = variant(compose("n=1000"), k=k, length={"min": 1, "max": 9})
    same(variant(config, text={"step": step, "preamble": "none"}))


@pytest.mark.parametrize("length", [1, 2, 9, 255, 256, 257, {"min": 1, "max": 300}])
def test_every_length_equals_the_reference(length: object) -> None:
    same(variant(compose("n=1000", "graph=mixed"), length=length), rows=10)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("k", [11, 300])
def test_a_foreign_spelling_equals_the_reference(task: str, k: int) -> None:
    base = compose("n=1000", f"task={task}", "text.preamble=full")
    task_words = {word: spelled for word, spelled in FOREIGN["words"].items() if word in {"sort", "add", ";", ","}}
    same(variant(base, k=k, spelling={"words": task_words, "numbers": FOREIGN["numbers"]}))


@pytest.mark.parametrize("columns", [["prompt"], ["completion"], ["index", "x"]])
def test_only_the_columns_that_are_asked_for(columns: list[str]) -> None:
    config = variant(compose("n=1000"), columns=columns)
    assert table(config, "train", 0, 5).column_names == columns
    same(config)


def test_files_hold_the_text(tmp_path) -> None:
    done = fastgen("run", "n=3000", "text.preamble=short", "task=plan", "k=300", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = restore(compose("n=3000", "text.preamble=short", "task=plan", "k=300").identity(), "out")
    for split in config.splits:
        (path,) = (tmp_path / "out/data" / f"split={split.name}").iterdir()
        written = pq.read_table(path, partitioning=None)
        assert {written.schema.field(name).type for name in ("prompt", "completion")} == {pa.string()}
        for index in (0, 1, split.rows - 1):
            texts = tuple(written[name][index].as_py() for name in ("prompt", "completion"))
            assert texts == render(example(config, split.name, index), config)


# Sizes


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_larger_than_the_most(text: str, task: str) -> None:
    config = compose(f"text={text}", f"task={task}", "n=5000", "k=101", "length={min:1,max:12}")
    made = table(config, "train", 0, 3000)
    for name, size in most(config).items():
        assert max(len(each.encode()) for each in made[name].to_pylist()) <= size


def test_the_most_is_reached() -> None:
    """Where every number has as many bytes: letters, and a field of a step code that holds no other."""
    config = compose("graph=small", "n=100", "spelling=letters", "chain.min=2", "text=names", "task=plan")
    made = table(config, "train", 0, 80)
    longest = max(len(each) for each in made["completion"].to_pylist())
    assert longest == most(config)["completion"]


@pytest.mark.parametrize("length", [1, 300, 65_536])
@pytest.mark.parametrize("graph", ["deep", "default"])
def test_a_batch_of_text_stays_below_the_largest_offset(graph: str, length: int) -> None:
    numbers = [str(value).rjust(64, "n") for value in range(65_536)]
    config = variant(compose(f"graph={graph}"), length=length, spelling={"words": {}, "numbers": numbers})
    assert max(most(config).values()) * write.group_rows(config) < 2**31


def test_rows_used_again_hold_nothing_of_before() -> None:
    config = compose("n=1000")
    some = replace(config, columns=("completion",))
    assert table(some, "train", 0, 50)["completion"].equals(table(config, "train", 0, 50)["completion"])
