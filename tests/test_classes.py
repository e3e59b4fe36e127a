"""Classes of equal chains against the references, run on every vector."""

from __future__ import annotations

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
    return classes.find(tuple(map(chain, texts)), k, shortest, longest)


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
    found = classes.find(chains, k, shortest, longest)
    lengths = range(shortest, longest + 1)

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
