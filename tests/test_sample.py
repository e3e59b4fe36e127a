"""What is drawn is as stated: chi-square tests against exact expectations, each with a bias that it catches.

Seeds are fixed, so every test gives the same answer every time.
"""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from fastgen import sample
from fastgen.doors import compose
from fastgen.graph import Graph
from fastgen.trace import LARGEST

ROWS = 1_000_000


# Chi-square


def critical(freedom):
    """What a chi-square statistic exceeds once in a million, after Wilson and Hilferty (1931)."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + 4.753424 * spread**0.5) ** 3


def check(observed, expected):
    """`observed: int[cell]` counts are of the distribution `expected: [cell]`, probabilities; cells of 0 are empty."""
    expected = np.array([float(probability) for probability in expected])
    assert abs(expected.sum() - 1) < 1e-9
    assert len(observed) == len(expected), "something outside the distribution was drawn"
    possible = expected > 0
    assert not observed[~possible].any(), "something of probability 0 was drawn"
    counts = expected[possible] * observed.sum()
    assert counts.min() >= 20, "too few rows for the statistic"
    statistic = ((observed[possible] - counts) ** 2 / counts).sum()
    assert statistic < critical(possible.sum() - 1), f"chi-square of {statistic:.0f} in {possible.sum()} cells"


def fails(values, expected):
    """`check` refuses what it is given: the bias is caught."""
    with pytest.raises(AssertionError, match=r"^chi-square of"):
        check(np.bincount(values, minlength=len(expected)), expected)


def tilt(values, to):
    """`values` with every fiftieth replaced."""
    tilted = values.copy()
    tilted[::50] = to[::50] if isinstance(to, np.ndarray) else to
    return tilted


@pytest.mark.parametrize("freedom", [2, 10, 20, 100, 254])
def test_the_critical_value_is_exceeded_about_once_in_a_million(freedom):
    """For an even number of degrees of freedom the tail of chi-square is a sum of Poisson terms."""
    half = critical(freedom) / 2
    tail = sum(math.exp(i * math.log(half) - half - math.lgamma(i + 1)) for i in range(freedom // 2))
    assert 2e-7 < tail < 4e-6


# Rows, by the compiled functions


class Drawn:
    """ROWS rows of a split. chain: uint16[row]; length: int32[row]; x: [row, position], of rows of one length."""

    def __init__(self, config, split="train", start=0, rows=ROWS):
        found = config.find(split)
        seed, stream, start = map(np.uint64, (config.seed, found.stream, start))
        self.config, self.split = config, found
        self.chain, self.length = np.empty(rows, np.uint16), np.empty(rows, np.int32)
        second = np.empty(rows, np.uint64)
        table = sample.chain_table(found)
        low, high = found.length.min, found.length.max
        sample.draw_chains(seed, stream, start, low, high, *table, self.chain, self.length, second)
        self.offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(self.length, out=self.offsets[1:])
        self.elements = np.empty(self.offsets[-1], np.uint8 if config.k <= 256 else np.uint16)
        per_word = sample.digits_per_word(config.k)
        sample.draw_vectors(seed, stream, start, config.k, per_word, self.length, second, self.offsets, self.elements)

    @property
    def x(self):
        assert self.split.length.min == self.split.length.max
        return self.elements.reshape(len(self.length), -1)


def chains(config, split):
    """The probability of every chain, from the definition: of its length by the weights, then uniform over paths."""
    weights = dict(zip(range(config.chain.min, config.chain.max + 1), config.chain.weights, strict=True))
    own = set(config.find(split).chains)
    paths = {length: Fraction(0) for length in weights}
    for chain_id in own:
        paths[len(config.chains[chain_id])] += config.chains[chain_id].paths
    total = sum(weight for length, weight in weights.items() if paths[length])
    return [
        weights[len(chain)] / total * chain.paths / paths[len(chain)] if chain_id in own else Fraction(0)
        for chain_id, chain in enumerate(config.chains)
    ]


def summed(probabilities, keys, cells):
    """The probabilities of `cells` outcomes 0, 1, ..., of which outcome keys[i] has probabilities[i] among others."""
    result = [Fraction(0)] * cells
    for probability, key in zip(probabilities, keys, strict=True):
        result[key] += probability
    return result


SPLITS = [
    (),
    ("chain.weights=[1,2,5]",),
    ("chain.weights=[1,0,3]", "seed=7"),
    ("graph=wide", "chain.min=1"),
    ("graph=deep", "split.seed=3"),
    ("graph.vertices=[sort,sort,rank,rank,rank,reverse,add3,add14,add3,negate,negate,negate,sort,sort,sort,square]",),
    ("split.sets.train.chains=0.05", "split.sets.validation.chains=0.95"),
]
"""Overrides. The last but one has several paths to a chain."""


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("overrides", SPLITS)
def test_chains(overrides, split):
    config = compose(*overrides)
    expected = chains(config, split)
    drawn = Drawn(config, split).chain.astype(np.int64)
    check(np.bincount(drawn, minlength=len(expected)), expected)
    fails(tilt(drawn, max(config.find(split).chains, key=expected.__getitem__)), expected)


@pytest.mark.parametrize("overrides", [(), ("chain.weights=[1,2,5]",), ("graph=deep", "seed=1")])
def test_chain_lengths_and_start_layers(overrides):
    config = compose(*overrides)
    expected = chains(config, "train")
    graph = config.graph
    lengths = np.array([len(chain) for chain in config.chains])
    first = {vertex: layer for layer in range(graph.layers) for vertex in graph.layer(layer)}  # each vertex differs
    starts = np.array([first[chain.transformations[0]] for chain in config.chains])
    drawn = Drawn(config).chain
    for keys, cells in ((lengths, graph.layers + 1), (starts, graph.layers)):
        marginal = summed(expected, keys, cells)
        values = keys[drawn]
        check(np.bincount(values, minlength=cells), marginal)
        fails(tilt(values, keys.min()), marginal)


def test_without_a_split_a_start_layer_is_uniform_and_then_a_vertex_of_each_layer():
    config = compose("split.sets={train:{chains:1}}", "~split.sets.validation", "chain.weights=[1,2,5]")
    graph = config.graph
    expected = []
    for chain in config.chains:
        starts = graph.layers - len(chain) + 1
        weight = Fraction([1, 2, 5][len(chain) - 2], 8)
        expected.append(weight / starts / graph.width ** len(chain))
    assert expected == chains(config, "train")
    drawn = Drawn(config).chain.astype(np.int64)
    check(np.bincount(drawn, minlength=len(expected)), expected)


@pytest.mark.parametrize("overrides", ["length={min:4,max:9}", "length={min:1,max:2}", "length={min:30,max:85}"])
def test_lengths_are_uniform_and_independent_of_the_chain(overrides):
    config = compose(overrides, "graph=small")
    low, high = config.length.min, config.length.max
    drawn = Drawn(config)
    length, cells = drawn.length.astype(np.int64) - low, high - low + 1
    uniform = [Fraction(1, cells)] * cells
    assert (drawn.length.min(), drawn.length.max()) == (low, high)
    check(np.bincount(length, minlength=cells), uniform)
    fails(tilt(length, 0), uniform)
    joint = [a * b for a in chains(config, "train") for b in uniform]
    both = drawn.chain.astype(np.int64) * cells + length
    check(np.bincount(both, minlength=len(joint)), joint)
    coupled = drawn.chain.astype(np.int64) * cells + tilt(length, drawn.chain.astype(np.int64) % cells)
    fails(coupled, joint)


RADICES = [
    (2, 16),
    (3, 17),
    (11, 20),
    (16, 16),
    (17, 9),
    (200, 8),
    (255, 5),
    (256, 8),
    (257, 5),
    (1004, 3),
    (65_536, 4),
]
"""k, and a length that needs several words."""


def binned(values, k):
    """`values: int[...]` below k in at most 256 bins, and the exact probabilities of the bins."""
    bins = min(k, 256)
    sizes = np.bincount(np.arange(k) * bins // k, minlength=bins)
    return values.astype(np.int64) * bins // k, [Fraction(int(size), k) for size in sizes]


@pytest.mark.parametrize(("k", "length"), RADICES)
def test_elements_are_uniform(k, length):
    x = Drawn(compose(f"k={k}", f"length={length}", "graph=small")).x
    for position in range(length):
        values, uniform = binned(x[:, position], k)
        check(np.bincount(values, minlength=len(uniform)), uniform)
        fails(tilt(values, 0), uniform)


@pytest.mark.parametrize("k", [11, 17, 200, 255])
def test_bytes_reduced_modulo_k_would_be_caught(k):
    """The bias of a few percent that `random byte % k` has."""
    reduced = np.random.default_rng(0).integers(0, 256, ROWS) % k
    fails(reduced, [Fraction(1, k)] * k)


@pytest.mark.parametrize(("k", "length"), RADICES)
def test_neighbouring_elements_are_independent(k, length):
    """Within a word, across words, and from one example to the next."""
    x = Drawn(compose(f"k={k}", f"length={length}", "graph=small")).x
    coarse = min(k, 16)
    sizes = np.bincount(np.arange(k) * coarse // k, minlength=coarse)
    uniform = [Fraction(int(size), k) for size in sizes]
    joint = [a * b for a in uniform for b in uniform]
    columns = [x[:, position].astype(np.int64) * coarse // k for position in range(length)]
    for before, after in [*pairwise(columns), (columns[0], columns[-1]), (columns[0][:-1], columns[0][1:])]:
        check(np.bincount(before * coarse + after, minlength=len(joint)), joint)
        fails(before * coarse + tilt(after, before), joint)


@pytest.mark.parametrize("k", [2, 11, 257])
def test_elements_are_independent_of_the_chain_and_of_the_length(k):
    config = compose(f"k={k}", "length={min:4,max:9}", "graph=small")
    drawn = Drawn(config)
    coarse = min(k, 16)
    sizes = np.bincount(np.arange(k) * coarse // k, minlength=coarse)
    element = [Fraction(int(size), k) for size in sizes]
    first = drawn.elements[drawn.offsets[:-1]].astype(np.int64) * coarse // k
    last = drawn.elements[drawn.offsets[1:] - 1].astype(np.int64) * coarse // k
    outcome = [a * Fraction(1, 6) for a in chains(config, "train")]  # of chain and length
    joint = [a * b for a in outcome for _ in range(6) for b in element]
    given = drawn.chain.astype(np.int64) * 6 + drawn.length - 4
    for values in (first, last):
        check(np.bincount(given * coarse + values, minlength=len(joint)), joint)
        fails(given * coarse + tilt(values, given % coarse), joint)


# The bias that is left, exactly


def test_the_elements_of_a_word_are_few_enough():
    """k^digits <= 2^32 of 2^64 words: their joint distribution is off by less than 2^-32."""
    for k in range(2, LARGEST + 1):
        digits = sample.digits_per_word(k)
        assert k**digits <= 2**32


def test_length_and_column_leave_38_bits_for_the_threshold():
    graphs = [(layers, width) for layers in range(1, 17) for width in range(1, 17) if layers * width <= 16]
    most = max(sum(Graph(*graph, ()).paths(length) for length in range(1, graph[0] + 1)) for graph in graphs)
    assert most * LARGEST <= 2 ** (64 - 38)


# The table


def probabilities(table):
    """The exact probability of each outcome that a table gives, to a uniform column and threshold."""
    found = {}
    for threshold, (own, alias) in zip(table.thresholds.tolist(), table.outcomes.tolist(), strict=True):
        kept = Fraction(threshold, 2**64)
        for outcome, share in ((own, kept), (alias, 1 - kept)):
            found[outcome] = found.get(outcome, 0) + share / len(table.thresholds)
    return found


WEIGHTS = [
    [1],
    [1, 1],
    [1, 2, 5],
    [0, 1, 0, 3],
    [1, 10**12],
    [10**30, 1, 1],
    list(range(1004)),
    [1] * 1003 + [10**6],
    [3**i for i in range(40)],
]


@pytest.mark.parametrize("weights", WEIGHTS, ids=range(len(WEIGHTS)))
def test_an_alias_table_has_the_weights(weights):
    outcomes = [65_535 - 7 * i for i in range(len(weights))]
    exact = [Fraction(weight, sum(weights)) for weight in weights]
    found = probabilities(sample.alias_table(outcomes, exact))
    assert sum(found.values()) == 1
    for outcome, weight in zip(outcomes, exact, strict=True):
        assert abs(found.get(outcome, 0) - weight) <= Fraction(1, 2**63)
        assert weight or not found.get(outcome), "an outcome of weight 0 can be drawn"


@pytest.mark.parametrize("overrides", SPLITS)
def test_the_table_of_a_split_has_its_probabilities(overrides):
    config = compose(*overrides)
    for split in config.splits:
        found = probabilities(sample.chain_table(split))
        for chain_id, probability in enumerate(chains(config, split.name)):
            assert abs(found.get(chain_id, 0) - probability) <= Fraction(1, 2**63)


# Compiled against reference


@pytest.mark.parametrize("start", [0, 12_345, 2**32 - 700, 2**64 - 1500])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 33, "{min:4,max:9}", "{min:1,max:40}"])
@pytest.mark.parametrize("k", [2, 16, 17, 256, 257, 65_536])
def test_compiled_draws_are_the_references(k, length, start):
    config = compose(f"k={k}", f"length={length}", "seed=18446744073709551557")
    drawn = Drawn(config, start=start, rows=sample.TILE + 9)
    split = config.find("train")
    for r in [*range(30), *range(sample.TILE - 5, sample.TILE + 9)]:
        chain, x = sample.draw(config, split, start + r)
        assert drawn.chain[r] == chain
        assert drawn.elements[drawn.offsets[r] : drawn.offsets[r + 1]].tolist() == x
