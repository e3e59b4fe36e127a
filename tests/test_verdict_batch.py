"""Verdicts on many texts, compiled, are those of the plain reference, whatever the texts are.

`FASTGEN_VERDICT_TEXTS` is how many texts each config is tried with (default 60).
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from functools import cache
from itertools import combinations, pairwise, product
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgen import shard
from fastgen.doors import compose
from fastgen.engine import Example, example
from fastgen.text.batch import parse_blocks
from fastgen.text.parse import MISSING, parse
from fastgen.text.render import render
from fastgen.transforms import RECORDS, Transformation
from fastgen.verdict import judge
from fastgen.verdict.batch import verify
from fastgen.verdict.corrupt import corrupt
from fastgen.verdict.kinds import KINDS, WHOSE
from fastgen.verdict.reference import verify_one
from fastgen.verdict.reward import reward

TEXTS = int(os.environ.get("FASTGEN_VERDICT_TEXTS", "60"))
TASKS = ("task=infer", "task=execute", "task=plan", "task=direct")
FORMATS = ("text=full", "text=result", "text=names", *(f"text.step=[{step}]" for step in ("a,r", "b", "a", "r,b,a")))
SHAPES = (
    ("k=2",),
    ("k=256", "length=5"),
    ("k=257", "length={min: 1, max: 9}"),
    ("k=65536", "length={min: 1, max: 4}"),
    ("length=300", "chain.max=2"),  # numbers above k, and step codes of 64 bits
    ("graph=mixed", "split=parts", "length={min: 1, max: 12}"),
    ("spelling=letters",),
)
WORDS = ("0", "1", "2", "10", "11", "12", "99999999999", ",", ";", ".", "->", ":", "?")
HEADS = ("sort", "add7", "add99", "multiply3", "rank", "cumsum", "cummax", "square", "reverse", "rotate25")


@cache
def config_of(*keys):
    return compose(*keys)


def both(prompts, texts, config, intended=None):
    """The verdicts of many, which are those of each."""
    intended = [MISSING] * len(texts) if intended is None else intended
    found = verify(pa.array(prompts, pa.binary()), pa.array(texts, pa.binary()), config, intended)
    for r, (prompt, text, chain_id) in enumerate(zip(prompts, texts, intended, strict=True)):
        expected = verify_one(parse(text or b"", config, prompt), config, None if chain_id < 0 else chain_id)
        assert found.row(r) == expected, (prompt, text)
    assert found.table().num_rows == len(texts)
    return found


def edited(text, random, config):
    """The text with some tokens replaced, removed, doubled or exchanged, and sometimes cut."""
    tokens = text.split(" ")
    for _ in range(random.choice([0, 1, 1, 2, 3, 6])):
        place = random.randrange(1, len(tokens))
        new = random.choice([*WORDS, *HEADS, str(config.k - 1), str(config.k), str(config.k + 3)])
        edit = random.choice([[new], [new], [], [tokens[place]] * 2, [random.choice(tokens)]])
        tokens[place : place + 1] = edit
        tokens = [*tokens, ""] if len(tokens) < 2 else tokens
    return " ".join(tokens[: random.randrange(len(tokens) + 1)] if random.random() < 0.1 else tokens)


def edited_texts(config, count, seed):
    """Prompts, texts and the chains that were meant; of some, prompt or text is another example's."""
    random, rows = Random(seed), []
    for index in range(count):
        split = random.choice(config.splits).name
        drawn, other = example(config, split, index), example(config, split, index + count)
        prompt, text = render(drawn, config)
        if random.random() < 0.1:
            prompt = edited(prompt, random, config)
        elif random.random() < 0.1:
            prompt, text = random.choice([(render(other, config)[0], text), (prompt, render(other, config)[1])])
        meant = random.choice([MISSING, drawn.chain_id, random.randrange(len(config.chains))])
        rows.append((prompt.encode(), edited(text, random, config).encode(), meant))
    return [list(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("form", FORMATS)
def test_edited_texts_of_all_tasks_and_formats(task, form):
    config = config_of(task, form)
    prompts, texts, meant = edited_texts(config, TEXTS, task + form)
    found = both(prompts, texts, config, meant)
    assert 0 < found.rows["error"].astype(bool).sum() <= TEXTS


@pytest.mark.parametrize("task", TASKS[:3])
@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_edited_texts_of_all_shapes(task, shape):
    config = config_of(task, *shape)
    prompts, texts, meant = edited_texts(config, TEXTS // 10 if config.longest > 100 else TEXTS, task)
    found = both(prompts, texts, config, meant)
    assert found.rows["error"].any()


EVERYWHERE = (*((f"k={k}",) for k in (2, 11, 256, 257, 65536)), *((task, form) for task in TASKS for form in FORMATS))


@pytest.mark.parametrize("keys", EVERYWHERE, ids=" ".join)
def test_every_kind_of_every_transformation(keys):
    """Also where the graph does not have it."""
    config, random = config_of(*keys), Random(" ".join(keys))
    prompts, texts = [], []
    for record in RECORDS.values():
        bound = {None: 0, "modulus": config.k, "length": 8}[record.argument]
        middle = Transformation(record, random.randrange(bound) if bound else None)
        chain = [Transformation(RECORDS["cumsum"]), middle, Transformation(RECORDS["difference"])]
        x = [random.randrange(config.k) for _ in range(8)]
        y, steps = x, []
        for transformation in chain:
            y = transformation(y, config.k, steps)
        drawn = Example(0, 0, tuple(transformation.head for transformation in chain), x, y, steps)
        prompt, right = render(drawn, config)
        prompts.append(prompt.encode())
        texts.append(right.encode())
        for kind, consistent in product(KINDS[1:], (False, True)):
            place = () if kind == "wrong chain" else (random.randrange(4), random.randrange(8))
            with suppress(ValueError):  # this step cannot have that error
                text = corrupt(drawn, config, kind, *place, consistent=consistent)
                prompts.append(prompt.encode())
                texts.append(text.encode())
    found = both(prompts, texts, config)
    assert found.rows["valid"].sum() >= len(RECORDS)
    assert found.rows["error"].any()


def test_a_result_may_be_forced_whatever_it_is():
    """The sum 3 + 9 is 1; the y of the prompt and the text have another number there."""
    steps = "0 3 3 , 3 1 4 , 4 4 8 , 8 1 9 , 9 5 3 , 3 9 {0} , {0} 2 3 , 3 6 9"
    prompts = [f"3 1 4 1 5 9 2 6 -> 3 4 8 9 3 {r} 3 9 :".encode() for r in range(11)]
    texts = [f" cumsum {steps.format(r)} .".encode() for r in range(11)]
    found = both(prompts, texts, config_of())
    assert [KINDS[code] for code in found.rows["error"]] == ["forced", "", *["forced"] * 9]
    assert found.rows["forced"].tolist() == [r != 1 for r in range(11)]


def test_a_chain_that_is_the_same_function_is_told():
    config = config_of()
    number = config.classes.number
    one, other = next((i, j) for i, j in combinations(range(len(number)), 2) if number[i] == number[j])
    x, y, steps = [3, 1, 4, 1, 5, 9, 2, 6], [3, 1, 4, 1, 5, 9, 2, 6], []
    for transformation in config.chains[one].transformations:
        y = transformation(y, config.k, steps)
    prompt, text = render(Example(0, one, config.chains[one].heads, x, y, steps), config)
    found = both([prompt.encode()] * 4, [text.encode()] * 4, config, [MISSING, one, other, (one + 1) % len(number)])
    assert [WHOSE[code] for code in found.rows["whose"]] == ["explains", "intended", "same function", "explains"]


def test_names_behind_a_plan_must_be_those_of_the_plan():
    config = config_of("task=plan", "text=names")
    drawn = example(config, "train", 0)
    prompt, text = render(drawn, config)
    chain = " ; ".join(drawn.chain)
    assert text == f" {chain} : {chain} ."
    texts = [text, f" {chain} : rank ; {chain} .", f" {chain} : {chain.replace(drawn.chain[0], 'square')} ."]
    found = both([prompt.encode()] * 3, [each.encode() for each in texts], config, [drawn.chain_id] * 3)
    assert found.rows["exact"].tolist() == [1, 0, 0]


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), min_size=1, max_size=5),
    st.sampled_from(TASKS),
    st.sampled_from(("", "3 1 4 1 5 9 2 6 -> 1 1 2 3 4 5 6 9 :", "3 1 4 : sort ; add3 ->")),
)
@settings(max_examples=150, deadline=None)
def test_garbage(pairs, task, prompt):
    prompts, texts = map(list, zip(*pairs, strict=True))
    both([prompt.encode() or each for each in prompts], texts, config_of(task))


