"""Prompts and completions: the reference against lines by hand, the kernel against the reference, byte by byte."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import cycle, pairwise, permutations, product

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import fastgen, variant

from fastgen import engine, write
from fastgen.doors import CONF, compose
from fastgen.engine import Example, example
from fastgen.graph import Chain, Graph
from fastgen.shard import table
from fastgen.text.grammar import LONGEST_WORD, STEP
from fastgen.text.render import COLUMNS, PIECE, SLACK, Texts, _pairs, _pieces, fill, most, render
from fastgen.trace import pack, unpack
from fastgen.transforms import RECORDS, Transformation

GRAPHS, TEXTS, TASKS, SPELLINGS = (
    sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("graph", "text", "task", "spelling")
)
MODULI = (2, 3, 7, 11, 127, 128, 255, 256, 257, 65_536)
LENGTHS = (1, 2, 8, 33, 257, {"min": 1, "max": 300})
STEPS = [list(fields) for size in range(4) for fields in permutations(STEP, size)]
COUNT = 20
POISON = 0xA5
GUARD = 64

default = cache(lambda *overrides: compose(f"columns=[{','.join(COLUMNS)}]", *overrides))


def changed(config, **sections):
    """The config with other values; in sections, of the keys named."""
    old = config.identity()
    new = {key: {**old[key], **value} if isinstance(value, dict) else value for key, value in sections.items()}
    return variant(config, **new)


def texts(rows):
    """column -> the text of each row, by the buffers."""
    return {
        name: [bytes(text[start:stop]).decode() for start, stop in pairwise(offsets[: rows.count + 1])]
        for name, (offsets, text) in rows.texts.columns.items()
    }


def check(config, start=0, count=COUNT):
    """Every split's rows start..start+count-1, as a table, against the reference; and none is longer than it may be."""
    for split in config.splits:
        found = table(config, split.name, start, start + count)
        found.validate(full=True)
        expected = [render(example(config, split.name, index), config) for index in range(start, start + count)]
        for name in config.columns:
            column = COLUMNS.index(name)
            assert found[name].to_pylist() == [pair[column] for pair in expected]
            assert max(len(pair[column].encode()) for pair in expected) <= most(config)[name]


# The reference


def by_hand(k, x, *heads):
    """An example of this chain, by the definitions."""
    steps, y = [], x
    for name, *argument in heads:
        y = RECORDS[name](y, k, steps, *argument)
    return Example(0, 0, tuple("".join(map(str, head)) for head in heads), x, y, steps)


LINES = [
    # overrides, chain, prompt, completion
    (
        (),
        [("sort",), ("cumsum",)],
        "3 1 4 1 -> 1 2 5 9 :",
        " sort 0 1 1 , 1 3 1 , 2 0 3 , 3 2 4 ; cumsum 0 1 1 , 1 1 2 , 2 3 5 , 5 4 9 .",
    ),
    (("text=result",), [("sort",), ("add", 3)], "3 1 4 1 -> 4 4 6 7 :", " sort 1 1 3 4 ; add3 4 4 6 7 ."),
    (("text=names",), [("sort",), ("add", 3)], "3 1 4 1 -> 4 4 6 7 :", " sort ; add3 ."),
    (("task=execute", "text=result"), [("add", 9)], "3 1 4 1 : add9 :", " add9 1 10 2 10 -> 1 10 2 10 ."),
    (
        ("task=plan", "text=names"),
        [("sort",), ("add", 3)],
        "3 1 4 1 -> 4 4 6 7 :",
        " sort ; add3 : sort ; add3 .",
    ),
    (("task=direct",), [("sort",), ("add", 3)], "3 1 4 1 : sort ; add3 ->", " 4 4 6 7 ."),
    (
        ("spelling=letters", "task.prompt='{x} -> {y} : {depth} mod {k} :'"),
        [("sort",)],
        "d b e b -> b b d e : b mod l :",
        " sort a b b , b d b , c a d , d c e .",
    ),
    (("text.step=[b]",), [("sort",)], "3 1 4 1 -> 1 1 3 4 :", " sort 1 3 0 2 ."),
    (("text.step=[a,r]",), [("sort",)], "3 1 4 1 -> 1 1 3 4 :", " sort 0 1 , 1 1 , 2 3 , 3 4 ."),
]


@pytest.mark.parametrize(("overrides", "chain", "prompt", "completion"), LINES, ids=range(len(LINES)))
def test_lines_by_hand(overrides, chain, prompt, completion):
    assert render(by_hand(11, [3, 1, 4, 1], *chain), default(*overrides)) == (prompt, completion)


