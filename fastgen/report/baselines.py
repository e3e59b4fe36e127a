"""What a score is worth: what it would be without a model, on the same rows.

Where the prompt shows x and y, a trace is right if it works any chain that maps x to y. So a guess has a chance, and a
chain of train may do for an example that was held out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgen import solve
from fastgen.ceiling import by_chain, everything
from fastgen.engine import tree
from fastgen.settings import Config
from fastgen.text.batch import Batch
from fastgen.text.grammar import FIELDS
from fastgen.trace import vector_dtype

SAMPLE = 65_536
"""Rows that are solved, at most: shares are off by 0.2 % (one standard deviation), in half a second."""


class Solved(NamedTuple):
    """What chains could do on some rows."""

    rows: np.ndarray[Any, Any]
    """int64[...]: which rows of the predictions they are"""
    solutions: np.ndarray[Any, Any]
    """uint16[...]: how many chains map x to y"""
    by_train: np.ndarray[Any, Any]
    """uint16[...]: how many of those train draws do"""
    random: np.ndarray[Any, Any]
    """float64[...]: the chance of a random chain, drawn as a corpus without splits would"""
    frequent: np.ndarray[Any, Any]
    """bool[...]: whether the most frequent chain of train does; of equally frequent ones, the best"""
    ceiling: np.ndarray[Any, Any]
    """float64[...]: the best chance to name the chain that was meant, for who knows how often its split draws each"""


def solved(config: Config, given: Batch, split: np.ndarray[Any, Any]) -> Solved | None:
    """Solve rows evenly chosen; None where the prompts show no x and y, or no row is there.

    split: int32[row], the place of its split in the config, or -1, for which all chains count as they are drawn.
    """
    seen = (1 << FIELDS.index("x")) | (1 << FIELDS.index("y"))
    there = np.flatnonzero((given.seen & seen) == seen)
    if not there.size or any(item.field == "chain" for item in config.grammar.prompt):
        return None
    rows = there[np.linspace(0, there.size - 1, min(SAMPLE, there.size)).astype(np.int64)]
    (x, offsets), (y, _) = (
        _gather(config, given.x, given.x_offsets, rows),
        _gather(config, given.y, given.y_offsets, rows),
    )
    weights = np.array([by_chain(config, each) for each in (*config.splits, everything(config))])
    of, graph, train = split[rows], weights[-1], weights[0]

    count, by_train = np.zeros((2, rows.size), np.uint16)
    chance, total, best = np.zeros((3, rows.size))
    usual = np.flatnonzero(train == train.max())
    by_usual = np.zeros((usual.size, rows.size), np.bool_)
    place = np.full(len(config.chains), -1)
    place[usual] = range(usual.size)
    for row, chain in solve.pairs(tree(config), x, y, offsets):
        np.add.at(count, row, 1)
        np.add.at(chance, row, graph[chain])
        np.add.at(by_train, row, train[chain] > 0)
        ours = weights[of[row], chain]
        np.add.at(total, row, ours)
        np.maximum.at(best, row, ours)
        often = place[chain] >= 0
        by_usual[place[chain[often]], row[often]] = True
    frequent = by_usual[by_usual.sum(axis=1).argmax()]
    return Solved(rows, count, by_train, chance, frequent, best / np.where(total > 0, total, 1))


def _gather(config: Config, values: Any, offsets: Any, rows: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The vectors of some rows one behind the other, ready to be solved, and where each begins."""
    sizes = (offsets[1:] - offsets[:-1])[rows]
    starts = np.cumsum([0, *sizes])
    places = np.arange(starts[-1]) - np.repeat(starts[:-1] - offsets[:-1][rows], sizes)
    gathered = np.concatenate([values[places], np.zeros(solve.SLACK)]).astype(vector_dtype(config.k))
    return gathered, starts.astype(np.int32)
