"""Ids, labels and roles: the kernel against the reference, the reference against the words of the rendered text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from helpers import variant

from fastgen import engine
from fastgen.doors import CONF, compose
from fastgen.text.grammar import EOS, SPECIALS, STEP, UNKNOWN
from fastgen.text.render import render
from fastgen.text.tokens import IGNORED, ROLES, Tokens, count, dtypes, fill, mean_and_largest, most, tokens
from fastgen.trace import pack

COLUMNS = ("input_ids", "labels", "roles")
GRAPHS, TEXTS, TASKS, SPELLINGS = (
    sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("graph", "text", "task", "spelling")
)
MODULI = (2, 11, 250, 255, 256, 257, 65_536)
LENGTHS = (1, 2, 8, 33, 257, {"min": 3, "max": 20})
COUNT = 20
GUARD, POISON = 64, 0x5A

default = cache(lambda: compose(f"columns=[{','.join(COLUMNS)}]", "n=1e6"))


def with_preamble(config, preamble):
    return replace(config, grammar=replace(config.grammar, preamble=preamble))


class Guarded(Tokens):
    """Tokens whose arrays are poisoned, and have a guard behind their end."""

    def __init__(self, config, capacity):
        super().__init__(config, capacity)
        self.whole = {name: np.full(array.size + GUARD, POISON, array.dtype) for name, array in self.columns.items()}
        self.columns = {name: array[:-GUARD] for name, array in self.whole.items()}

    def check_guards(self, rows):
        for name, array in self.whole.items():
            assert (array[self.offsets[rows] :] == POISON).all(), f"written beyond the last row of {name}"


def kernel(config, split, start, rows, capacity=None):
    """name -> a list per row."""
    block = engine.Rows(config, capacity or rows)
    engine.fill(block, config, config.find(split), start, start + rows)
    found = Guarded(config, capacity or rows)
    fill(found, config, block)
    found.check_guards(rows)
    return {name: lists(array, found.offsets[: rows + 1]) for name, array in found.columns.items()}


def lists(array, offsets):
    return [array[first:last].tolist() for first, last in pairwise(offsets)]


def reference(config, split, start, rows):
    """name -> a list per row, after a look at the text."""
    found = {name: [] for name in COLUMNS}
    for index in range(start, start + rows):
        example = engine.example(config, split, index)
        ids, labels, roles = tokens(example, config)
        assert (ids, labels) == of_text(render(example, config), config.grammar)
        assert len(ids) == count(config.grammar, len(example.chain), len(example.x)) <= most(config)
        found["input_ids"].append(ids)
        found["labels"].append(labels)
        found["roles"].append([ROLES.index(role) for role in roles])
    return found


@cache
def lookup(grammar):
    return {token: place for place, token in enumerate(grammar.vocabulary)}


def of_text(texts, grammar):
    """Ids and labels of a prompt and a completion, from their words."""
    places = lookup(grammar)
    prompt, completion = ([places.get(word, UNKNOWN) for word in text.split()] for text in texts)
    return [*prompt, *completion, EOS], [*[IGNORED] * len(prompt), *completion, EOS]


def assert_equal(config, split="train", start=12_345, rows=COUNT):
    found = kernel(config, split, start, rows)
    expected = reference(config, split, start, rows)
    assert tuple(found) == config.columns
    for name, values in found.items():
        assert values == expected[name], name


@pytest.mark.parametrize(("graph", "text", "task"), list(product(GRAPHS, TEXTS, TASKS)))
def test_every_graph_text_and_task(graph, text, task):
    assert_equal(compose(f"graph={graph}", f"text={text}", f"task={task}", f"columns=[{','.join(COLUMNS)}]", "n=1e6"))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling(spelling, task):
    assert_equal(compose(f"spelling={spelling}", f"task={task}", f"columns=[{','.join(COLUMNS)}]", "n=1e6"))


@pytest.mark.parametrize("step", [(), *((name,) for name in STEP), ("a", "b"), ("r", "a"), ("r", "b", "a"), STEP])
@pytest.mark.parametrize("k", [11, 257])
def test_every_subset_of_a_step(step, k):
    assert_equal(variant(default(), text={"step": list(step), "preamble": "none"}, k=k, length={"min": 1, "max": 9}))


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize("k", MODULI)
def test_moduli_and_lengths(k, length):
    length = length if isinstance(length, dict) else {"min": length, "max": length}
    assert_equal(variant(default(), k=k, length=length), rows=5)


@pytest.mark.parametrize("preamble", ["Some words here.\n", "Add 3 , then\tsort :\n\n", "word " * 400])
@pytest.mark.parametrize("k", [11, 65_536])
def test_a_preamble(preamble, k):
    config = with_preamble(variant(default(), k=k), preamble)
    assert_equal(config)
    ids, labels, roles = tokens(engine.example(config, "train", 0), config)
    words = len(preamble.split())
    assert [config.grammar.vocabulary[token] for token in ids[:words]] == preamble.split()
    assert set(labels[:words]) == {IGNORED}
    assert set(roles[:words]) == {"instruction"} != {roles[words]}


@pytest.mark.parametrize("preamble", ["short", "full"])
def test_the_preambles_of_the_config(preamble):
    assert_equal(compose(f"text.preamble={preamble}", f"columns=[{','.join(COLUMNS)}]"))


TEMPLATES = [
    ("{k} of {depth} in {x} out {y} :", " {trace} ."),
    ("{chain} on {x} mod {k} :", " {trace} so {y} end"),
    ("{x} -> {y} in {depth} :", " {chain} ."),
    ("{x} -> {y} :", " {depth} : {trace} ."),
]


@pytest.mark.parametrize("k", [2, 256, 65_536])
@pytest.mark.parametrize(("prompt", "completion"), TEMPLATES)
def test_templates_of_ones_own(prompt, completion, k):
    config = variant(default(), k=k, length={"min": 2, "max": 5}, task={"prompt": prompt, "completion": completion})
    assert_equal(config)


def test_a_foreign_spelling():
    words = {"sort": "ordena", "add": "más", ";": "luego", ",": "、", "->": "da", ".": "。"}
    numbers = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez" * 10]
    assert_equal(variant(default(), spelling={"words": words, "numbers": numbers}))


@pytest.mark.parametrize("columns", [["labels"], ["roles", "x"], ["input_ids", "roles"], ["index", "trace"]], ids=str)
def test_only_the_columns_asked_for(columns):
    config = variant(default(), columns=columns)
    found, expected = kernel(config, "train", 0, COUNT), reference(config, "train", 0, COUNT)
    assert found == {name: expected[name] for name in COLUMNS if name in columns}


def test_arrays_are_reused():
    """A full block, then fewer rows of another split."""
    config, capacity = default(), 300
    found, rows = Guarded(config, capacity), engine.Rows(config, capacity)
    for split, start, size in (("train", 0, capacity), ("validation", 7, 3), ("train", 5, 0)):
        for array in found.whole.values():
            array.fill(POISON)
        engine.fill(rows, config, config.find(split), start, start + size)
        fill(found, config, rows)
        found.check_guards(size)
        expected = reference(config, split, start, size)
        for name, array in found.columns.items():
            assert lists(array, found.offsets[: size + 1]) == expected[name]


@pytest.mark.parametrize("step", [[], ["a"], ["a", "b"], ["a", "b", "r"]], ids=str)
@pytest.mark.parametrize("text", TEXTS)
def test_the_largest_rows_fit(text, step):
    """Every row of a block is as long as a row can be."""
    config = variant(default(), text={"step": step, "preamble": "none"}, chain={"min": 4, "max": 4, "weights": None})
    found, rows = Guarded(config, 9), engine.Rows(config, 9)
    engine.fill(rows, config, config.find("train"), 0, 9)
    fill(found, config, rows)
    found.check_guards(9)
    assert found.offsets.tolist() == [most(config) * row for row in range(10)]


@pytest.mark.parametrize("k", [11, 257])
def test_values_that_are_no_numbers_are_unknown(k):
    """A plug-in could log operands past the numbers of the vocabulary: all that a field holds, tokens or `<unk>`."""
    config = variant(default(), k=k)
    rows = engine.Rows(config, 1)
    engine.fill(rows, config, config.find("train"), 0, 1)
    example = engine.example(config, "train", 0)
    bits = 2 * rows.trace.itemsize
    largest, edge = 2**bits - 1, config.grammar.count
    odd = [edge - 1, edge, largest, largest - 1, 0]
    steps = [(op, odd[s % 5], odd[s // 2 % 5], odd[s // 3 % 5]) for s, (op, *_) in enumerate(example.steps)]
    rows.trace[: len(steps)] = [pack(step, rows.trace.dtype) for step in steps]
    found = Guarded(config, 1)
    fill(found, config, rows)
    found.check_guards(1)
    example = replace(example, steps=steps)
    ids, labels, roles = tokens(example, config)
    assert UNKNOWN in ids
    assert (ids, labels) == of_text(render(example, config), config.grammar)
    expected = {"input_ids": ids, "labels": labels, "roles": [ROLES.index(role) for role in roles]}
    for name, array in found.columns.items():
        assert array[: found.offsets[1]].tolist() == expected[name]


def test_an_example_token_by_token():
    config = variant(
        default(),
        k=5,
        length={"min": 2, "max": 2},
        graph={"layers": 2, "width": 1, "vertices": ["add3", "reverse"]},
        chain={"min": 2, "max": 2, "weights": None},
        split={"strategy": "random", "seed": 0, "sets": {"train": {"chains": 1}}},
        task={"prompt": "{x} -> {y} of {depth} mod {k} :", "completion": " {trace} ."},
    )
    example = engine.example(config, "train", 0)
    (x0, x1), (y0, y1) = example.x, example.y
    ids, labels, roles = tokens(example, config)
    said = list(zip([config.grammar.vocabulary[token] for token in ids], roles, strict=True))
    prompt = [
        *((str(x0), "element"), (str(x1), "element"), ("->", "punctuation")),
        *((str(y0), "answer"), (str(y1), "answer"), ("of", "punctuation"), ("2", "depth")),
        *(("mod", "punctuation"), ("5", "modulus"), (":", "punctuation")),
    ]
    completion = [
        *(("add3", "head"), (str(x0), "element"), ("3", "constant"), (str(y1), "result"), (",", "punctuation")),
        *((str(x1), "element"), ("3", "constant"), (str(y0), "result"), (";", "punctuation")),
        *(("reverse", "head"), ("0", "position"), ("1", "source"), (str(y0), "result"), (",", "punctuation")),
        *(("1", "position"), ("0", "source"), (str(y1), "result"), (".", "punctuation"), (SPECIALS[EOS], "end")),
    ]
    assert said == prompt + completion
    assert labels == [IGNORED] * len(prompt) + ids[len(prompt) :]


def test_codes_of_roles_never_change():
    """Files hold them: a new role goes behind the last."""
    assert ROLES == (
        *("instruction", "punctuation", "head", "depth", "modulus", "answer", "end"),
        *("position", "source", "element", "previous result", "constant", "count", "result"),
    )


@pytest.mark.parametrize(
    ("size", "ids", "labels"),
    [
        (256, np.uint8, np.int16),
        (257, np.uint16, np.int16),
        (32_768, np.uint16, np.int16),
        (32_769, np.uint16, np.int32),
        (65_536, np.uint16, np.int32),
        (65_537, np.uint32, np.int32),
    ],
)
def test_dtypes_at_their_edges(size, ids, labels):
    """The largest id is in the last word of the preamble."""
    config = default()
    more = size - len(config.grammar.vocabulary)
    config = with_preamble(config, " ".join(f"w{i}" for i in range(more)) + "\n")
    assert len(config.grammar.vocabulary) == size
    assert dtypes(config) == (ids, labels)
    found = Tokens(config, 1)
    assert [array.dtype for array in found.columns.values()] == [ids, labels, np.uint8]
    assert kernel(config, "train", 0, 1)["input_ids"][0][more - 1] == size - 1


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("task", TASKS)
def test_count_is_that_of_the_reference(text, task):
    config = compose(f"text={text}", f"task={task}", "length={min:1,max:9}", "chain.min=1")
    seen = set()
    for index in range(200):
        example = engine.example(config, "train", index)
        seen.add((len(example.chain), len(example.x)))
        assert len(tokens(example, config)[0]) == count(config.grammar, len(example.chain), len(example.x))
    assert len(seen) > 25


@pytest.mark.parametrize("length", ["8", "{min:2,max:9}"])
@pytest.mark.parametrize("chain", ["[1,2,3]", "[0,1,0]", "[1,1,0]"])
@pytest.mark.parametrize(
    "others", [(), ("text=result", "task=execute"), ("text=names", "text.preamble=short")], ids=str
)
def test_mean_and_largest_are_exact(others, chain, length):
    config = compose(f"length={length}", f"chain.weights={chain}", *others)
    for split in config.splits:
        sizes = Counter()
        lengths = range(split.length.min, split.length.max + 1)
        for (chain_id, weight), each in product(zip(split.chains, split.weights, strict=True), lengths):
            sizes[count(config.grammar, len(config.chains[chain_id]), each)] += weight / len(lengths)
        assert sum(sizes.values()) == 1
        mean, largest = mean_and_largest(config, split)
        assert mean == float(sum(size * weight for size, weight in sizes.items()))
        assert largest == max(size for size, weight in sizes.items() if weight) <= most(config)


def test_mean_of_many_examples():
    """The distribution is the one that examples have."""
    config = variant(default(), length={"min": 4, "max": 9})
    rows, found = engine.Rows(config, 100_000), Tokens(config, 100_000)
    engine.fill(rows, config, config.find("train"), 0, 100_000)
    fill(found, config, rows)
    sizes = np.diff(found.offsets)
    mean, largest = mean_and_largest(config, config.find("train"))
    assert abs(sizes.mean() - mean) < 5 * sizes.std() / 100_000**0.5
    assert sizes.max() == largest


def test_mean_of_the_widest_range_is_quick():
    """Written out: 2 * L + heads, separators and 4 tokens for each of depth * L steps, at the mean of L."""
    config = compose("length={min:1,max:65536}", "chain.min=2", "chain.max=2")
    mean = 2 * Fraction(65_537, 2) + 2 + 4 * 2 * Fraction(65_537, 2) + 2 + 1
    assert mean_and_largest(config, config.splits[0])[0] == float(mean)
