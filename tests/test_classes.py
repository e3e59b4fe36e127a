"""Classes of equal chains against the references, run on every vector."""

from __future__ import annotations

import tracemalloc
from itertools import combinations, product

import numpy as np
import pytest

from fastgen import classes
from fastgen.doors import compose
from fastgen.transforms import RECORDS, Transformation, split_head

GRAPHS = ("default", "mixed", "deep", "wide", "small")


def chain(text):
    parsed = [split_head(head) for head in text.split()]
    return tuple(Transformation(RECORDS[name], argument) for name, argument in parsed)


def find(*texts, k=11, shortest=8, longest=8):
    return classes.find(tuple(map(chain, texts)), k, tuple(range(shortest, longest + 1)))


def table(transformations, k, length):
    """The function itself: its value for every vector, by the references."""
    values = []
    for x in product(range(k), repeat=length):
        y = list(x)
        for transformation in transformations:
            y = transformation(y, k, [])
        values.append(tuple(y))
    return tuple(values)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(("k", "shortest", "longest"), [(3, 3, 3), (2, 1, 4), (5, 2, 2)])
def test_classes_are_the_functions(graph, k, shortest, longest):
    config = compose(f"graph={graph}", f"k={k}", f"length={{min:{shortest},max:{longest}}}", "chain.max=2")
    chains = tuple(each.transformations for each in config.chains)
    lengths = tuple(range(shortest, longest + 1))
    found = classes.find(chains, k, lengths)

    def function(transformations):
        return tuple(table(transformations, k, length) for length in lengths)

    functions = [function(each) for each in chains]
    order = list(dict.fromkeys(functions))
    assert found.number == tuple(map(order.index, functions))
    assert found.identity == tuple(each == function(()) for each in functions)
    assert found.constant == tuple(all(len(set(values)) == 1 for values in each) for each in functions)
    assert set(found.decided) == {"proved"}
    assert found.at_length == tuple((n, len({each[i] for each in functions})) for i, n in enumerate(lengths))
    for number, canonical in enumerate(found.canonical):
        members = [i for i in range(len(chains)) if found.number[i] == number]
        assert canonical == min(members, key=lambda i: (len(chains[i]), i))
    for i, transformations in enumerate(chains):
        places = range(len(transformations) + 1)
        shorter = [transformations[:start] + transformations[stop:] for start, stop in combinations(places, 2)]
        shorter += [other for other in chains if len(other) < len(transformations)]
        assert found.redundant[i] == any(function(other) == functions[i] for other in shorter)


def test_known_classes():
    texts = ("reverse reverse", "add3 add4", "add4 add3", "sort cummax", "sort", "multiply0 sort", "add7", "rank sort")
    found = find(*texts)
    assert found.number == (0, 1, 1, 2, 2, 3, 1, 4)
    assert found.canonical == (0, 6, 4, 5, 7)
    assert found.identity == (True, *[False] * 7)
    assert found.constant == (*[False] * 5, True, False, False)
    assert found.redundant == (True, True, True, True, False, True, False, False)


def test_what_is_proved_and_what_is_tested():
    assert find("sort", "reverse").decided == ("proved", "proved")  # that they differ is
    assert find("sort", "sort sort").decided == ("tested on 65536 vectors",)  # 11^8 vectors: too many
    assert find("sort", "sort sort", k=7).decided == ("proved",)
    assert find("sort", "sort sort", k=2, shortest=5, longest=20).decided == ("proved",)
    assert find("sort", "sort sort", k=2, shortest=4, longest=20).decided != ("proved",)  # not all lengths are tried


@pytest.mark.parametrize("chain", ["reverse reverse", "multiply0", "sort cummax"])
def test_what_is_said_of_a_chain_without_an_equal_one_is_decided_too(chain):
    """It is the identity, constant or redundant, and that was tested."""
    assert find(chain, "reverse").decided == ("tested on 65536 vectors", "proved")
    assert find(chain, "reverse", k=7).decided == ("proved", "proved")


