"""All chains that map x to y: compiled, against the references; and the kernels without a trace."""

from __future__ import annotations

import numpy as np
import pytest

from fastgen import solve
from fastgen.doors import compose

MODULI = (2, 3, 7, 11, 127, 128, 255, 256, 257, 65_536)


def ragged(vectors, k):
    flat = [value for vector in vectors for value in vector] + [k - 1] * solve.SLACK
    offsets = np.cumsum([0, *map(len, vectors)]).astype(np.int32)
    return np.array(flat, np.uint8 if k <= 256 else np.uint16), offsets


def some(config, lengths, count, seed=0):
    """Vectors x, and of each what a chain makes of it, or what none does."""
    random = np.random.default_rng(seed)
    xs, ys = [], []
    for r in range(count):
        x = random.integers(0, config.k, lengths[r % len(lengths)]).tolist()
        y = x
        for transformation in config.chains[random.integers(len(config.chains))].transformations:
            y = transformation(y, config.k, [])
        xs.append(x)
        ys.append(y if r % 7 else [(value + 1) % config.k for value in y])
    return xs, ys


def pairs(tree, xs, ys, k, **options):
    x, offsets = ragged(xs, k)
    y, _ = ragged(ys, k)
    found = [
        (int(r), int(chain))
        for rows, chains in solve.pairs(tree, x, y, offsets, **options)
        for r, chain in zip(rows, chains, strict=True)
    ]
    assert len(found) == len(set(found))
    return sorted(found)


@pytest.mark.parametrize("graph", ["default", "mixed", "deep", "wide", "small"])
@pytest.mark.parametrize("k", MODULI)
def test_solutions_are_those_of_the_references(graph, k):
    config = compose(
        f"graph={graph}", f"k={k}", "length={min:1,max:9}", "chain.max=3" if graph == "deep" else "k=" + str(k)
    )
    xs, ys = some(config, range(1, 10), 60)
    tree = solve.tree(dict(enumerate(config.chains)), k, 9)
    expected = [(r, i) for r in range(60) for i in solve.solutions(config.chains, k, xs[r], ys[r])]
    assert pairs(tree, xs, ys, k) == expected
    assert expected


@pytest.mark.parametrize("lengths", [[257], [300, 1, 17], [5000]])
def test_long_vectors(lengths):
    config = compose("graph=small", "k=11", "length=8")
    xs, ys = some(config, lengths, 40)
    tree = solve.tree(dict(enumerate(config.chains)), 11, max(lengths))
    assert pairs(tree, xs, ys, 11) == [
        (r, i) for r in range(40) for i in solve.solutions(config.chains, 11, xs[r], ys[r])
    ]


def test_more_solutions_than_rows():
    """Of all-zero vectors nearly every chain is a solution: more than there is room for at first."""
    config = compose("graph=mixed", "k=2", "length=1")
    tree = solve.tree(dict(enumerate(config.chains)), 2, 1)
    xs = [[r % 2] for r in range(3000)]
    found = pairs(tree, xs, xs, 2)
    one = [solve.solutions(config.chains, 2, [bit], [bit]) for bit in (0, 1)]
    assert found == [(r, i) for r in range(3000) for i in one[r % 2]]
    assert len(found) > 50 * 3000


def test_only_some_rows_and_only_some_chains():
    config = compose("graph=mixed", "k=3")
    xs, ys = some(config, [4, 6], 2 * solve.BLOCK)
    train = config.splits[0].chains
    tree = solve.tree({i: config.chains[i] for i in train}, 3, 6)
    rows = np.array([0, 5, 77, 8000, 4097], np.int32)
    found = pairs(tree, xs, ys, 3, rows=rows)
    assert found == sorted(
        (int(r), i) for r in rows for i in solve.solutions(config.chains, 3, xs[r], ys[r]) if i in train
    )
    x, offsets = ragged(xs, 3)
    y, _ = ragged(ys, 3)
    everywhere = pairs(tree, xs, ys, 3)
    counts = np.bincount([r for r, _ in everywhere], minlength=len(xs))
    assert (solve.count(tree, x, y, offsets) == counts).all()
    assert (solve.solved(tree, x, y, offsets) == (counts > 0)).all()
    assert solve.solved(tree, x, y, offsets, rows).sum() == len({r for r, _ in found})


def test_share_solved():
    """sort, then cummax is sort; reverse is it for vectors that are in descending order."""
    config = compose("graph=small", "graph.vertices=[sort,reverse,cummax,sort]", "k=2", "length=3", "chain.min=1")
    heads = {" ".join(chain.heads): chain for chain in config.chains}
    tree = solve.tree({0: heads["sort"]}, 2, 3)
    shares = solve.share_solved(tree, [heads["sort cummax"], heads["reverse"]], 3, 4096)
    assert shares[0] == 1
    assert abs(shares[1] - 4 / 8) < 0.04  # 000, 100, 110, 111
