"""Verdicts: what a text got right, and the kind and place of its first error."""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pytest

from fastgen.doors import compose
from fastgen.engine import example
from fastgen.text.parse import parse
from fastgen.text.render import render
from fastgen.verdict.batch import verify
from fastgen.verdict.kinds import CLASSES, KINDS, RECORD_OF_KINDS
from fastgen.verdict.reference import verify_one
from fastgen.verdict.reward import reward

TASKS = ("text=full", "text=result", "text=names", "task=execute", "task=plan", "task=direct")
X = "3 1 4 1 5 9 2 6"
ADD = "6 4 7 4 8 1 5 9"
SORTED = "1 1 2 3 4 5 6 9"
ADDED = " add3 3 3 6 , 1 3 4 , 4 3 7 , 1 3 4 , 5 3 8 , 9 3 1 , 2 3 5 , 6 3 9 ."
SUMMED = " cumsum 0 3 3 , 3 1 4 , 4 4 8 , 8 1 9 , 9 5 3 , 3 9 1 , 1 2 3 , 3 6 9 ."
SUMS = "3 4 8 9 3 1 3 9"
ORDERED = " sort 0 1 1 , 1 3 1 , 2 6 2 , 3 0 3 , 4 2 4 , 5 4 5 , 6 7 6 , 7 5 9 ."
TURNED = " reverse 0 7 6 , 1 6 2 , 2 5 9 , 3 4 5 , 4 3 1 , 5 2 4 , 6 1 1 , 7 0 3 ."
RANKED = " rank 3 3 3 , 1 0 0 , 4 4 4 , 1 0 0 , 5 5 5 , 9 7 7 , 2 2 2 , 6 6 6 ."
RANKS = "3 0 4 0 5 7 2 6"


@cache
def config_of(*keys):
    return compose(*keys)


def judged(prompt, text, *keys, intended=None):
    config = config_of(*keys)
    return verify_one(parse(text, config, prompt), config, intended)


