"""Paths and chains of the layered graph, against an enumeration by walking its edges."""

from collections import Counter

import pytest

from fastgen.graph import Chain, Graph
from fastgen.transforms import RECORDS, Transformation

NAMES = "sort rank negate square cumsum difference cummax cummin reverse swap_pairs interleave evens_first".split()


def graph_of(layers, width, heads):
    return Graph(layers, width, tuple(Transformation(RECORDS[head]) for head in heads))


def walked(graph, length):
    """Every path of `length` vertices as labels, by following edges one by one."""
    paths = [[label] for label in range(graph.layers * graph.width)]
    for _ in range(length - 1):
        paths = [
            [*path, following]
            for path in paths
            for following in range(graph.layers * graph.width)
            if following // graph.width == path[-1] // graph.width + 1
        ]
    return paths


@pytest.mark.parametrize(("layers", "width"), [(1, 1), (1, 16), (16, 1), (2, 2), (3, 5), (4, 4), (8, 2), (2, 8)])
def test_paths_and_chains_are_those_that_a_walk_finds(layers, width):
    heads = [NAMES[label % len(NAMES)] for label in range(layers * width)]
    graph = graph_of(layers, width, heads)
    expected = []
    for length in range(1, layers + 1):
        found = walked(graph, length)
        assert graph.paths(length) == len(found)
        expected += [tuple(heads[label] for label in path) for path in found]
    assert len(expected) <= 1004  # 8 x 2, the most that 16 vertices can have

    chains = graph.chains(1, layers)
    assert {chain.heads: chain.paths for chain in chains} == Counter(expected)
    assert [chain.heads for chain in chains] == list(dict.fromkeys(expected)), "in the order of their first paths"


def test_two_paths_that_spell_one_chain_are_one_chain():
    graph = graph_of(2, 2, ["sort", "sort", "reverse", "rank"])
    assert [(chain.heads, chain.paths) for chain in graph.chains(2, 2)] == [
        (("sort", "reverse"), 2),
        (("sort", "rank"), 2),
    ]


def test_only_the_lengths_asked_for():
    graph = graph_of(4, 1, ["sort", "reverse", "rank", "negate"])
    assert [chain.heads for chain in graph.chains(3, 3)] == [("sort", "reverse", "rank"), ("reverse", "rank", "negate")]
    assert [len(chain) for chain in graph.chains(2, 4)] == [2, 2, 2, 3, 3, 4]


def test_arguments_tell_chains_apart():
    graph = Graph(1, 2, (Transformation(RECORDS["add"], 3), Transformation(RECORDS["add"], 4)))
    assert [chain.heads for chain in graph.chains(1, 1)] == [("add3",), ("add4",)]
    assert graph.chains(1, 1)[0] == Chain((Transformation(RECORDS["add"], 3),), 1)
