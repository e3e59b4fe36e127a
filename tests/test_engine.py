"""Blocks of rows against the references, field by field; no boundary of blocks, tiles or calls shows."""

from itertools import cycle, pairwise

import numpy as np
import pyarrow as pa
import pytest
from helpers import variant

from fastgen import engine
from fastgen.doors import compose
from fastgen.trace import pack

GRAPHS = ("default", "mixed", "deep", "wide", "small")
MODULI = (2, 3, 7, 11, 127, 128, 255, 256, 257, 65_536)
LENGTHS = (1, 2, 7, 8, 9, 16, 33, 257, {"min": 4, "max": 9}, {"min": 3, "max": 20})
COUNT = 40
STARTS = (0, 12_345, 2**40 + 1, 2**64 - COUNT)
POISON = 0xA5
GUARD = 64


class Guarded(engine.Rows):
    """Rows whose arrays hold a pattern, and lie between two guards that hold it too."""

    def __init__(self, config, capacity):
        super().__init__(config, capacity)
        self.arrays = {}
        for name in ("chain_id", "x", "y", "trace", "length", "second", "order", "spare"):
            array = getattr(self, name)
            whole = np.empty(array.size + 2 * GUARD, array.dtype)
            whole.view(np.uint8).fill(POISON)
            self.arrays[name] = whole
            setattr(self, name, whole[GUARD:-GUARD])

    def check_guards(self):
        for name, whole in self.arrays.items():
            for guard in (whole[:GUARD], whole[-GUARD:]):
                assert (guard.view(np.uint8) == POISON).all(), f"written beyond {name}"
        for name, used in (("x", self.offsets), ("y", self.offsets)):
            unused = getattr(self, name)[used[self.count] :]
            assert (unused.view(np.uint8) == POISON).all(), f"written beyond the last row of {name}"


def filled(config, split, start, count, capacity=None):
    rows = Guarded(config, capacity or count)
    engine.fill(rows, config, config.find(split), start, start + count)
    rows.check_guards()
    return rows


def row(rows, r):
    """(chain_id, x, y, trace) of row r."""
    elements, steps = slice(*rows.offsets[r : r + 2]), slice(*rows.trace_offsets[r : r + 2])
    return int(rows.chain_id[r]), rows.x[elements].tolist(), rows.y[elements].tolist(), rows.trace[steps].tolist()


def contents(rows):
    return [row(rows, r) for r in range(rows.count)]


def reference(config, split, start, count):
    dtype = engine.dtypes(config)[1]
    found = []
    for index in range(start, start + count):
        example = engine.example(config, split, index)
        assert example.index == index
        assert example.chain == config.chains[example.chain_id].heads
        assert len(example.steps) == len(example.chain) * len(example.x)
        found.append((example.chain_id, example.x, example.y, [pack(step, dtype) for step in example.steps]))
    return found


def cases():
    """Every k with every length; graphs and starts in turn, so that each meets each."""
    graphs, starts, splits = cycle(GRAPHS), cycle(STARTS), cycle(("train", "train", "validation"))
    for k in MODULI:
        for length in LENGTHS:
            yield next(graphs), k, length, next(splits), next(starts)
        next(graphs), next(starts)


@pytest.fixture(scope="module")
def bases():
    return {graph: compose(f"graph={graph}") for graph in GRAPHS}


@pytest.mark.parametrize(("graph", "k", "length", "split", "start"), list(cases()))
def test_rows_are_the_references(bases, graph, k, length, split, start):
    config = variant(bases[graph], k=k, length=length, n=1000, seed=2**64 - 1 - k)
    assert contents(filled(config, split, start, COUNT)) == reference(config, split, start, COUNT)


@pytest.fixture(scope="module")
def single():
    """One chain, so that all rows are one group."""
    return compose(
        "graph={layers:2,width:1,vertices:[sort,cumsum]}", "split.sets={train:{chains:1}}", "~split.sets.validation"
    )


@pytest.mark.parametrize("length", [1, 3, 7, 8, 9, 30])
@pytest.mark.parametrize("k", [11, 257])
def test_groups_of_every_size(single, k, length):
    """Groups are padded to whole vectors, and cut at 256 rows: sizes about those."""
    config = variant(single, k=k, length=length)
    expected = reference(config, "train", 0, 600)
    for count in [*range(1, 18), *range(30, 35), *range(62, 67), *range(254, 259), 511, 512, 513, 600]:
        assert contents(filled(config, "train", 0, count)) == expected[:count]