def test_chains_that_differ_on_few_vectors_are_told_apart():
    """Of three elements mod 65536 two are equal once in 20,000 vectors, and only then the results differ."""
    found = find(
        "sort rank", "sort_descending rank reverse", "rank sort", "rank cummax sort", k=65_536, shortest=3, longest=3
    )
    assert found.constant == (False, False, False, False)
    assert found.number == (0, 0, 0, 1)


def test_a_run_of_steps_that_cancels_out_is_redundant():
    assert find("sort reverse negate negate reverse", "sort negate reverse negate").redundant == (True, False)


@pytest.mark.parametrize("k", [2, 11, 256, 257, 65_536])
def test_mixed_vectors_are_of_every_kind(k):
    x = classes._mixed(k, 6, 8, 8 + 4096)
    assert x.dtype == (("uint8") if k <= 256 else "uint16")
    assert x.shape == (6, 4096)
    assert x.max() < k
    assert (x == classes._mixed(k, 6, 0, 8 + 4096)[:, 8:]).all()  # a vector depends on its number alone
    rows = x.T.astype(int)
    assert any(len(set(row)) <= 2 for row in rows)
    assert any(list(row) == sorted(row) for row in rows)
    assert {0, k - 1} <= set(rows.ravel())


@pytest.mark.parametrize(("shortest", "longest"), [(2, 32), (1, 65_536), (8, 24), (3, 300)])
def test_of_many_lengths_odd_and_even_ones_are_tried(shortest, longest):
    tried = classes._spread(tuple(range(shortest, longest + 1)))
    assert len(tried) == 16
    assert list(tried) == sorted(set(tried))
    assert tried[:8] == tuple(range(shortest, shortest + 8))
    assert tried[-1] == longest
    assert longest - tried[-2] <= (longest - shortest) // 8 + 1


def test_chains_that_differ_at_odd_lengths_alone_are_told_apart():
    assert find("reverse swap_pairs", "swap_pairs reverse", k=3, shortest=2, longest=32).number == (0, 1)


def test_lengths_that_no_split_has_do_not_count():
    """Of even length, the two orders are the same function; between two even lengths there is an odd one."""
    graph = ("graph.layers=2", "graph.width=2", "graph.vertices=[reverse,swap_pairs,reverse,swap_pairs]", "chain.min=1")
    halves = ("split.sets.train.chains=0.5", "split.sets.validation.chains=0.5")
    config = compose(*graph, *halves, "k=5", "length=4", "split.sets.validation.length=6")
    numbers = {
        " ".join(chain.heads): number for chain, number in zip(config.chains, config.classes.number, strict=True)
    }
    assert numbers["reverse swap_pairs"] == numbers["swap_pairs reverse"]
    assert [length for length, _ in config.classes.at_length] == [4, 6]


def test_memory_does_not_grow_with_the_chains():
    """A hundred results of a megabyte each: a few are there at a time, and four bytes of trace for each element."""
    x = np.zeros((1024, 1024), np.uint8)
    tracemalloc.start()
    try:
        found = classes._run([chain(f"add{i}") for i in range(100)], 256, 1024, [x])
        assert tracemalloc.get_traced_memory()[1] < 16 * x.nbytes
    finally:
        tracemalloc.stop()
    assert len({digest for digest, _ in found}) == 100


def test_every_vector_once():
    x = classes._all(3, 4, 10, 81)
    assert [tuple(row) for row in x.T] == list(product(range(3), repeat=4))[10:]


def test_a_chain_is_constant_only_if_it_is_on_all_blocks():
    x = np.array([[0, 1], [0, 2]], np.uint8), np.array([[0, 0], [0, 0]], np.uint8)
    for blocks in (x, x[::-1]):
        assert [constant for _, constant in classes._run([chain("sort"), chain("multiply0")], 3, 2, blocks)] == [
            False,
            True,
        ]
