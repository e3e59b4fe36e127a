"""What the rows of a split come to as sets and counts, and what two such sets have in common.

Three things are asked of a row: its vector x, the example (x and chain), the pair (x, y). Each becomes a key of 64
bits, the sets are sorted arrays of keys. Where there are more rows than memory for all keys, a slice is kept: those
below 2^64 / `slices`, the same in every split, so that what two splits share is found for each key that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from fastgen.corpus import BLOCK_ROWS, Block
from fastgen.jit import jit
from fastgen.lanes import load_word
from fastgen.settings import Config
from fastgen.split import Split

KINDS = ("x", "example", "pair")

LONGEST = 64
"""Vectors of this length or more don't coincide by chance: they are of 2^64 or more. They are counted together."""

CELLS = 65_536
"""Elements are counted by position and value where that makes at most so many cells, else by value."""


@jit
def _mix(word):
    """Steele, Lea and Flood's SplitMix64 finaliser (OOPSLA 2014), Stafford's variant 13: one to one on 64 bits."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@jit
def mix_rows(words, seeds):
    """A hash of a seed and a word per row: uint64[row], written over the words. One to one in each of the two."""
    for r in range(words.size):
        words[r] = _mix(words[r] ^ seeds[r])


@jit
def hash_rows(values, offsets, seeds, hashes):
    """hashes: uint64[row], of the vectors values[offsets[r]:offsets[r + 1]] and a seed for each.

    Eight bytes at a time, each mixed with all before: vectors of up to eight bytes never collide under one seed, longer
    ones as good as random.
    """
    per_word = 8 // values.itemsize
    for r in range(hashes.size):
        state, i, stop = seeds[r], np.int64(offsets[r]), np.int64(offsets[r + 1])
        while i + per_word <= stop:
            state = _mix(state ^ load_word(values, i))
            i += per_word
        if i < stop:
            word = np.uint64(0)
            for j in range(stop - i):
                word |= np.uint64(values[i + j]) << np.uint64(8 * values.itemsize * j)
            state = _mix(state ^ word)
        hashes[r] = state


@jit
def count_elements(values, offsets, counts):
    """Add every element to counts: int64[position, value]; positions beyond the last are counted there."""
    last = counts.shape[0] - 1
    for r in range(offsets.size - 1):
        start = offsets[r]
        for i in range(offsets[r + 1] - start):
            counts[min(i, last), values[start + i]] += 1


@jit
def keep_distinct(keys):
    """Move the distinct ones of sorted keys: uint64[...] to the front. Returns how many they are."""
    kept = 0
    for key in keys:
        if kept == 0 or key != keys[kept - 1]:
            keys[kept] = key
            kept += 1
    return kept


@jit
def common(a, b):
    """How many keys are in both of two sorted arrays of distinct ones."""
    i, j, found = 0, 0, 0
    while i < a.size and j < b.size:
        found += a[i] == b[j]
        step = a[i] <= b[j]
        j += b[j] <= a[i]
        i += step
    return found


class Keys:
    """A set of keys, held in an array of fixed size: when that is full, keys that are there twice go.

    Raises MemoryError where there are more distinct ones than it holds.
    """

    def __init__(self, capacity: int, slices: int) -> None:
        self.rows = 0
        """How many keys of the slice were added, with all repetitions."""
        self._held = np.empty(capacity, np.uint64)
        self._size = 0
        self._end = np.uint64(2**64 // slices - 1)

    def add(self, keys: np.ndarray[Any, Any]) -> None:
        """Put in those of the keys that are of the slice."""
        kept = keys[keys <= self._end]
        if self._size + kept.size > self._held.size:
            self.settle()
        if self._size + kept.size > self._held.size:
            raise MemoryError
        self._held[self._size : self._size + kept.size] = kept
        self._size += kept.size
        self.rows += kept.size

    def settle(self) -> None:
        """Sort them, and keep each once. Releases the GIL."""
        self._held[: self._size].sort()
        self._size = keep_distinct(self._held[: self._size])

    @property
    def distinct(self) -> np.ndarray[Any, Any]:
        """The keys, sorted, each once, after `settle`."""
        return self._held[: self._size]


@dataclass
class Tally:
    """What the rows of a split come to."""

    lengths: np.ndarray[Any, Any]
    """int64[length]: vectors by length; the last counts those that are longer than any of the config."""
    chains: np.ndarray[Any, Any]
    """int64[chain, length]: rows by chain and length, of which `LONGEST` stands for itself and more."""
    elements: np.ndarray[Any, Any]
    """int64[position, value]: see `CELLS`."""
    keys: dict[str, Keys]
    """kind -> the set"""
    unlike: int = 0
    """Rows of which the chain is not the one of their chain_id."""
    lock: Lock = field(default_factory=Lock)

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return int(self.lengths.sum())

    def add(self, block: Block) -> None:
        """Count the rows of a block, from any thread. Raises MemoryError where their keys don't fit."""
        lengths = np.diff(block.x_offsets)
        seeds = lengths.astype(np.uint64)
        mix_rows(seeds, np.zeros_like(seeds))
        x, pair = np.empty_like(seeds), np.empty_like(seeds)
        hash_rows(block.x, block.x_offsets, seeds, x)
        hash_rows(block.y, block.y_offsets, x, pair)
        example = block.chain_id.astype(np.uint64)
        mix_rows(example, x)
        elements = np.zeros_like(self.elements)
        count_elements(block.x, block.x_offsets, elements)
        columns = self.chains.shape[1]
        cells = block.chain_id.astype(np.int64) * columns + np.minimum(lengths, columns - 1)
        chains = np.bincount(cells, minlength=self.chains.size).reshape(self.chains.shape)
        with self.lock:
            self.lengths += np.bincount(np.minimum(lengths, self.lengths.size - 1), minlength=self.lengths.size)
            self.chains += chains
            self.elements += elements
            self.unlike += block.unlike
            for kind, keys in zip(KINDS, (x, example, pair), strict=True):
                self.keys[kind].add(keys)


def tallies(config: Config, rows: dict[str, int], memory: int) -> tuple[dict[str, Tally], int]:
    """An empty tally for so many rows of each split, and in how many slices keys are cut to take `memory` bytes."""
    room = {split.name: _room(config, split, rows[split.name]) for split in config.splits}
    needed, slices = 8 * sum(sum(each.values()) for each in room.values()), 1
    while needed > memory * slices:
        slices *= 2
    positions = config.longest if config.longest * config.k <= CELLS else 1
    made = {
        name: Tally(
            lengths=np.zeros(config.longest + 2, np.int64),
            chains=np.zeros((len(config.chains), min(config.longest, LONGEST) + 1), np.int64),
            elements=np.zeros((positions, config.k), np.int64),
            keys={
                # a slice's size strays from its mean by its root, which is less than a block
                kind: Keys(most // slices + (BLOCK_ROWS if slices > 1 else 0), slices)
                for kind, most in each.items()
            },
        )
        for name, each in room.items()
    }
    return made, slices


def _room(config: Config, split: Split, rows: int) -> dict[str, int]:
    """How many keys of each kind to make room for: all rows, or twice all that can be and a block."""
    vectors = sum(config.k**length for length in range(split.length.min, min(split.length.max, LONGEST) + 1))
    return {
        "x": min(rows, 2 * vectors + BLOCK_ROWS),
        "example": min(rows, 2 * vectors * len(config.chains) + BLOCK_ROWS),
        "pair": rows,
    }