@pytest.mark.parametrize("overrides", [(), ("length={min:4,max:9}",), ("k=300", "graph=small")])
def test_neither_blocks_nor_calls_show(monkeypatch, overrides):
    config = compose(*overrides)
    whole = contents(filled(config, "train", 100, 3000))
    assert whole[::37] == [reference(config, "train", 100 + r, 1)[0] for r in range(0, 3000, 37)]
    for cuts in ((0, 1, 2, 1000, 1001, 3000), (0, 255, 257, 2999, 3000)):
        pieces = [filled(config, "train", 100 + a, b - a) for a, b in pairwise(cuts)]
        assert [row for piece in pieces for row in contents(piece)] == whole
    for block in (1, 64, 1000, 2999, 3000):
        monkeypatch.setattr(engine, "BLOCK", block)
        count = 300 if block == 1 else 3000
        assert contents(filled(config, "train", 100, count)) == whole[:count]


def test_rows_past_a_block_are_the_references():
    config = compose("graph=wide", "length={min:2,max:5}")
    start = engine.BLOCK - 20
    assert contents(filled(config, "train", 0, engine.BLOCK + 20))[start:] == reference(config, "train", start, 40)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("length", [1, 8, 13, {"min": 3, "max": 20}])
def test_every_step_is_written(bases, graph, length):
    """Whatever the trace held before: a step that a kernel left out would keep the pattern."""
    config = variant(bases[graph], length=length)
    rows = Guarded(config, 500)
    found = []
    for poison in (0, 0xFF):
        for name in ("chain_id", "x", "y", "trace"):
            getattr(rows, name).view(np.uint8).fill(poison)
        engine.fill(rows, config, config.find("train"), 7, 507)
        found.append(contents(rows))
    assert found[0] == found[1]
    codes = rows.trace[: rows.trace_offsets[500]] & 0xFF
    assert set(codes.tolist()) <= {vertex.record.code for vertex in config.graph.vertices}


def test_rows_are_used_again_for_other_splits_and_fewer_rows():
    config = compose("+split.sets.longer={of:train,n:20_000,length:{min:9,max:16}}")
    used = engine.Rows(config, 800)
    for split, start, stop in (("longer", 0, 800), ("train", 50, 850), ("validation", 0, 300), ("longer", 3, 4)):
        engine.fill(used, config, config.find(split), start, stop)
        assert used.count == stop - start
        assert contents(used) == contents(filled(config, split, start, stop - start))
        lengths = set(np.diff(used.offsets[: used.count + 1]).tolist())
        low, high = (9, 16) if split == "longer" else (8, 8)
        assert lengths <= set(range(low, high + 1))


def test_no_row():
    config = compose()
    rows = engine.Rows(config, 10)
    engine.fill(rows, config, config.find("train"), 5, 5)
    assert contents(rows) == []


@pytest.mark.parametrize(
    ("k", "length", "count"), [(11, 1000, 6), (256, 1000, 6), (11, 65_536, 2), (65_536, 65_536, 1)]
)
def test_long_vectors(k, length, count):
    config = compose(f"k={k}", f"length={length}")
    assert contents(filled(config, "train", 12, count)) == reference(config, "train", 12, count)


def test_an_example_has_the_rows_of_its_split_and_no_other():
    config = compose()
    train, validation = (reference(config, split, 0, 50) for split in ("train", "validation"))
    assert not {chain for chain, *_ in train} & {chain for chain, *_ in validation}
    assert all(one[1] != other[1] for one, other in zip(train, validation, strict=True))
    with pytest.raises(ValueError, match="unknown split; the nearest is train"):
        engine.example(config, "trian", 0)


def test_kernels_are_compiled_for_the_dtypes_of_the_config(bases):
    for k, length, vector, code in (
        (256, 256, pa.uint8(), pa.uint32()),
        (256, 257, pa.uint8(), pa.uint64()),
        (257, 8, pa.uint16(), pa.uint64()),
    ):
        config = variant(bases["small"], k=k, length=length)
        assert tuple(map(pa.from_numpy_dtype, engine.dtypes(config))) == (vector, code)
    config = compose("+split.sets.longer={of:train,n:20_000,length:300}")
    assert engine.dtypes(config) == (np.uint8, np.uint64)  # step codes are sized over all splits