def test_nulls_and_no_texts():
    config = config_of()
    assert both([], [], config).table().num_rows == 0
    prompt, text = (side.encode() for side in render(example(config, "train", 0), config))
    found = both([prompt, None, prompt, prompt], [text, text, None, b""], config)
    assert found.rows["valid"].tolist() == [True, False, False, False]
    empty = verify(pa.chunked_array([], pa.string()), pa.chunked_array([], pa.string()), config)
    assert (empty.chains, empty.table().num_rows) == ([], 0)
    with pytest.raises(TypeError, match="texts: must be an Arrow array"):
        verify(pa.array([prompt]), ["text"], config)
    with pytest.raises(ValueError, match=r"prompts: there are 1, and 2 texts"):
        verify(pa.array([prompt]), pa.array([text, text]), config)


@pytest.mark.parametrize("task", ["task=infer", "task=plan"])
def test_ten_megabytes_of_anything(task):
    config, random = config_of(task), Random(0)
    prompt, text = (side.encode() for side in render(example(config, "train", 0), config))
    steps = text.partition(b" ;")[0] + b" ;"
    long = [b" ".join(random.choices([b"sort", b"add3", b",", b";", b"1", b"7"], k=4_000_000)), steps * 200_000]
    texts = [text, *(each[:10_000_000] for each in long), bytes(10_000_000), text]
    found = verify(pa.array([prompt] * 5), pa.array(texts, pa.binary()), config)
    assert found.rows["valid"].tolist() == [True, False, False, False, True]
    assert found.rows["faults"][1:4].min() > 0
    assert found.table()["depth"].to_pylist()[1:3] == [255, 255] if task == "task=infer" else True