EXAMPLES = {
    "format": (ADD, ADDED, "1 3 4 , 4", "1 3 ? , 4", (0, 1)),
    "position": (SORTED, ORDERED, "2 6 2", "5 6 2", (0, 2)),
    "skipped": (ADD, ADDED, "4 3 7 , ", "", (0, 2)),
    "repeated": (SORTED, ORDERED, "2 6 2 ,", "2 6 2 , 2 6 2 ,", (0, 3)),
    "argument": (ADD, ADDED, "5 3 8", "5 4 9", (0, 4)),
    "operand": (ADD, ADDED, "5 3 8", "6 3 9", (0, 4)),
    "copy": (SORTED, ORDERED, "2 6 2", "2 6 3", (0, 2)),
    "source": (SORTED, ORDERED, "2 6 2", "2 0 3", (0, 2)),
    "unstable": (SORTED, ORDERED, "0 1 1 , 1 3 1", "0 3 1 , 1 1 1", (0, 0)),
    "count": (RANKS, RANKED, "5 5 5", "5 6 6", (0, 4)),
    "off by one": (ADD, ADDED, "9 3 1", "9 3 2", (0, 5)),
    "no modulo": (SUMS, SUMMED, "9 5 3", "9 5 14", (0, 4)),
    "other operation": (ADD, ADDED, "5 3 8", "5 3 4", (0, 4)),
    "wrong result": (ADD, ADDED, "4 3 7", "4 3 0", (0, 2)),
    "other transformation": (ADD, ORDERED, "sort", "reverse", (0, 0)),
    "forced": (SUMS.replace("1 3 9", "7 3 9"), SUMMED, "3 9 1 , 1 2 3", "3 9 7 , 7 2 3", (0, 5)),
    "wrong chain": (ADD, ORDERED, "", "", (None, None)),
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_one_example_of_each(kind):
    y, right, old, new, place = EXAMPLES[kind]
    assert old in right
    text = right.replace(old, new, 1)
    found = judged(f"{X} -> {y} :", text)
    assert (found.error, (found.error_depth, found.error_step)) == (kind, place), found
    assert not found.valid or kind == "wrong chain"


def test_every_kind_has_an_example():
    assert {*EXAMPLES, "disobeyed"} == set(KINDS[1:])
    assert len(set(KINDS)) == len(KINDS)
    assert {kind.group for kind in RECORD_OF_KINDS} == set(CLASSES)


@pytest.mark.parametrize(
    ("y", "text"), [(ADD, ADDED), (SUMS, SUMMED), (SORTED, ORDERED), ("6 2 9 5 1 4 1 3", TURNED), (RANKS, RANKED)]
)
def test_right_steps_have_no_error(y, text):
    found = judged(f"{X} -> {y} :", text)
    assert found.answer
    assert found.error is None
    assert not any(step.kind or step.after for step in found.steps)


def test_disobeyed_is_another_head_than_the_given_one():
    found = judged(f"{X} : add3 :", ORDERED.replace(" .", f" -> {SORTED} ."), "task=execute")
    assert (found.error, found.error_depth, found.error_step, found.error_head) == ("disobeyed", 0, 0, "sort")
    planned = judged(f"{X} -> {SORTED} :", f" add3 :{ORDERED}", "task=plan")
    assert (planned.error, planned.answer, planned.chain) == ("disobeyed", True, ("add3",))


def test_only_the_result_is_judged_where_only_it_is_shown():
    found = judged(f"{X} -> {ADD} :", " add3 6 4 7 4 8 2 5 9 .", "text=result")
    assert (found.error, found.error_step, found.answer) == ("wrong result", 5, False)
    found = judged(f"{X} -> {SUMS} :", " cumsum 3 5 9 10 4 2 4 10 .", "text=result")
    assert [step.kind for step in found.steps] == ["", "wrong result", *[""] * 6]


def test_names_are_judged_by_where_they_lead():
    assert judged(f"{X} -> {ADD} :", " add3 .", "text=names").answer
    found = judged(f"{X} -> {ADD} :", " sort .", "text=names")
    assert (found.answer, found.valid, found.error) == (False, False, "wrong chain")


def test_direct_is_judged_by_its_answer():
    assert judged(f"{X} : add3 ->", f" {ADD} .", "task=direct").valid
    found = judged(f"{X} : add3 ->", f" {ADD.replace('7', '0')} .", "task=direct")
    assert (found.valid, found.answer, found.error, found.error_step) == (False, False, "wrong result", 2)
    assert found.whose == "none"


def test_a_head_of_no_path_is_executed():
    found = judged(
        f"{X} -> 10 8 0 8 1 5 9 2 :", " add7 3 7 10 , 1 7 8 , 4 7 0 , 1 7 8 , 5 7 1 , 9 7 5 , 2 7 9 , 6 7 2 ."
    )
    assert (found.valid, found.answer, found.chain_id, found.whose) == (True, True, None, "illegal")


def test_what_comes_after_the_first_error():
    text = SUMMED.replace("4 4 8 , 8 1 9 , 9 5 3 ,", "4 4 9 , 9 1 10 , 9 5 3 ,")
    found = judged(f"{X} -> {SUMS} :", text)
    assert [step.kind for step in found.steps] == ["", "", "off by one", "", "copy", "", "", ""]
    assert [step.after for step in found.steps] == ["", "", "", "propagated", "new error", *["restored"] * 3]
    assert found.steps[2].expected == 8
    assert [(step.due_a, step.due_b) for step in found.steps[2:5]] == [(4, 4), (9, 1), (10, 5)]


def test_where_no_result_is_shown_the_last_vector_is_what_the_operands_give():
    found = judged(f"{X} -> {SORTED} :", " sort 1 3 6 0 2 4 7 5 .", "text.step=[b]")
    assert (found.valid, found.answer, found.error) == (True, True, None)
    found = judged(f"{X} -> {SORTED} :", " sort 1 3 6 0 2 4 5 7 .", "text.step=[b]")
    assert (found.answer, found.error, found.error_step) == (False, "source", 6)
    found = judged(f"{X} -> {SUMS} :", " cumsum 0 3 4 8 9 3 1 .", "text.step=[a]")
    assert (found.error, found.error_step) == ("skipped", 7)


def test_what_was_due_follows_from_the_state_even_where_no_operand_is_shown():
    found = judged(f"{X} -> {SUMS} :", " cumsum 3 5 9 8 3 1 3 9 .", "text=result")
    assert [(step.due_a, step.due_b, step.expected) for step in found.steps[:3]] == [(0, 3, 3), (3, 1, 4), (5, 4, 9)]
    found = judged(f"{X} -> {SORTED} :", ORDERED.replace("2 6 2", "3 6 2"))
    assert [(step.due_a, step.due_b) for step in found.steps[:3]] == [(0, 1), (1, 3), (2, 6)]
    found = judged(f"{X} -> {SORTED} :", ORDERED.replace("2 6 2 ,", "2 6 2 , 2 6 2 ,").replace("sort", "soort"))
    assert {(step.due_a, step.due_b) for step in found.steps} == {(-1, -1)}


@pytest.mark.parametrize("key", TASKS)
def test_right_texts_are_right(key):
    config = config_of(key)
    examples = [example(config, split.name, index) for split in config.splits for index in range(200)]
    prompts, texts = zip(*(render(each, config) for each in examples), strict=True)
    table = verify(pa.array(prompts), pa.array(texts), config, [each.chain_id for each in examples]).table()
    for column in ("parsed", "valid", "answer", "exact"):
        assert table[column].to_pylist() == [True] * len(examples), column
    assert table["error"].null_count == len(examples)
    assert set(table["whose"].to_pylist()) == ({"none"} if key == "task=direct" else {"intended"})


def test_bad_arguments_are_refused():
    config = config_of()
    one = pa.array(["x"])
    with pytest.raises(ValueError, match="give one for each"):
        verify(one, one, config, [1, 2])
    with pytest.raises(ValueError, match="must be chain ids"):
        verify(one, one, config, [60_000])


def test_the_reward_is_for_what_was_derived():
    config = config_of()
    drawn = example(config, "train", 3)
    prompt, right = render(drawn, config)
    y = " ".join(map(str, drawn.y))
    wrong = right[:-3] + "0 ." if right[-3:] != "0 ." else right[:-3] + "1 ."
    texts = [right, wrong, "", f" {y} .", "the answer is" + right, f" add3 {y} ."]
    found = reward([prompt] * len(texts), texts, config)
    assert found[0] == 1
    assert 0.5 < found[1] < 2 / 3
    assert found[2:4] == [0, 0]
    assert all(value < 1 / 3 for value in found[4:])
    assert reward([], [], config) == []
