"""The parser: what is rendered comes back, every slip is reported at its place, and nothing makes it fail.

Whatever is parsed here goes through `both`, which holds the kernel to the reference.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import re
import sys
import time
import tracemalloc
from functools import cache
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grammar import SPELLINGS, TASKS, TEXTS, as_regex, changed

from fastgen.doors import compose
from fastgen.engine import Example, example
from fastgen.text.batch import parse_batch
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, BLANKS, ebnf
from fastgen.text.lexicon import tables
from fastgen.text.parse import FAULTS, LARGEST, MISSING, MOST_FAULTS, Parsed, Segment, parse
from fastgen.text.render import render
from fastgen.trace import steps_before
from fastgen.transforms import RECORDS, split_head

GROUPS = list(product(TEXTS, TASKS, SPELLINGS))
WITH_ARGUMENT = {name for name, record in RECORDS.items() if record.argument}

NUMERALS = "零一二三四五六七八九十"
FOREIGN = {
    "words": {"sort": "ordena", "add": "más", "reverse": "rück", ";": "luego", "->": "da", ".": "。", ",": "、"},
    "numbers": list(NUMERALS),
}
SIGNS = {"words": {":": "-", ";": "->>", ",": "-->", ".": "--"}, "numbers": None}
"""Each of them begins like another."""


@cache
def named(name):
    """Configs that no group has."""
    return {
        "foreign": lambda: changed(spelling=FOREIGN),
        "foreign execute": lambda: changed(spelling=FOREIGN, task={"prompt": "{x} : {chain} :", "completion": ARROW}),
        "signs": lambda: changed(spelling=SIGNS, task={"completion": " {chain} : {trace} ."}),
        "all": lambda: changed(
            task={"prompt": "{x} -> {y} : {depth} mod {k} :", "completion": " {chain} so {trace} end ."}
        ),
        "depth": lambda: changed(task={"prompt": "let {x} : {chain} :", "completion": " {depth} : {trace} -> {y} ."}),
        "two": lambda: changed(text={"step": ["r", "a"], "preamble": "short"}),
        "lengths": lambda: changed(length={"min": 1, "max": 9}),
    }[name]()


ARROW = " {trace} -> {y} ."
NAMED = ("foreign", "foreign execute", "signs", "all", "depth", "two", "lengths")
every_named = pytest.mark.parametrize("name", NAMED)


@cache
def grouped(text, task, spelling):
    return compose(f"text={text}", f"task={task}", f"spelling={spelling}")


every_group = pytest.mark.parametrize(("text", "task", "spelling"), GROUPS)


def as_bytes(text):
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def arrow(texts):
    return pa.array([as_bytes(text) for text in texts], pa.binary())


def both(texts, config, prompts=None, chat=False):
    """What the reference says of each text, which is what the kernel says of all of them."""
    given = [None] * len(texts) if prompts is None else prompts
    expected = [parse(*each, chat) for each in zip(texts, [config] * len(texts), given, strict=True)]
    batch = parse_batch(arrow(texts), config, None if prompts is None else arrow(prompts), chat)
    for r, parsed in enumerate(expected):
        assert batch.row(r) == parsed, (texts[r], given[r])
    return expected


# A renderer that knows only the grammar


def tokens_of(parsed, config, template):
    """(text, depth, step) of every token that `parsed` is written with."""
    grammar, steps, parts = config.grammar, *map(config.grammar.words.get, (BETWEEN_STEPS, BETWEEN_PARTS))

    def part(depth, segment):
        yield grammar.head(segment.head), depth, None
        for step, numbers in enumerate(segment.steps):
            if step and len(numbers) > 1:
                yield steps, depth, step - 1
            yield from ((grammar.number(number), depth, step) for number in numbers)

    def joined(segments):
        for depth, segment in enumerate(segments):
            if depth:
                yield parts, depth - 1, len(segments[depth - 1].steps) - 1 if segments[depth - 1].steps else None
            yield from part(depth, segment)

    for field, word in getattr(grammar, template):
        match field:
            case "":
                yield grammar.words[word], None, None
            case "x" | "y":
                yield from ((grammar.number(number), None, None) for number in getattr(parsed, field))
            case "depth" | "k":
                yield grammar.number(getattr(parsed, field)), None, None
            case "chain":
                yield from joined([Segment(0, None, head, ()) for head in parsed.chain])
            case "trace":
                yield from joined(parsed.segments)


def written(parsed, config, template="completion"):
    text = " ".join(text for text, _, _ in tokens_of(parsed, config, template))
    return f" {text}" if template == "completion" else config.grammar.preamble + text


def segment(head, steps):
    name, argument = split_head(head)
    return Segment(RECORDS[name].code, argument, head, tuple(steps))


def as_parsed(example, config, *templates):
    """An example as far as the templates show it."""
    grammar = config.grammar
    shown = {item.field for template in templates for item in getattr(grammar, template)}
    edges = [int(steps_before(depth, len(example.x))) for depth in range(len(example.chain) + 1)]
    picked = [tuple(dict(zip("abr", step[1:], strict=True))[name] for name in grammar.step) for step in example.steps]
    steps = [picked[a:b] if grammar.step else () for a, b in pairwise(edges)]
    return Parsed(
        x=tuple(example.x) if "x" in shown else None,
        y=tuple(example.y) if "y" in shown else None,
        depth=len(example.chain) if "depth" in shown else None,
        k=config.k if "k" in shown else None,
        chain=example.chain if "chain" in shown else None,
        segments=tuple(map(segment, example.chain, steps)) if "trace" in shown else (),
        faults=(),
        fault_count=0,
        blanks=0,
    )


# What is rendered comes back


def assert_comes_back(examples, config):
    prompts, completions = zip(*(render(each, config) for each in examples), strict=True)
    alone, with_prompts = both(completions, config), both(completions, config, prompts)
    for i, each in enumerate(examples):
        assert alone[i] == as_parsed(each, config, "completion")
        assert with_prompts[i] == as_parsed(each, config, "prompt", "completion")
        assert with_prompts[i].whole
        assert written(with_prompts[i], config, "prompt") == prompts[i]
        assert written(with_prompts[i], config) == completions[i]


@every_group
def test_every_group_comes_back(text, task, spelling):
    config = grouped(text, task, spelling)
    assert_comes_back([example(config, "train", index) for index in range(25)], config)


@every_named
def test_other_grammars_come_back(name):
    config = named(name)
    assert_comes_back([example(config, "train", index) for index in range(25)], config)


def made(config, chain_id, length):
    """An example of any length."""
    chain, draw = config.chains[chain_id], random.Random(length)
    y = x = [draw.randrange(config.k) for _ in range(length)]
    steps = []
    for transformation in chain.transformations:
        y = transformation(y, config.k, steps)
    return Example(0, chain_id, chain.heads, x, y, steps)


def test_every_transformation_and_length_comes_back():
    config = changed(length={"min": 1, "max": 300}, chain={"min": 1, "max": 1, "weights": None})
    examples = [made(config, length % 16, length) for length in range(1, 301)]
    assert {split_head(head)[0] for each in examples for head in each.chain} == set(RECORDS)
    assert_comes_back(examples, config)


@pytest.mark.parametrize("k", [11, 255, 256, 257, 65_536])
def test_every_modulus_comes_back(k):
    config = changed(k=k, length={"min": 1, "max": 40})
    assert_comes_back([made(config, length, length) for length in range(1, 41)], config)
    config = changed(k=k, text={"step": ["r"]})
    assert_comes_back([example(config, "train", index) for index in range(20)], config)


# Every text of the grammar, whether or not its numbers are right


def any_text(config, draw):
    """A `Parsed` whose parts are of the grammar and otherwise arbitrary: wrong numbers, heads of no graph."""
    grammar = config.grammar
    given, asked = ({item.field for item in places} for places in (grammar.prompt, grammar.completion))
    length = draw.randint(config.splits[0].length.min, config.splits[0].length.max)

    def numbers(count):
        return tuple(draw.randrange(grammar.count) for _ in range(count))

    def head():
        name = draw.choice(list(RECORDS))
        return name + (str(draw.choice([0, 1, 7, 10, 999, 10**18 - 1])) if RECORDS[name].argument else "")

    def heads():
        return tuple(head() for _ in range(draw.randint(1, 5)))

    steps = [[numbers(len(grammar.step)) for _ in range(length if grammar.step else 0)] for _ in range(5)]
    shown = given | asked
    return Parsed(
        x=numbers(length),
        y=numbers(length) if "y" in shown else None,
        depth=draw.randrange(grammar.count) if "depth" in shown else None,
        k=draw.randrange(grammar.count) if "k" in shown else None,
        chain=heads() if "chain" in shown else None,
        segments=tuple(map(segment, heads(), steps)) if "trace" in shown else (),
        faults=(),
        fault_count=0,
        blanks=0,
    )


def assert_any_text_comes_back(config):
    draw = random.Random(0)
    expected = [any_text(config, draw) for _ in range(40)]
    prompts, completions = ([written(each, config, name) for each in expected] for name in ("prompt", "completion"))
    assert both(completions, config, prompts) == expected


@every_group
def test_any_text_of_every_group_comes_back(text, task, spelling):
    assert_any_text_comes_back(grouped(text, task, spelling))


@every_named
def test_any_text_of_other_grammars_comes_back(name):
    assert_any_text_comes_back(named(name))


# The written rules as an oracle


UNSAID = {"number out of range", "too few steps", "too many steps"}
"""What the rules leave to the numbers: they say how a text is built, not how long."""


@cache
def rule(config, name):
    return as_regex(ebnf(config.grammar, WITH_ARGUMENT), name)


def spliced(tokens, fillers):
    """(place, tokens) with each token deleted, exchanged with the next one, replaced, and put behind each filler."""
    for i in range(len(tokens) + 1):
        before, token, behind = tokens[:i], tokens[i : i + 1], tokens[i + 1 :]
        for filler in fillers:
            yield i, [*before, filler, *token, *behind]
        if token:
            yield i, [*before, *behind]
            yield from ((i, [*before, filler, *behind]) for filler in fillers if filler != token[0])
        if behind and behind[0] != token[0]:
            yield i, [*before, behind[0], *token, *behind[1:]]


def fillers(config):
    """A token of each kind."""
    grammar = config.grammar
    heads = map(grammar.head, ("reverse", "add77"))
    return ["zzz", grammar.number(3), "999", *heads, *grammar.words.values()]


OPEN = {"length": {"min": 1, "max": 9}, "chain": {"min": 2, "max": 2, "weights": None}}
"""Lengths differ, so that without a prompt nothing is known of the number of steps, or of elements."""


def short_texts(config, template):
    """The tokens of a few examples of up to three elements."""
    examples = [made(config, chain_id, length) for chain_id, length in ((5, 1), (11, 2), (30, 3))]
    return [
        [text for text, _, _ in tokens_of(as_parsed(each, config, template), config, template)] for each in examples
    ]


@pytest.mark.parametrize(("text", "task"), list(product(TEXTS, TASKS)))
def test_faultless_is_what_keeps_the_written_rules(text, task):
    config = changed(**grouped(text, task, "numbers").identity() | OPEN)
    texts = [
        " " + " ".join(each) for said in short_texts(config, "completion") for _, each in spliced(said, fillers(config))
    ]
    kept = [rule(config, "completion").fullmatch(text) is not None for text in texts]
    assert any(kept)
    assert not all(kept)
    for text, keeps, parsed in zip(texts, kept, both(texts, config), strict=True):
        unsaid = {fault.kind for fault in parsed.faults} <= UNSAID
        bare = config.grammar.step and not all(each.steps for each in parsed.segments)
        assert keeps == (unsaid and not bare), (text, parsed.faults)
        assert parsed.blanks == 0
        if parsed.whole:
            assert written(parsed, config) == text


@pytest.mark.parametrize("task", TASKS)
def test_a_prompt_is_right_if_it_keeps_the_written_rules(task):
    config = changed(**grouped("full", task, "numbers").identity() | OPEN)
    prompts = [" ".join(each) for said in short_texts(config, "prompt") for _, each in spliced(said, fillers(config))]
    found = both([""] * len(prompts), config, prompts)
    kept = [rule(config, "prompt").fullmatch(prompt) is not None and "999" not in prompt for prompt in prompts]
    assert any(kept)
    assert not all(kept)
    for prompt, keeps, parsed in zip(prompts, kept, found, strict=True):
        assert keeps == ([fault.kind for fault in parsed.faults] == ["empty"]), prompt
        assert keeps == (parsed.x is not None)
        if keeps:
            assert written(parsed, config, "prompt") == prompt


# One slip: where it is reported, and what else is read


def slips(config):
    """(place, tokens, what the parser makes of them) for every slip of one token in a text; first, the right one."""
    right = as_parsed(made(config, 200, 3), config, "prompt", "completion")
    said = list(tokens_of(right, config, "completion"))
    wrong = list(spliced([text for text, _, _ in said], fillers(config)))
    texts = [" " + " ".join(tokens) for _, tokens in wrong]
    found = both(texts, config, [written(right, config, "prompt")] * len(texts))
    return right, said, [(*each, parsed) for each, parsed in zip(wrong, found, strict=True)]


def around(said, place):
    """(depth, step) of a token and of those beside it."""
    return [(None, None), *(where for _, *where in said), (None, None)][place : place + 3]


@pytest.mark.parametrize(("text", "task"), list(product(TEXTS, TASKS)))
def test_a_slip_is_reported_where_it_is(text, task):
    """At its token, or where the numbers end within which it is: what is not there can't be seen before.

    Where a step is one number, none is known to be missing before the transformation ends. A word that ends a field
    ends it wherever it stands: what follows is then a slip of the next field, or trails.
    """
    config = changed(**grouped(text, task, "numbers").identity() | {"length": 3})
    words = {item.word for item in config.grammar.completion if item.word}
    right, said, found = slips(config)
    for place, tokens, parsed in found:
        slip = " ".join(tokens)
        if parsed.whole:
            assert written(parsed, config) == f" {slip}"
            assert parsed != right
            continue
        fault = parsed.faults[0]
        assert fault.token >= place, slip
        if [token for token in tokens if token in words] != [token for token, _, _ in said if token in words]:
            continue
        behind = (i for i, token in enumerate(tokens) if i > place and not token.isdecimal())
        assert fault.token <= next(behind, len(tokens)), slip
        near = [tuple(where) for where in around(said, place)]
        near += [(depth, 0 if step is None else step + 1) for depth, step in near if depth is not None]
        near += [(depth + 1, None) for depth, _ in near if depth is not None]
        if len(config.grammar.step) == 1:
            near = [(depth, fault.step) for depth, _ in near]
        assert (fault.depth, fault.step) in near, slip


@pytest.mark.parametrize(("text", "task"), list(product(TEXTS, ("infer", "execute"))))
def test_a_slip_hides_nothing_else(text, task):
    """All but the steps and heads beside it are read as they were, up to a word that ends the field too early."""
    config = changed(**grouped(text, task, "numbers").identity() | {"length": 3})
    right, said, found = slips(config)
    steps = [step for each in right.segments for step in each.steps]
    ends = [item.word for item in config.grammar.completion if item.word]
    trace = [depth for _, depth, _ in said].index(None)
    for place, tokens, parsed in found:
        if place > trace:
            assert parsed.segments == right.segments
            continue
        beside = [where for _, *where in said[max(0, place - 1) : min(place + 3, trace)]]
        (first, start), (last, stop) = beside[0], beside[-1]
        before = len(right.segments[0].steps) * first + (start or 0)
        behind = len(right.segments[0].steps) * last + (stop or 0) + 1
        got = [step for each in parsed.segments for step in each.steps]
        assert parsed.segments[:first] == right.segments[:first]
        assert got[:before] == steps[:before]
        if [token for token in tokens[:-1] if token in ends] == ends[:-1]:
            after = right.segments[last + 1 :]
            assert parsed.segments[len(parsed.segments) - len(after) :] == after
            assert got[len(got) - len(steps[behind:]) :] == steps[behind:], " ".join(tokens)
            assert parsed.y == right.y or place >= trace - 1


# Every kind of fault, by hand


@cache
def of_two(text, task, **values):
    """A group whose vectors have two elements."""
    return changed(**grouped(text, task, "numbers").identity() | {"length": 2} | values)


FULL, EXECUTE = of_two("full", "infer"), of_two("full", "execute")
RESULT, NAMES, DIRECT = of_two("result", "infer"), of_two("names", "infer"), of_two("full", "direct")
ENDED = changed(length=2, task={"completion": " {chain} so {trace} end ."})
DEPTH = changed(length=2, task={"prompt": "{x} : {chain} :", "completion": " {depth} : {trace} -> {y} ."})
ELSEWHERE = changed(length=2, spelling=FOREIGN)

UNKNOWN, MISPLACED, RANGE, TRANSFORMATION, FEW, MANY, FEW_STEPS, MANY_STEPS, SEPARATOR, TRUNCATED, *_ = FAULTS[1:]
TRAILING, EMPTY, PROMPT = FAULTS[-3:]
SORT, REVERSE = "sort 1 1 1 , 0 3 3", "reverse 0 1 3 , 1 0 1"

MARK = "‹"
TABLE = [
    # config, a text with a mark before each token that has a fault, (kind, depth, step) of each, what is read: _ is
    # a number that is not there, ? an unknown transformation
    (FULL, f" {SORT} ; {REVERSE} .", [], f"{SORT} ; {REVERSE}"),
    (
        FULL,
        f" sort 1 1 ‹é , 0 ‹日本 3 ; {REVERSE} .",
        [(UNKNOWN, 0, 0), (UNKNOWN, 0, 1)],
        f"sort 1 1 _ , 0 _ _ ; {REVERSE}",
    ),
    (FULL, " sort ‹é , 0 3 3 .", [(UNKNOWN, 0, 0)], "sort _ _ _ , 0 3 3"),
    (FULL, " sort 1 1 ‹01 , 0 3 ‹3x .", [(UNKNOWN, 0, 0), (UNKNOWN, 0, 1)], "sort 1 1 _ , 0 3 _"),
    (FULL, " sort 1 1 ‹-1 , 0 3 ‹٣ .", [(UNKNOWN, 0, 0), (UNKNOWN, 0, 1)], "sort 1 1 _ , 0 3 _"),
    (FULL, " sort 1 1 1 , ‹, 0 3 3 .", [(MISPLACED, 0, 1)], SORT),
    (FULL, " sort 1 ‹: 1 , 0 3 3 .", [(MISPLACED, 0, 0)], "sort 1 _ _ , 0 3 3"),
    (FULL, " ‹; sort 1 1 1 , 0 3 3 ; ‹; ‹.", [(MISPLACED, 0, None), *[(MISPLACED, 1, None)] * 2], SORT),
    (FULL, " sort ‹, 1 1 1 , 0 3 3 .", [(MISPLACED, 0, 0)], SORT),
    (FULL, " sort 1 1 1 , 0 3 3 , ‹.", [(MISPLACED, 0, 2)], SORT),
    (FULL, " ‹1 1 1 , 0 3 3 .", [(MISPLACED, 0, None)], "? 1 1 1 , 0 3 3"),
    (FULL, " sort 1 1 ‹11 , 0 ‹1234567 3 .", [(RANGE, 0, 0), (RANGE, 0, 1)], "sort 1 1 11 , 0 1234567 3"),
    (FULL, f" sort 1 1 ‹{'9' * 30} , 0 3 3 .", [(RANGE, 0, 0)], f"sort 1 1 {LARGEST} , 0 3 3"),
    (
        FULL,
        " ‹größe 1 1 1 , 0 3 3 ; ‹add 0 1 3 , 1 0 1 .",
        [(TRANSFORMATION, 0, None), (TRANSFORMATION, 1, None)],
        "? 1 1 1 , 0 3 3 ; ? 0 1 3 , 1 0 1",
    ),
    (FULL, " ‹sort3 1 1 1 , 0 3 3 .", [(TRANSFORMATION, 0, None)], "? 1 1 1 , 0 3 3"),
    (FULL, " ‹add03 1 1 1 , 0 3 3 .", [(TRANSFORMATION, 0, None)], "? 1 1 1 , 0 3 3"),
    (FULL, f" ‹the {SORT} .", [(TRANSFORMATION, 0, None)], SORT),
    (FULL, " add123456789012345678 1 1 1 , 0 3 3 .", [], "add123456789012345678 1 1 1 , 0 3 3"),
    (FULL, " ‹add1234567890123456789 1 1 1 , 0 3 3 .", [(TRANSFORMATION, 0, None)], "? 1 1 1 , 0 3 3"),
    (
        FULL,
        " sort 1 1 ‹, 0 3 ‹; reverse 0 1 3 , 1 ‹.",
        [(FEW, 0, 0), (FEW, 0, 1), (FEW, 1, 1)],
        "sort 1 1 _ , 0 3 _ ; reverse 0 1 3 , 1 _ _",
    ),
    (FULL, f" sort 1 1 1 ‹7 , 0 3 3 ‹7 7 ; {REVERSE} .", [(MANY, 0, 0), (MANY, 0, 1)], f"{SORT} ; {REVERSE}"),
    (FULL, " sort 1 1 1 ‹; reverse ‹.", [(FEW_STEPS, 0, 1), (FEW_STEPS, 1, 0)], "sort 1 1 1 ; reverse"),
    (FULL, f" {SORT} , ‹4 4 4 , 5 5 5 ; {REVERSE} .", [(MANY_STEPS, 0, 2)], f"{SORT} , 4 4 4 , 5 5 5 ; {REVERSE}"),
    (
        FULL,
        " sort 1 1 1 ‹0 3 3 ‹reverse 0 1 3 , 1 0 1 .",
        [(SEPARATOR, 0, 0), (SEPARATOR, 1, None)],
        f"{SORT} ; {REVERSE}",
    ),
    (FULL, " sort 1 1 1 ‹0 3 3 ‹4 4 4 .", [(SEPARATOR, 0, 0), (MANY_STEPS, 0, 2)], f"{SORT} , 4 4 4"),
    (FULL, " sort 1 1 1 ,‹", [(TRUNCATED, 0, 1)], "sort 1 1 1"),
    (FULL, f" {SORT} ; reverse 0 1‹", [(TRUNCATED, 1, 0)], f"{SORT} ; reverse 0 1 _"),
    (FULL, f" {SORT} ; ‹rev", [(TRUNCATED, 1, None)], SORT),
    (FULL, f" {SORT} ; ‹add", [(TRUNCATED, 1, None)], SORT),
    (FULL, f" {SORT} ; ‹é‹", [(TRANSFORMATION, 1, None), (TRUNCATED, 1, 0)], f"{SORT} ; ?"),
    (FULL, f" {SORT} . ‹é ; .", [(TRAILING, None, None)], SORT),
    (FULL, "‹", [(EMPTY, None, None)], ""),
    (FULL, " \r\n\t‹", [(EMPTY, None, None)], ""),
    (EXECUTE, f" {SORT} -> 1 3 .", [], SORT),
    (EXECUTE, f" {SORT} -> ‹é ‹日本 .", [(UNKNOWN, None, None)] * 2, SORT),
    (EXECUTE, f" {SORT} -> 1 ‹; 3 .", [(MISPLACED, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1 ‹-> 3 .", [(MISPLACED, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1 ‹sort .", [(MISPLACED, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1 3 ‹‹12 .", [(RANGE, None, None), (MANY, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1 3 ‹5 5 .", [(MANY, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1 ‹.", [(FEW, None, None)], SORT),
    (EXECUTE, f" {SORT} -> ‹.", [(FEW, None, None)], SORT),
    (EXECUTE, f" {SORT} ‹.", [(SEPARATOR, None, None)], SORT),
    (EXECUTE, f" {SORT} -> 1‹", [(TRUNCATED, None, None)], SORT),
    (EXECUTE, f" {SORT} ‹-", [(TRUNCATED, 0, 1)], SORT),
    (DIRECT, " ‹sort 1 3 .", [(MISPLACED, None, None)], ""),
    (DIRECT, " 1 ‹11 .", [(RANGE, None, None)], ""),
    (
        NAMES,
        " sort ‹7 8 ; reverse ‹é ; ‹; ‹the sort ‹reverse .",
        [
            (MISPLACED, 0, None),
            (UNKNOWN, 1, None),
            (MISPLACED, 2, None),
            (TRANSFORMATION, 2, None),
            (SEPARATOR, 3, None),
        ],
        "sort ; reverse ; sort ; reverse",
    ),
    (NAMES, " ‹7 .", [(MISPLACED, 0, None)], "?"),
    (
        RESULT,
        " sort 1 ‹é ; reverse 3 ‹, ‹11 .",
        [(UNKNOWN, 0, 1), (MISPLACED, 1, 1), (RANGE, 1, 1)],
        "sort 1 , _ ; reverse 3 , 11",
    ),
    (
        RESULT,
        " sort 1 3 ‹3 3 ; reverse 3 ‹.",
        [(MANY_STEPS, 0, 2), (FEW_STEPS, 1, 1)],
        "sort 1 , 3 , 3 , 3 ; reverse 3",
    ),
    (ENDED, f" sort so {SORT} end .", [], SORT),
    (ENDED, f" sort so {SORT} end ‹é 7 .", [(UNKNOWN, None, None)], SORT),
    (ENDED, f" sort so {SORT} end ‹7 é .", [(MISPLACED, None, None)], SORT),
    (ENDED, f" sort so {SORT} end ‹‹7", [(SEPARATOR, None, None), (TRAILING, None, None)], SORT),
    (ENDED, f" sort so {SORT} end‹", [(TRUNCATED, None, None)], SORT),
    (ENDED, " sort ‹end .", [(SEPARATOR, None, None)], ""),
    (DEPTH, f" 1 : {SORT} -> 1 3 .", [], SORT),
    (DEPTH, f" ‹: {SORT} -> 1 3 .", [(FEW, None, None)], SORT),
    (DEPTH, f" 1 ‹2 : {SORT} -> 1 3 .", [(MANY, None, None)], SORT),
    (DEPTH, " ‹é : sort 1 1 1 , 0 3 3 -> 1 3 .", [(UNKNOWN, None, None)], SORT),
    (
        ELSEWHERE,
        " ordena 一 一 ‹、 零 三 三 luego rück 零 一 三 、 一 零 ‹十一 。",
        [(FEW, 0, 0), (UNKNOWN, 1, 1)],
        "sort 1 1 _ , 0 3 3 ; reverse 0 1 3 , 1 0 _",
    ),
    (ELSEWHERE, " ordena 一 一 一 、 零 三 三 luego ‹m", [(TRUNCATED, 1, None)], SORT),
    (ELSEWHERE, " ordena 一 一 一 、 零 三 ‹1 。", [(UNKNOWN, 0, 1)], "sort 1 1 1 , 0 3 _"),
]


def unmarked(marked):
    """A text without marks, and where they were: (token, character)."""
    text = marked.replace(MARK, "")
    characters = [match.start() - i for i, match in enumerate(re.finditer(MARK, marked))]
    return text, [(len(text[:character].split()), character) for character in characters]


def read(parsed):
    """What a trace says, in the words of the table."""

    def numbers(step):
        return " ".join("_" if number == MISSING else str(number) for number in step)

    return " ; ".join(f"{each.head or '?'} {' , '.join(map(numbers, each.steps))}".strip() for each in parsed.segments)


@pytest.mark.parametrize(("config", "marked", "kinds", "expected"), TABLE, ids=[row[1] for row in TABLE])
def test_every_kind_of_fault(config, marked, kinds, expected):
    text, places = unmarked(marked)
    (parsed,) = both([text], config)
    assert parsed.faults == tuple((kind, *at, *where) for (kind, *where), at in zip(kinds, places, strict=True))
    assert parsed.fault_count == len(kinds)
    assert parsed.blanks == 0
    assert read(parsed) == expected


@pytest.mark.parametrize("name", ["default", *NAMED])
def test_a_text_that_is_cut_off_is_truncated_and_no_more(name):
    """After every byte; unless what is left of a token is one of another kind, such as `so` of `sort`."""
    config = named(name) if name != "default" else changed()
    grammar = config.grammar
    kinds = {word: word for word in grammar.words.values()}
    kinds |= {grammar.number(number): "number" for number in range(grammar.count)}
    kinds |= {grammar.head(head): "head" for head in grammar.heads}
    for chain_id in range(0, len(config.chains), 100):
        prompt, text = render(made(config, chain_id, config.splits[0].length.max), config)
        cuts = [text.encode()[:size] for size in range(2, len(text.encode()))]
        (right,) = both([text], config, [prompt])
        for cut, parsed in zip(cuts, both(cuts, config, [prompt] * len(cuts)), strict=True):
            left = cut.decode(errors="replace")
            *before, last = left[1:].split(" ")
            place, character = len(before), len(left) - len(last)
            if last in kinds:
                place, character = place + 1, len(left)
            if last in kinds and kinds[last] != kinds.get(text[1:].split(" ")[len(before)]):
                assert all(fault.token >= len(before) for fault in parsed.faults), cut
            else:
                assert [fault[:3] for fault in parsed.faults] == [(TRUNCATED, place, character)], cut
            assert parsed.segments[:-1] == right.segments[: max(0, len(parsed.segments) - 1)]


STEPS = f"{SORT} , 2 2 2"


@pytest.mark.parametrize(
    ("lengths", "prompt", "marked", "kinds"),
    [
        (2, None, f" {SORT} , ‹2 2 2 ; {SORT} , ‹2 2 2 .", [(MANY_STEPS, 0, 2), (MANY_STEPS, 1, 2)]),
        (2, "1 2 3 -> 1 2 3 :", f" {STEPS} ; {STEPS} .", []),
        (2, "1 -> 1 :", " sort 1 1 1 , ‹2 2 2 .", [(MANY_STEPS, 0, 1)]),
        ({"min": 1, "max": 9}, None, f" {STEPS} ; {STEPS} .", []),
        ({"min": 1, "max": 9}, None, f" {STEPS} ; {SORT} ‹.", [(FEW_STEPS, 1, 2)]),
        ({"min": 1, "max": 9}, None, f" {SORT} ; {SORT} , ‹2 2 2 .", [(MANY_STEPS, 1, 2)]),
        (
            {"min": 1, "max": 9},
            None,
            " ‹é 1 1 1 ; sort 1 1 1 , ‹0 3 3 .",
            [(TRANSFORMATION, 0, None), (MANY_STEPS, 1, 1)],
        ),
        ({"min": 1, "max": 9}, "1 2 -> 1 2 :", f" {SORT} , ‹2 2 2 ; {SORT} .", [(MANY_STEPS, 0, 2)]),
        ({"min": 1, "max": 9}, None, " sort ‹.", [(FEW_STEPS, 0, 0)]),
        ({"min": 1, "max": 9}, None, f" {STEPS}‹", [(TRUNCATED, 0, 2)]),
    ],
)
def test_how_many_steps_there_should_be(lengths, prompt, marked, kinds):
    """As many as the prompt's x has elements; else the config's vectors; else as the first transformation has steps."""
    config = changed(length=lengths)
    text, places = unmarked(marked)
    (parsed,) = both([text], config, [prompt])
    assert parsed.faults == tuple((kind, *at, *where) for (kind, *where), at in zip(kinds, places, strict=True))


def test_how_many_elements_there_should_be():
    execute = changed(**grouped("full", "direct", "numbers").identity() | OPEN)
    assert both([" 1 2 3 ."], execute)[0].whole
    (parsed,) = both([" 1 2 3 ."], execute, ["4 5 : sort ->"])
    assert parsed.faults == ((MANY, 2, 5, None, None),)
    (parsed,) = both([" 1 2 3 ."], execute, ["4 5 6 7 : sort ->"])
    assert parsed.faults == ((FEW, 3, 7, None, None),)


PROMPTS = [
    # marked where it leaves the grammar
    "‹",
    " ‹",
    "1 2 -> 3 4‹",
    "1 2 ‹é 日 -> 3 4 :",
    "1 2 -> 3 ‹11 :",
    "1 2 -> 3 4 : ‹5",
    "1 2 ‹:",
    "‹-> 3 4 :",
    "1 2 -> ‹:",
    "1 2 ‹; -> 3 4 :",
    "1 2 ‹-",
]


@pytest.mark.parametrize("marked", PROMPTS)
def test_a_prompt_of_no_grammar(marked):
    """One fault, with the place within the prompt; x and y are then not known, nor how many steps x asks for."""
    prompt, (place,) = unmarked(marked)
    text, places = unmarked(f" {SORT} , ‹4 4 4 . ‹é")
    (parsed,) = both([text], FULL, [prompt])
    assert parsed.faults == (
        (PROMPT, *place, None, None),
        (MANY_STEPS, *places[0], 0, 2),
        (TRAILING, *places[1], None, None),
    )
    assert (parsed.x, parsed.y) == (None, None)


def test_a_prompt_with_other_blanks_is_a_prompt():
    config = changed(length=2, text={"preamble": "short"})
    for preamble in ("", config.grammar.preamble):
        for prompt in ("1 2 -> 3 4 :", " 1  2->3 4:", "1\n2 -> 3\t4 : "):
            (parsed,) = both([f" {SORT} ."], config, [preamble + prompt])
            assert parsed.whole
            assert (parsed.x, parsed.y, parsed.blanks) == ((1, 2), (3, 4), 0)
    (parsed,) = both([f" {SORT} ."], config, [f"{config.grammar.preamble[:-9]}1 2 -> 3 4 :"])
    assert parsed.faults[0].kind == PROMPT


@pytest.mark.parametrize(
    ("text", "blanks"),
    [
        (f" {SORT} .", 0),
        (f"{SORT} .", 1),
        (f"  {SORT} .", 1),
        (f"\n{SORT} .", 1),
        (f" {SORT} .\n", 1),
        (f" {SORT}.", 1),
        (" sort 1 1 1, 0 3 3 .", 1),
        (" sort 1 1 1,0 3 3.", 3),
        (" sort 1 \t 1\n1 , 0\v3\f3\r. ", 6),
        ("sort 1 1 1,0 3 3.  ", 5),
    ],
)
def test_blanks_are_counted_and_no_faults(text, blanks):
    (parsed,) = both([text], FULL)
    assert parsed.whole
    assert read(parsed) == SORT
    assert parsed.blanks == blanks


def test_words_of_punctuation_are_found_anywhere_the_longest_first():
    config = changed(length=2, spelling=SIGNS)
    (parsed,) = both([" sort 1 1 1-->0 3 3->>reverse 0 1 3-->1 0 1--"], config)
    assert (read(parsed), parsed.whole, parsed.blanks) == (f"{SORT} ; {REVERSE}", True, 7)
    (parsed,) = both([" sort 1 1 1-->0 3 3--->"], config)
    assert parsed.faults == ((TRAILING, 9, 21, None, None),)


def test_what_is_past_a_hundred_faults_is_counted():
    (parsed,) = both([" sort " + "é 1 1 , " * 249 + "é 1 1 ."], FULL)
    assert parsed.fault_count == 251
    assert [fault[:] for fault in parsed.faults] == [(UNKNOWN, 1 + 4 * i, 6 + 8 * i, 0, i) for i in range(MOST_FAULTS)]
    assert len(parsed.segments[0].steps) == 250
    (parsed,) = both([" sort " + "é 1 1 , " * 249 + "é 1 1 ."], FULL, ["1"])
    assert (len(parsed.faults), parsed.fault_count, parsed.faults[0].kind) == (MOST_FAULTS, 252, PROMPT)


@pytest.mark.parametrize("junk", ["\ud800", "\udfff\ud800", b"\xff\xfe", b"\x80", b"\xc3", b"\0", "\u2028", "\u00a0"])
def test_what_is_no_text_is_an_unknown_token(junk):
    junk = as_bytes(junk)
    assert parse("\ud800", FULL) == parse(b"\xed\xa0\x80", FULL)
    (parsed,) = both([b" sort 1 %s 1 , 0 3 %s" % (junk, junk)], FULL)
    assert [(fault.kind, fault.token, fault.step) for fault in parsed.faults] == [
        (UNKNOWN, 2, 0),
        (UNKNOWN, 7, 1),
        (TRUNCATED, 8, 1),
    ]
    characters = [fault.character for fault in parsed.faults]
    width = sum(byte & 0xC0 != 0x80 for byte in junk)
    assert characters == [8, 17 + width, 17 + 2 * width]


def test_what_only_looks_like_something_known():
    """Bytes that a table could hold where it is empty, digits where numbers are words, heads with other arguments."""
    nuls = [b"\0" * size for size in range(1, 18)]
    for head in (b"", b"\1", b"add3", b"interleave"):
        both([b" %s%s 1 1 1 , 0 3 3 ; %s%s 0 1 3 , 1 0 1 ." % (nul, head, head, nul) for nul in nuls], FULL)
    letters = changed(**grouped("full", "infer", "letters").identity() | {"length": 2})
    assert not any(each.whole for each in both([" sort 1 1 1 , 0 3 3 ."], letters, ["1 2 -> 1 2 :"]))
    (parsed,) = both([" add3 1 1 1 , 0 3 3 ; add4 1 1 1 , 0 3 3 ; rotate1 1 1 1 , 0 3 3 ; rotate 1 1 1 ."], FULL)
    assert [each.argument for each in parsed.segments] == [3, 4, 1, None]


# What a chat model puts around its answer


ANSWER = f" {SORT} , ‹4 4 4 ."
ASKED = "1 2 -> 3 4 :"


@pytest.mark.parametrize(
    "wrapped",
    [
        ANSWER,
        ANSWER[1:],
        f"\n\n {ANSWER}",
        f"{ANSWER} That is it. ; , reverse",
        f"{ASKED}{ANSWER}",
        f" \n{ASKED}{ANSWER}",
        f"The answer is:{ANSWER}",
        f"Let me see, 1 2 3 , ; é first.{ANSWER}",
        f"```\n{ANSWER}\n```",
        f"Sure! é\n```text\n{ASKED}{ANSWER}\n```",
        f"Here:\n```sort\n\n {ASKED}{ANSWER}",
    ],
)
def test_what_a_chat_model_puts_around_its_answer_is_skipped(wrapped):
    text, (place,) = unmarked(wrapped)
    (parsed,) = both([text], FULL, [ASKED], chat=True)
    assert parsed.faults == ((MANY_STEPS, 9, place[1], 0, 2),)
    assert read(parsed) == f"{SORT} , 4 4 4"
    assert (parsed.x, parsed.y) == ((1, 2), (3, 4))
    (plain,) = both([text], FULL, [ASKED])
    assert parsed == plain or not plain.whole


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", [EMPTY]),
        (" \n", [EMPTY]),
        ("I do not know.", [TRANSFORMATION]),
        ("```", [EMPTY]),
        ("```\n", [EMPTY]),
        ("```text", [EMPTY]),
        (f"{ASKED}", [EMPTY]),
        (f"{ASKED}\n", [EMPTY]),
        (f" {SORT}", [TRUNCATED]),
        ("sort of .", [UNKNOWN]),
    ],
)
def test_a_chat_without_an_answer(text, kinds):
    (parsed,) = both([text], FULL, [ASKED], chat=True)
    assert [fault.kind for fault in parsed.faults][: len(kinds)] == kinds, parsed


def test_an_answer_without_a_head_begins_where_the_text_does():
    assert both(["So: 1 3 ."], DIRECT, chat=True)[0].faults[0].kind == UNKNOWN
    assert both(["```\n1 3 .\n```"], DIRECT, chat=True)[0].whole
    assert both(["1 2 : sort -> 1 3 . Yes."], DIRECT, ["1 2 : sort ->"], chat=True)[0].whole


# Malformed text


MIXED = [FULL, EXECUTE, RESULT, NAMES, DIRECT, ENDED, DEPTH, ELSEWHERE, *map(named, ("signs", "all", "two", "lengths"))]
some_config = st.sampled_from(range(len(MIXED)))
some_settings = settings(deadline=None, derandomize=True, max_examples=300)


@st.composite
def broken_texts(draw, config):
    """Tokens of the grammar and junk, with any blanks between them."""
    grammar = config.grammar
    words = [*grammar.words.values(), *grammar.names.values(), *map(grammar.head, ("sort", "add3", "rotate12", "add"))]
    junk = [
        "é",
        "zzz",
        "-",
        "->",
        "sor",
        "007",
        "11",
        "99999999999",
        "add0",
        "add" + "9" * 19,
        "`",
        "```",
        "\ud800",
        "\0",
    ]
    token = st.sampled_from([*words, *words, *map(grammar.number, range(11)), *map(grammar.number, range(11)), *junk])
    blank = st.sampled_from([" "] * 8 + ["", "  ", *BLANKS, "\u00a0"])
    return "".join(draw(st.lists(st.builds(str.__add__, blank, token), max_size=40))) + draw(st.sampled_from(["", " "]))


@given(some_config, st.lists(st.binary(max_size=60), max_size=4), st.booleans())
@some_settings
def test_any_bytes(which, texts, chat):
    both(texts, MIXED[which], chat=chat)
    both(texts, MIXED[which], texts[::-1], chat=chat)


@given(some_config, st.booleans(), st.data())
@some_settings
def test_any_tokens(which, chat, data):
    config = MIXED[which]
    texts = data.draw(st.lists(broken_texts(config), max_size=3))
    prompt = st.one_of(
        st.none(), broken_texts(config), st.just(written(any_text(config, random.Random(0)), config, "prompt"))
    )
    both(texts, config, [data.draw(prompt) for _ in texts], chat)


# Arrays of all kinds


def texts_of_all_kinds():
    """Right, cut off, wrong and none; of some kinds several."""
    completions = [render(example(named("foreign"), "train", index), named("foreign"))[1] for index in range(3)]
    return ["", None, completions[0], completions[1][:40], None, "é", completions[2] + " é", "", None]


KINDS = {"string": pa.string(), "large_string": pa.large_string(), "binary": pa.binary(), "large": pa.large_binary()}
KINDS |= {"string_view": pa.string_view(), "binary_view": pa.binary_view()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_array(kind):
    texts, config = texts_of_all_kinds(), named("foreign")
    expected = [parse(text or "", config) for text in texts]
    array = pa.array([text and text.encode() for text in texts], pa.binary()).cast(kind)
    chunks = [array[:2], array[2:2], array[2:7], array[7:]]
    for same in (array, pa.chunked_array([array]), pa.chunked_array(chunks), pa.chunked_array([array[1:]])):
        rows = parse_batch(same, config)
        assert [rows.row(r) for r in range(len(same))] == expected[-len(same) :]
    for start, stop in ((1, 9), (3, 7), (4, 5), (9, 9)):
        rows = parse_batch(array[start:stop], config)
        assert [rows.row(r) for r in range(stop - start)] == expected[start:stop]
        assert rows.fault_count.size == stop - start
    for empty in (array[:0], pa.array([], kind), pa.chunked_array([], kind)):
        rows = parse_batch(empty, config, empty)
        assert (rows.fault_count.size, rows.segments.tolist(), rows.numbers.shape) == (0, [0], (0, 3))


def test_null_prompts_are_none():
    texts, prompts = [f" {SORT} .", f" {STEPS} .", f" {SORT} .", None], [None, "1 2 3 -> 1 2 3 :", None, "4 5 -> 4 5 :"]
    rows = parse_batch(pa.array(texts), FULL, pa.array(prompts))
    expected = [parse(text or "", FULL, prompt) for text, prompt in zip(texts, prompts, strict=True)]
    assert [rows.row(r) for r in range(4)] == expected
    assert [each.x for each in expected] == [None, (1, 2, 3), None, (4, 5)]
    for same in (pa.chunked_array([prompts[:2], prompts[2:]]), pa.array(["", *prompts])[1:]):
        rows = parse_batch(pa.array(texts), FULL, same)
        assert [rows.row(r) for r in range(4)] == expected


@pytest.mark.parametrize(
    "other",
    [
        [" sort ."],
        " sort .",
        b"",
        None,
        np.array([" sort ."]),
        pa.array([1, 2]),
        pa.array([[" sort ."]]),
        pa.scalar("a"),
    ],
    ids=lambda other: type(other).__name__,
)
def test_what_is_no_array_of_text(other):
    with pytest.raises(TypeError, match="texts: must be an Arrow array of strings or bytes"):
        parse_batch(other, FULL)
    if other is not None:
        with pytest.raises(TypeError, match="prompts: must be an Arrow array of strings or bytes"):
            parse_batch(pa.array([" sort ."]), FULL, other)


@pytest.mark.parametrize("prompts", [[], ["1"], ["1", "2", "3"]])
def test_a_prompt_for_each(prompts):
    with pytest.raises(ValueError, match=f"there are {len(prompts)}, and 2 texts; give one for each"):
        parse_batch(pa.array(["a", "b"]), FULL, pa.array(prompts, pa.string()))


@pytest.mark.parametrize("offsets", [[0, 90, 7], [5, 2, 7]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32).tobytes()), pa.py_buffer(b" sort 1")]
    with pytest.raises(ValueError, match="its offsets do not fit its data"):
        parse_batch(pa.Array.from_buffers(pa.string(), 2, buffers), FULL)


def test_a_row_ends_where_the_next_one_begins():
    """Rows lie in one buffer with nothing between them: a digit too far would make another number."""
    text = f" {SORT} ; {REVERSE} ; add10 9 10 8 , 1 1 1 ."
    rows = [text[:size] for size in range(len(text))] + [text[size:] for size in range(len(text))]
    for config in (FULL, EXECUTE, RESULT, named("signs")):
        both(rows, config)
        both(rows, config, rows[::-1], chat=True)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is of POSIX")
@pytest.mark.parametrize("chat", [False, True])
def test_nothing_outside_the_buffer_is_read(chat):
    """The text touches pages that may not be read, before it and behind it: to read on would end the process."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    held = np.frombuffer(memory, np.uint8)
    c = ctypes.CDLL(None, use_errno=True)
    guards = [ctypes.c_void_p(held.ctypes.data + offset) for offset in (0, 2 * page)]
    text = f" {SORT} ; {REVERSE} ; add10 9 10 8 , 1 1 1 . x 1 2 -> 12 12 12 12 , 3 3 3".encode()
    assert all(c.mprotect(guard, ctypes.c_size_t(page), 0) == 0 for guard in guards)
    try:
        for config, size in product((FULL, RESULT, named("signs")), range(1, len(text))):
            for start in (page, 2 * page - size):
                held[start : start + size] = np.frombuffer(text[:size], np.uint8)
                data = pa.foreign_buffer(held.ctypes.data + start, size, base=held)
                edges = pa.py_buffer(np.array([0, size], np.int32).tobytes())
                array = pa.Array.from_buffers(pa.binary(), 1, [None, edges, data])
                assert parse_batch(array, config, array, chat).row(0) == parse(text[:size], config, text[:size], chat)
    finally:
        assert all(c.mprotect(guard, ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE) == 0 for guard in guards)