def test_blocks_do_not_matter():
    """Texts are judged some thousand at a time, wherever an array is chunked, and though the last are the longest."""
    config = config_of("text=result")
    prompts, texts, meant = edited_texts(config, 120, "blocks")
    rows = sorted(zip(prompts, texts, meant, strict=True), key=lambda row: len(row[1]))
    prompts, texts, meant = ([each for each in column for _ in range(80)][3:] for column in zip(*rows, strict=True))
    chunked = pa.chunked_array([texts[:1000], texts[1000:1001], texts[1001:]], pa.binary())
    whole = verify(pa.array(prompts, pa.binary()), chunked, config, np.array(meant))
    edges = [0, 1, 50, 5000, len(texts)]
    for start, stop in pairwise(edges):
        part = verify(pa.array(prompts[start:stop]), pa.array(texts[start:stop]), config, pa.array(meant[start:stop]))
        assert part.table() == whole.table().slice(start, stop - start)
        for name, values in part.steps.items():
            assert np.array_equal(values, whole.steps[name][whole.offsets[start] : whole.offsets[stop]]), name
    sizes = [batch.fault_count.size for batch in parse_blocks(chunked, config, rows=7, size=10_000)]
    assert sum(sizes) == len(texts)
    assert max(sizes) <= 7


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("task", TASKS)
def test_no_false_alarm(task, form):
    config = config_of(task, form)
    rows = shard.table(config, "validation", 0, 50 * TEXTS)
    found = verify(rows["prompt"], rows["completion"], config, rows["chain_id"])
    assert found.rows["valid"].all()
    assert found.rows["answer"].all()
    assert not found.rows["error"].any()
    assert not found.steps["kind"].any()
    assert not found.steps["after"].any()
    assert (found.rows["exact"] == 1).all()
    assert set(found.rows["whose"]) == {WHOSE.index("none" if task == "task=direct" else "intended")}
    if form == "text=full" and task in ("task=infer", "task=execute"):
        assert found.table()["chain"].to_pylist() == rows["chain"].to_pylist()


