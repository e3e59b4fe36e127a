"""How often a model can name the chain at best: several chains may map x to y, and it sees only these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fastgen import solve
from fastgen.engine import Rows, fill, tree
from fastgen.settings import Config
from fastgen.split import Split, weights

SAMPLE, ELEMENTS = 65_536, 2**20
"""Examples of a split that are solved, and elements of their vectors: where those are longer than 16, fewer of them. A
share of all of them is off by 0.2 % (one standard deviation) at most."""


@dataclass(frozen=True)
class Ceiling:
    """What can be reached on a split, as shares of its first examples, `sample` of them."""

    best: float
    """The best exact-chain accuracy of any model: of one that knows which chains the split has, and how often."""
    blind: float
    """Of one that knows all chains of the graph, but not which of them are the split's."""
    several: float
    """Examples that more than one chain of the graph explains."""
    train: float
    """Examples that a chain of the first split explains."""


@lru_cache(maxsize=16)
def ceiling(config: Config, split: Split) -> Ceiling:
    """The ceiling of a split, by solving examples of it.

    In a certified one, chains count by their weights, though those that are certified less often stand for more of it.
    """
    config = replace(config, columns=("x", "y"))
    count = sample(config)
    rows = Rows(config, count)
    fill(rows, config, split, 0, count)
    return ceiling_of(config, split, rows.x, rows.y, rows.offsets[: count + 1])


def sample(config: Config) -> int:
    """How many examples are solved: at least 16, so that memory and time are bounded at any length."""
    return min(SAMPLE, ELEMENTS // config.longest)


def ceiling_of(config: Config, split: Split, x: Any, y: Any, offsets: Any) -> Ceiling:
    """The ceiling of these rows of a split (arguments as of `solve.pairs`), whose chains have the split's weights.

    Nobody is right where no chain of the split maps x to y.
    """
    ours, graph = by_chain(config, split), by_chain(config, everything(config))
    train = by_chain(config, config.splits[0]) > 0
    count = offsets.size - 1
    found = np.zeros(count, np.uint16)
    by_train = np.zeros(count, np.bool_)
    total, best, likely, ties, right = np.zeros((5, count))
    for row, chain in solve.pairs(tree(config), x, y, offsets):
        np.add.at(found, row, 1)
        by_train[row[train[chain]]] = True
        np.add.at(total, row, ours[chain])
        np.maximum.at(best, row, ours[chain])
        np.maximum.at(likely, row, graph[chain])
        guess = graph[chain] == likely[row]
        np.add.at(ties, row, guess)
        np.add.at(right, row, guess * ours[chain])
    ours_too = total > 0
    return Ceiling(
        best=float((best[ours_too] / total[ours_too]).sum() / count),
        blind=float((right[ours_too] / ties[ours_too] / total[ours_too]).sum() / count),
        several=float((found > 1).mean()),
        train=float(by_train.mean()),
    )


def everything(config: Config) -> Split:
    """A split of all chains, as it would be without splits."""
    ids = tuple(sorted(config.owners))
    probabilities = weights([config.chains[chain_id] for chain_id in ids], config.chain.by_length)
    return replace(config.splits[0], name="graph", chains=ids, weights=probabilities)


def by_chain(config: Config, split: Split) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64[chain]: how often a split draws each chain."""
    chances = np.zeros(len(config.chains))
    chances[list(split.chains)] = [float(weight) for weight in split.weights]
    return chances