# The kernel


@pytest.mark.parametrize(("graph", "text", "task"), list(product(GRAPHS, TEXTS, TASKS)))
def test_every_graph_text_and_task(graph, text, task):
    check(default(f"graph={graph}", f"text={text}", f"task={task}"), 12_345)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling(spelling):
    check(default(f"spelling={spelling}"), 2**64 - COUNT)
    check(default(f"spelling={spelling}", "length={min:1,max:20}", "task=plan", "graph=mixed", "chain.min=1"))


def modulus_cases():
    """Every k with every length; texts, tasks and graphs in turn, so that each meets each."""
    steps, tasks, graphs = cycle(STEPS), cycle(TASKS), cycle(GRAPHS)
    for k in MODULI:
        for length in LENGTHS:
            yield k, length, next(steps), next(tasks), next(graphs)
        next(steps), next(tasks)


@pytest.mark.parametrize(("k", "length", "step", "task", "graph"), list(modulus_cases()))
def test_every_k_and_length(k, length, step, task, graph):
    step = step or ["a", "b", "r"]
    check(changed(default(f"task={task}", f"graph={graph}"), k=k, length=length, text={"step": step}), 7, 8)


@pytest.mark.parametrize("k", [11, 100, 101, 256, 257])
def test_steps_of_two_numbers_in_a_piece_and_of_one(k):
    """Where steps are a b r, the kernel has three ways to write them, by how wide the numbers are."""
    check(changed(default(), k=k), 3, 200)
    check(changed(default(), k=k, length=100), 3, 20)
    check(changed(default(), k=k, length=101), 3, 20)


@pytest.mark.parametrize("step", STEPS, ids="".join)
def test_every_choice_of_what_a_step_shows(step):
    for k in (11, 257):
        check(changed(default(), k=k, text={"step": step}))


DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
LONG = "é" * 28
FOREIGN = {
    "han": ({"sort": "排序", ";": "然后", ",": "、", "->": "→"}, [str(v).translate(DIGITS) for v in range(300)]),
    "words": ({"sort": "ordena"}, [f"number{v}x" for v in range(12)]),
    "seven bytes": ({}, [f"n{v:05}" for v in range(300)]),
    "eight bytes": ({}, [f"n{v:06}" for v in range(300)]),
    "pairs of seven": ({}, ["a", "bb", "é", *(f"{v:02}" for v in range(3, 90))]),
    "long": (
        {name: f"{LONG}{place:07}z" for place, name in enumerate(["sort", "add", ",", ";", "->", ":", "."])},
        [f"{LONG}{v:08}" for v in range(300)],
    ),
    "long comma": ({",": "x" * LONGEST_WORD}, [f"n{v}" for v in range(11)]),
    "fewer words than numbers": ({}, [f"w{v}x" for v in range(11)]),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("step", [["a", "b", "r"], ["b", "r"], ["r"], []], ids="".join)
def test_foreign_spellings(name, step):
    words, numbers = FOREIGN[name]
    spelling = {"words": words, "numbers": numbers}
    base = changed(default(), spelling=spelling, text={"step": step})
    check(base, 5, 60)
    given = {"prompt": "{x} : {chain} : {depth} :", "completion": " {trace} -> {y} ."}
    check(changed(base, task=given), 5, 30)
    if len(numbers) >= 300:
        check(changed(base, k=257, length={"min": 1, "max": 300}, task={"prompt": "{x} -> {y} : {k} :"}), 5, 5)


@pytest.mark.parametrize("preamble", ["", "\n", "Seven b", "Find the chain.\n\n", "ü" * 5000 + "\n"])
def test_preambles(preamble):
    config = default()
    check(replace(config, grammar=replace(config.grammar, preamble=preamble)))


@pytest.mark.parametrize("preamble", ["short", "full"])
def test_preambles_of_the_config(preamble):
    config = default(f"text.preamble={preamble}")
    check(config)
    assert config.grammar.preamble
    assert render(example(config, "train", 0), config)[0].startswith(config.grammar.preamble)


@pytest.mark.parametrize("columns", [("prompt",), ("completion",), ("x", "completion"), ("index", "trace"), COLUMNS])
def test_only_what_is_asked_for_is_made(columns):
    config = replace(default(), columns=columns)
    found = table(config, "train", 0, COUNT)
    assert tuple(found.column_names) == columns
    assert found.equals(table(compose(), "train", 0, COUNT).select(columns))
    assert set(engine.Rows(config, 1).texts.columns) == set(most(config)) == {*columns} & {*COLUMNS}


def test_lengths_of_other_splits():
    check(default("split=controls", "n=100_000"))


def test_long_vectors():
    for k in (11, 65_536):
        check(changed(default(), k=k, length=65_536), 3, 1)


@pytest.mark.parametrize("overrides", [(), ("length={min:1,max:20}", "text=result")])
def test_neither_blocks_nor_calls_nor_rows_used_before_show(monkeypatch, overrides):
    config = default(*overrides)
    whole = table(config, "train", 0, 3000)
    used = engine.Rows(config, 3000)
    for block in (64, 1000, 65_536):
        monkeypatch.setattr(engine, "BLOCK", block)
        for start, stop in ((1000, 3000), (5, 6), (0, 3000), (7, 7), (2, 70)):
            engine.fill(used, config, config.splits[0], start, stop)
            found = texts(used)
            for name in COLUMNS:
                assert found[name] == whole[name][start:stop].to_pylist()


# Buffers


class Guarded(Texts):
    """Buffers that hold a pattern, with a guard of it behind each."""

    def __init__(self, config, capacity):
        super().__init__(config, capacity)
        self.whole = {name: np.full(text.size + GUARD, POISON, np.uint8) for name, (_, text) in self.columns.items()}
        self.columns = {name: (offsets, self.whole[name][:-GUARD]) for name, (offsets, _) in self.columns.items()}


WIDE = (
    ("length={min:1,max:9}",),
    ("k=101", "length=3"),
    ("k=300", "length=5"),
    ("k=300", "length=5", "text.step=[r,a]"),
    ("text=result", "task=plan"),
    ("text=names", "length=1"),
    ("spelling=letters",),
)


@pytest.mark.parametrize("overrides", WIDE)
def test_whatever_a_trace_and_vectors_hold_is_written_as_it_is_and_stays_inside(overrides):
    """Operands that no transformation of fastgen's logs: a plug-in might."""
    config = default(*overrides)
    rows = engine.Rows(config, 100)
    engine.fill(rows, config, config.splits[0], 0, 100)
    random = np.random.default_rng(0)
    largest = np.iinfo(rows.trace.dtype).max
    for codes in (random.integers(0, largest, rows.trace.size, rows.trace.dtype, endpoint=True), largest, 0):
        rows.trace[:] = codes
        for vector in (rows.x, rows.y):
            vector[:] = random.integers(0, np.iinfo(vector.dtype).max, vector.size, vector.dtype, endpoint=True)
        buffers = Guarded(config, rows.count)
        fill(buffers, config, rows)
        for r in range(rows.count):
            expected = render(_row(config, rows, r), config)
            for name, text in zip(COLUMNS, expected, strict=True):
                offsets, found = buffers.columns[name]
                assert bytes(found[offsets[r] : offsets[r + 1]]).decode() == text
                assert len(text.encode()) <= most(config)[name]
        for name, whole in buffers.whole.items():
            end = buffers.columns[name][0][rows.count]
            assert (whole[end + SLACK :] == POISON).all(), f"written beyond {name}"


def _row(config, rows, r):
    """What the arrays hold at row r, as an example."""
    chain = config.chains[rows.chain_id[r]]
    x, y = (vector[slice(*rows.offsets[r : r + 2])].tolist() for vector in (rows.x, rows.y))
    codes = rows.trace[slice(*rows.trace_offsets[r : r + 2])]
    steps = list(zip(*(field.tolist() for field in unpack(codes)), strict=True))
    assert [pack(step, codes.dtype) for step in steps] == codes.tolist()
    return Example(0, int(rows.chain_id[r]), chain.heads, x, y, steps)


FULL = [
    # numbers all as wide, and one chain: every row is the largest
    {"k": 256, "spelling": {"words": {}, "numbers": [f"n{v:03}" for v in range(256)]}},
    {"k": 256, "spelling": {"words": {",": "é" * 32, ";": "x" * 64}, "numbers": [f"{LONG}{v:08}" for v in range(256)]}},
    {"k": 300, "length": 17, "spelling": {"words": {}, "numbers": [f"n{v:05}" for v in range(65_536)]}},
    {"text": {"step": ["r"]}, "spelling": {"words": {}, "numbers": [f"n{v:03}" for v in range(256)]}},
    {"text": {"step": []}, "spelling": {"words": {}, "numbers": [f"n{v:03}" for v in range(256)]}},
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("values", FULL, ids=range(len(FULL)))
def test_the_most_bytes_are_reached(values, task):
    """And the last row then ends where the buffer does, but for its slack."""
    config = changed(
        default(
            *("graph={layers:3,width:1,vertices:[sort,add3,rotate1]}", "chain.min=3", f"task={task}"),
            *("split.sets={train:{chains:1}}", "~split.sets.validation", "text.preamble=short"),
        ),
        **values,
    )
    rows = engine.Rows(config, 5)
    engine.fill(rows, config, config.splits[0], 0, 5)
    buffers = Guarded(config, 5)
    fill(buffers, config, rows)
    for name, (offsets, text) in buffers.columns.items():
        assert np.diff(offsets).tolist() == [most(config)[name]] * 5
        assert offsets[5] == text.size - SLACK
        assert (buffers.whole[name][-GUARD:] == POISON).all(), f"written beyond {name}"
    check(config)


def test_the_most_bytes_with_the_longest_words_stay_below_32_bits():
    """16 transformations of 65,536 steps, every word of 64 bytes: a row is a group, and its offsets fit."""
    config = changed(default("text=full"), length=65_536)
    record = RECORDS["reverse"]
    graph = Graph(16, 1, (Transformation(record),) * 16)
    grammar = config.grammar
    grammar = replace(
        grammar,
        names=dict.fromkeys(grammar.names, "n" * LONGEST_WORD),
        words=dict.fromkeys(grammar.words, "w" * LONGEST_WORD),
        number_words=("d" * LONGEST_WORD,) * 65_536,
    )
    chains = (Chain(graph.vertices, 1),)
    chain = replace(config.chain, max=16)
    largest = replace(config, k=65_536, graph=graph, chains=chains, chain=chain, grammar=grammar)
    steps, word = 16 * 65_536, LONGEST_WORD + 1
    assert most(largest) == {
        "prompt": (2 * 65_536 + 2) * word - 1,
        "completion": 1 + (16 + 15 + 3 * steps + (steps - 16) + 1) * word - 1,
    }
    assert write.group_rows(largest) == 1
    assert max(most(largest).values()) + SLACK < 2**31


@pytest.mark.parametrize("length", [1, 8, 1000, 65_536])
@pytest.mark.parametrize("spelling", [None, [f"{LONG}{v:08}" for v in range(65_536)]], ids=["decimal", "long"])
def test_the_text_of_a_group_stays_below_32_bits(length, spelling):
    for graph in ("default", "deep"):
        base = default(f"graph={graph}", "parquet.row_group=1e9", "shard=1e9")
        config = changed(base, k=256, length=length, spelling={"words": {}, "numbers": spelling})
        groups = write.group_rows(config)
        assert all(groups * size + SLACK < 2**31 for size in most(config).values())
        assert groups == 1 or groups * sum(most(config).values()) <= write.GROUP_BYTES
        assert write.row_bytes(config) > sum(most(config).values())


# Files


def test_files_hold_the_text(tmp_path):
    made = fastgen("run", "n=500", "out=made", "k=100", '+spelling.words.sort="排序"', "shard=200", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    config = write.load(tmp_path / "made")
    for split in config.splits:
        parts = sorted((tmp_path / "made/data" / f"split={split.name}").iterdir())
        found = [pq.read_table(part, partitioning=None) for part in parts]
        for piece in found:
            piece.validate(full=True)
            assert [str(piece.schema.field(name).type) for name in COLUMNS] == ["string", "string"]
            assert not any(piece.schema.field(name).nullable for name in COLUMNS)
        pairs = [pair for piece in found for pair in zip(*(piece[name].to_pylist() for name in COLUMNS), strict=True)]
        assert pairs == [render(example(config, split.name, index), config) for index in range(split.rows)]
    group = pq.ParquetFile(parts[0]).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in COLUMNS:
        assert not columns[name].is_stats_set
        assert "RLE_DICTIONARY" not in columns[name].encodings


def test_two_numbers_that_fit_into_a_piece_are_one():
    texts = [f"{number} ".encode() for number in range(256)]
    pairs = _pairs(_pieces(texts, 1))
    for a, b in product((0, 3, 9, 10, 99, 100, 255), repeat=2):
        both = texts[a] + texts[b]
        assert pairs[a | b << 8] == (_pieces([both], 1)[0] if len(both) <= PIECE else 0)
