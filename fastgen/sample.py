"""What an example is before anything is done to it: a chain of its split, and a vector.

The words of an example (see `rng`) are used in this order:

- word 0: its length, if the split's lengths are a range (uniform), then its chain (by an alias table);
- words 1, 2, ...: its elements, `digits_per_word(k)` to a word, independent and uniform; in a certified split, those of
  the first attempt that no chain of train solves.

No distribution is off by 2^-32 or more: the elements of one word have k^digits <= 2^32 values, a power of two where it
is 2^32; the length and the alias table's column take at most 26 bits of word 0, and leave 38 for the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastgen import rng
from fastgen.jit import jit
from fastgen.lanes import store_word
from fastgen.settings import Config
from fastgen.split import Split

TILE = 1024
"""Rows drawn together: their words and digits stay in the first-level cache."""


def digits_per_word(k: int) -> int:
    """How many elements one 64-bit word gives: the most of 8, 4, 2 with k^digits <= 2^32.

    >>> [digits_per_word(k) for k in (2, 16, 17, 256, 257, 65_536)]
    [8, 8, 4, 4, 2, 2]
    """
    return 8 if k <= 16 else 4 if k <= 256 else 2


class AliasTable(NamedTuple):
    """One draw from a discrete distribution in O(1): Walker's method, the table made as by Vose (1991).

    A column is drawn uniformly, and from its threshold on it stands for its alias.
    """

    thresholds: np.ndarray[Any, np.dtype[np.uint64]]
    """uint64[column], as a fraction of 2^64."""
    outcomes: np.ndarray[Any, np.dtype[np.uint16]]
    """uint16[column, 2]: its own outcome, its alias."""


def alias_table(outcomes: Sequence[int], weights: Sequence[Fraction]) -> AliasTable:
    """The table for outcomes below 2^16 with these probabilities, in exact arithmetic."""
    columns = range(len(outcomes))
    heights = [weight * len(outcomes) for weight in weights]
    small = [column for column in columns if heights[column] < 1]
    large = [column for column in columns if heights[column] >= 1]
    alias, thresholds = list(columns), [0] * len(outcomes)  # its own alias: any threshold will do
    while small:
        column, donor = small.pop(), large[-1]
        alias[column], thresholds[column] = donor, int(heights[column] * 2**64)
        heights[donor] -= 1 - heights[column]
        if heights[donor] < 1:
            small.append(large.pop())
    pairs = [(outcomes[column], outcomes[alias[column]]) for column in columns]
    return AliasTable(np.array(thresholds, np.uint64), np.array(pairs, np.uint16))


@lru_cache(maxsize=64)
def chain_table(split: Split) -> AliasTable:
    """The table from which a split's examples draw their chain."""
    return alias_table(split.chains, split.weights)


def draw(config: Config, split: Split, index: int, attempt: int = 0) -> tuple[int, list[int]]:
    """Chain id and vector of one example: the reference of `draw_chains`, `draw_vectors` and `draw_again`.

    Another attempt (1, 2, ...) has the same chain and length, and other elements.
    """
    word, *_ = rng.words(config.seed, split.stream, index, 1)
    length, word = rng.digit(word, split.length.max - split.length.min + 1)
    length += split.length.min
    table = chain_table(split)
    column, word = rng.digit(word, len(table.thresholds))
    chain = int(table.outcomes[column, int(word >= int(table.thresholds[column]))])

    per_word = digits_per_word(config.k)
    x: list[int] = []
    for word in rng.words(config.seed, split.stream, index, 1 + -(-length // per_word), attempt)[1:]:
        for _ in range(min(per_word, length - len(x))):
            element, word = rng.digit(word, config.k)
            x.append(element)
    return chain, x


@jit
def draw_chains(seed, stream, start, shortest, longest, thresholds, outcomes, chain, length, second):
    """Fill chain: uint16[row], length: int32[row] and second: uint64[row], the word 1 of every row."""
    word = np.empty(TILE, np.uint64)
    for first in range(0, chain.size, TILE):
        last = min(first + TILE, chain.size)
        tile = word[: last - first]
        rng.fill_words(seed, stream, start + np.uint64(first), np.uint64(0), tile, second[first:last])
        _choose(tile, shortest, longest, thresholds, outcomes, chain[first:last], length[first:last])


@jit
def _choose(word, shortest, longest, thresholds, outcomes, chain, length):
    lengths, columns = np.uint64(longest - shortest + 1), np.uint64(thresholds.size)
    for r in range(word.size):
        extra, rest = rng.take_digit(word[r], lengths)
        column, rest = rng.take_digit(rest, columns)
        # An index rather than a choice of two values, which LLVM makes a branch that is mispredicted, for 3.5 ns.
        chain[r] = outcomes[column, np.uint64(rest >= thresholds[column])]
        length[r] = shortest + np.int32(extra)


@jit
def draw_vectors(seed, stream, start, k, per_word, length, second, offsets, x):
    """Fill x: uint8|uint16[element], row r from offsets[r] on, with uniform elements.

    `second: uint64[row]` is each row's word 1, from `draw_chains`; it is used up.
    Eight bytes of elements are put together in one word, for all rows of a tile, and stored at once.
    """
    per_store = 8 // x.itemsize
    stored, spare = np.empty(TILE, np.uint64), np.empty(TILE, np.uint64)
    for first in range(0, length.size, TILE):
        last = min(first + TILE, length.size)
        rows = last - first
        packed, odd, even = stored[:rows], spare[:rows], second[first:last]
        packed[:] = 0
        longest = length[first:last].max()
        for i in range(longest):
            word, place = 1 + i // per_word, i % per_word
            if place == 0 and word % 2 == 0:
                rng.fill_words(seed, stream, start + np.uint64(first), np.uint64(word // 2), odd, even)
            slot = i % per_store
            _digit_row(odd if word % 2 == 0 else even, np.uint64(k), packed, np.uint64(slot * 8 * x.itemsize))
            if slot == per_store - 1 or i == longest - 1:
                _store_row(packed, length[first:last], offsets[first:last], x, i - slot, per_store)
                packed[:] = 0


@jit
def _digit_row(word, k, packed, shift):
    for r in range(word.size):
        element, rest = rng.take_digit(word[r], k)
        word[r] = rest
        packed[r] |= element << shift


@jit
def _store_row(packed, length, offsets, x, position, per_store):
    for r in range(packed.size):
        left = length[r] - position
        if left >= per_store:
            store_word(x, offsets[r] + position, packed[r])
        else:
            for i in range(left):
                x[offsets[r] + position + i] = packed[r] >> np.uint64(i * 8 * x.itemsize)


@jit
def draw_again(seed, stream, start, attempt, k, per_word, rows, length, offsets, x):
    """Give each of `rows: int32[...]` the elements of another attempt, which come one by one: these are few rows."""
    first, second = np.empty(1, np.uint64), np.empty(1, np.uint64)
    rest = np.uint64(0)
    for r in rows:
        for i in range(length[r]):
            word, place = 1 + i // per_word, i % per_word
            if place == 0:
                draw = np.uint64(attempt << rng.ATTEMPT | word // 2)
                rng.fill_words(seed, stream, start + np.uint64(r), draw, first, second)
                rest = first[0] if word % 2 == 0 else second[0]
            element, rest = rng.take_digit(rest, np.uint64(k))
            x[offsets[r] + i] = element