def test_the_memory_of_a_batch_is_the_next_ones_when_it_is_gone():
    texts, others = arrow([f" {SORT} ; {REVERSE} ."] * 100), arrow([f" {REVERSE} ; {SORT} ."] * 100)
    place = parse_batch(texts, FULL).numbers.ctypes.data
    batch = parse_batch(texts, FULL)
    assert batch.numbers.ctypes.data == place
    numbers, before = batch.numbers[::3, 1], batch.numbers[::3, 1].tolist()
    del batch
    assert parse_batch(others, FULL).numbers.ctypes.data != place
    assert numbers.tolist() == before
    del numbers
    assert place in [parse_batch(others, FULL).numbers.ctypes.data for _ in range(2)]


HOSTILE = {
    "commas": b",",
    "numbers": b"1 ",
    "a word": b"a",
    "digits": b"1",
    "a name and digits": b"add1",
    "semicolons": b"; ",
    "blanks": b" \n",
    "words": b"zz ",
    "heads": b"sort ",
    "heads apart": b"sort;",
    "no UTF-8": b"\xff\xfe\x80",
    "backquotes": b"``",
    "prompts": b"1 2 -> 3 4 : ",
    "ends": b". ",
    "steps": b"1 1 1 , ",
    "wrong steps": b"1 1 x , 99 1 , ",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_megabytes_of_anything_take_time_and_memory_in_proportion(unit):
    """At most 80 bytes of memory for one of text; and no loop in a loop, which takes 256 times as long for 16 times.

    What is asserted is 64. The time is the thread's own, so that other processes do not count.
    """
    parse_batch(arrow([unit]), FULL, arrow([ASKED]), chat=True)
    seconds = []
    for size in (1 << 18, 1 << 22):
        texts, prompts = arrow([unit * (size // len(unit))]), arrow([ASKED])
        tracemalloc.start()
        parse_batch(texts, FULL, prompts, chat=True)
        assert tracemalloc.get_traced_memory()[1] < 80 * size
        tracemalloc.stop()
        times = []
        for _ in range(3):
            start = time.thread_time()
            parse_batch(texts, FULL, prompts, chat=True)
            times.append(time.thread_time() - start)
        seconds.append(min(times))
    assert seconds[1] < 64 * seconds[0]


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_long_rows_are_read_like_short_ones(unit):
    for chat in (False, True):
        both([unit * 700, b" sort " + unit * 700, b" sort 1 1 1 , " + unit * 700 + b" ."], FULL, [ASKED] * 3, chat)


@pytest.mark.parametrize("keys", ["", "spelling=letters", "graph=deep"])
def test_every_head_of_up_to_sixteen_bytes_is_found_at_once(keys):
    grammar = compose(*keys.split()).grammar
    sizes = [len(grammar.head(head).encode()) for head in grammar.heads]
    assert min(sizes) <= 16
    slots = tables(grammar, "completion").lexicon.heads
    assert sorted(slots[slots[:, 4] > 0, 4]) == sorted(size for size in sizes if size <= 16)
