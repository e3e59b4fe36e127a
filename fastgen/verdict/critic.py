"""Columns to train a critic: the completion once more with one error, and of each of its steps what is wrong with it.

The error is drawn as all else of an example is (see `rng`), from attempts that no other draw uses. One attempt after
the other is a turn, with these words:

- word 0: the kind, one of those that the config's text and task have room for (`corrupt.lacks`);
- words 1 to PLACES: a place, whether what follows is consistent, and the choice of `corrupt`, each time anew.

All are uniform. The first that `corrupt` accepts is taken, so a kind that few examples can have is rarer than others.
Where none is in TURNS turns, the first head or number of the trace is missing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastgen import rng
from fastgen.engine import ATTEMPTS, Example, Rows
from fastgen.settings import Config
from fastgen.split import Split
from fastgen.text import render
from fastgen.text.grammar import LONGEST_WORD
from fastgen.trace import steps_before
from fastgen.verdict.batch import verify
from fastgen.verdict.corrupt import corrupt, depths, lacks
from fastgen.verdict.corruptor import corrupt_rows
from fastgen.verdict.kinds import KINDS

FIRST = ATTEMPTS
"""The attempts from this number on are ours: the vector of an example has those before it."""

TURNS = 32
PLACES = 3
"""With one place a turn, `count` and `argument`, which need a certain transformation, are half as frequent."""

CHUNK = 2**17
"""Steps of texts that are judged together: what is said of them takes 60 bytes each."""


class Corrupted(NamedTuple):
    """A completion with one error, and where `verify` finds it."""

    text: str
    kind: str
    depth: int
    step: int
    """A wrong chain, which has no place, counts as an error at (len(chain), 0), behind the last step."""


def draw(config: Config, split: Split, example: Example) -> Corrupted:
    """The error of one example of a split: the definition of the columns. `example.steps` are not needed."""
    behind, kinds = len(example.chain), _kinds(config)
    for turn in range(TURNS):
        word, *places = rng.words(config.seed, split.stream, example.index, 1 + PLACES, FIRST + turn)
        kind = kinds[rng.digit(word, len(kinds))[0]]
        for word in places:
            consistent, word = rng.digit(word, 2)
            possible = depths(kind, config, behind)
            depth, word = rng.digit(word, len(possible))
            several = (config.grammar.step or possible[depth] == behind) and kind != "wrong chain"
            step, word = rng.digit(word, len(example.x) if several else 1)
            choice, _ = rng.digit(word, 2**32)
            place: tuple[Any, Any] = (None, None) if kind == "wrong chain" else (possible[depth], step)
            try:
                text = corrupt(example, config, kind, *place, consistent == 1, choice)
            except ValueError:
                continue
            return Corrupted(text, kind, possible[depth], step)
    return Corrupted(corrupt(example, config, "format", 0, 0), "format", 0, 0)


@lru_cache(maxsize=8)
def _kinds(config: Config) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS[1:] if not lacks(kind, config))


def fill(rows: Rows, config: Config, start: int) -> None:
    """Put the columns into `rows.corrupted`, for filled rows whose first has index `start`."""
    size = max(1, CHUNK // int(steps_before(config.chain.max, config.longest) + 1))
    edges = [*range(0, rows.count, size), rows.count]
    pieces = [_columns(rows, config, start, *edge) for edge in pairwise(edges)]
    rows.corrupted = {name: pa.concat_arrays([piece[name] for piece in pieces]) for name in pieces[0]}


def _columns(rows: Rows, config: Config, start: int, first: int, last: int) -> dict[str, pa.Array]:
    """The columns for rows first..last-1; that of the labels, if the config asks for it."""
    drawn = corrupt_rows(config, rows, start, first, last, (FIRST, TURNS, PLACES), most_text(config))
    if drawn:
        texts, found = render.strings(*drawn[0]), drawn[1]
    else:
        texts, found = _drawn(config, rows, start, first, last)
    kinds, depth, step = found.T
    columns = {
        "corrupted": texts,
        "error": pa.DictionaryArray.from_arrays(pa.array(kinds.astype(np.int8)), pa.array(KINDS)),
        "error_depth": pa.array(depth.astype(np.uint16)),
        "error_step": pa.array(step.astype(np.uint16)),
    }
    if "step_labels" in config.columns:
        verdicts = verify(render.strings(*render.prompts(config, rows, first, last)), texts, config)
        labels = pa.array(verdicts.offsets.astype(np.int32)), pa.array(verdicts.steps["kind"])
        columns["step_labels"] = pa.ListArray.from_arrays(*labels)
    return columns


def _drawn(config: Config, rows: Rows, start: int, first: int, last: int) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """What `corrupt_rows` gives, by the definition."""
    each = [draw(config, rows.split, _example(rows, config, start, r)) for r in range(first, last)]
    found = [(KINDS.index(kind), depth, step) for _, kind, depth, step in each]
    return pa.array([text for text, *_ in each], pa.string()), np.array(found, np.int64).reshape(-1, 3)


def _example(rows: Rows, config: Config, start: int, r: int) -> Example:
    """A row as an example, without its steps."""
    chain_id, place = int(rows.chain_id[r]), slice(rows.offsets[r], rows.offsets[r + 1])
    x, y = rows.x[place].tolist(), rows.y[place].tolist()
    return Example(start + r, chain_id, config.chains[chain_id].heads, x, y, [])


def most_text(config: Config) -> int:
    """The most bytes of a text with an error.

    At most one step more than the right text has, a longer head, and a number before it is reduced: less than double.
    """
    return 2 * render.most(replace(config, columns=("completion",)))["completion"] + LONGEST_WORD


@lru_cache(maxsize=8)
def most(config: Config) -> int:
    """The most bytes of a row, of the columns that the config asks for."""
    text = most_text(config)
    steps = int(steps_before(config.chain.max, config.longest)) + 1
    sizes = {"corrupted": 4 + text, "error": 1, "error_depth": 2, "error_step": 2, "step_labels": 4 + steps}
    return sum(size for name, size in sizes.items() if name in config.columns)