@pytest.fixture
def other_records(monkeypatch):
    """A function that replaces the `result` of a record, and forgets what was derived from it."""

    def replace(name, function):
        monkeypatch.setattr(RECORDS[name], "of_operands", function)
        judge.rules.cache_clear()

    yield replace
    monkeypatch.undo()
    judge.rules.cache_clear()


def test_a_record_need_not_say_how_its_results_come_about(other_records):
    other_records("difference", None)
    config = config_of()
    found = both(*edited_texts(config, TEXTS, "no result")[:2], config)
    assert found.rows["error"].any()


def test_a_result_that_can_not_be_compiled_is_left_to_plain_python(other_records):
    other_records("difference", lambda a, b, k: int(str(a - b)) % k)
    config = config_of()
    assert judge.rules(config).numbers["plain"]
    found = both(*edited_texts(config, TEXTS, "plain")[:2], config)
    assert {0, 1} <= set(found.rows["error"].astype(bool).astype(int))


def test_vectors_that_the_kernels_do_not_take_are_left_to_plain_python():
    config = config_of()
    x = [3] * 300
    steps = " , ".join(["3 3 6"] * 299 + ["3 3 7"])
    prompt = f"{' '.join(map(str, x))} -> {' '.join(['6'] * 300)} :"
    found = both([prompt.encode()] * 2, [f" add3 {steps} .".encode(), b" add3 3 3 6 ."], config)
    assert KINDS[found.rows["error"][0]] == "off by one"


def test_chains_are_shared_and_tables_say_what_rows_say():
    config = config_of("task=plan")
    prompts, texts, meant = edited_texts(config, 4 * TEXTS, "table")
    found = both(prompts * 2, texts * 2, config, meant * 2)
    table, half = found.table().to_pylist(), len(texts)
    assert all(found.chains[r] is found.chains[r + half] for r in range(half))
    for r in range(half):
        verdict, row = found.row(r), table[r]
        assert verdict.chain == found.chains[r]
        assert row["chain"] == " ".join(head or "?" for head in verdict.chain)
        assert row["depth"] == len(verdict.chain)
        for name in ("owner", "error_head", "chain_id", "whose", "fault", "error", "exact", "error_depth"):
            assert row[name] == getattr(verdict, name), name
        assert row["wrong"] == sum(bool(step.kind) for step in verdict.steps)
        after = Counter(step.after for step in verdict.steps)
        assert (row["propagated"], row["restored"], row["new"]) == tuple(
            after[name] for name in ("propagated", "restored", "new error")
        )


@pytest.mark.parametrize("keys", [("text=full",), ("text=result",), ("text=names",), ("length={min: 2, max: 9}",)])
def test_the_reward_is_the_mean_of_its_parts(keys):
    config = config_of(*keys)
    prompts, texts, _ = edited_texts(config, TEXTS, "reward")
    texts = [text.decode() for text in texts]
    prompts = [prompt.decode() for prompt in prompts]
    found = reward(prompts, texts, config)
    assert 1 in found
    assert min(found) < 1
    for prompt, text, value in zip(prompts, texts, found, strict=True):
        verdict = verify_one(parse(text, config, prompt), config)
        right = share = float(verdict.valid and verdict.answer)
        if config.grammar.step and verdict.steps:
            before = next((i for i, step in enumerate(verdict.steps) if step.kind), len(verdict.steps))
            share = before / max(len(verdict.steps), config.splits[0].length.min)
        assert value == pytest.approx((verdict.parsed + share + right) / 3 if share else 0), text
