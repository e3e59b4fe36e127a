"""All chains that map x to y.

The model sees x and y, and several chains may explain them: a trace is right if its chain is any of these. All are run
at once, each beginning that chains share only once, by the kernels without a trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from fastgen import rng
from fastgen.graph import Chain
from fastgen.jit import address, call, jit
from fastgen.lanes import VECTOR, load_tile, load_word
from fastgen.trace import Untraced, code_dtype, untraced, vector_dtype
from fastgen.transforms import Transformation

BLOCK = 4096
"""Rows solved in one call: at most BLOCK * 1000 solutions, of six bytes each."""

TILE_ROWS = 2048
TILE_BYTES = 64 * 1024
"""What the vectors of a tile may take: a few of these, one for each depth of the tree, stay in the second cache."""

SLACK = 8
"""Elements that must be readable behind the last row's: vectors are read in words."""


def solutions(chains: Sequence[Chain], k: int, x: Sequence[int], y: Sequence[int]) -> list[int]:
    """Places in `chains` of all that map x to y, by the references: what `pairs` gives for many rows.

    >>> from fastgen.doors import compose
    >>> config = compose("graph=small")
    >>> [" ".join(config.chains[i].heads) for i in solutions(config.chains, config.k, [1, 0, 2], [3, 4, 5])]
    ['sort add3']
    """
    results: dict[tuple[Any, ...], list[int]] = {(): list(x)}
    for chain in chains:
        for depth in range(len(chain)):
            part = chain.transformations[: depth + 1]
            if part not in results:
                results[part] = part[-1](results[part[:-1]], k, [])
    return [i for i, chain in enumerate(chains) if results[chain.transformations] == list(y)]


class Tree(NamedTuple):
    """Chains as one tree: a node for every beginning of some of them, those that continue it behind it."""

    depth: np.ndarray[Any, Any]
    """int64[node]: 1 for the first transformation of a chain"""
    chain: np.ndarray[Any, Any]
    """int64[node]: the chain that ends here, or -1"""
    addresses: np.ndarray[Any, Any]
    """int64[node]: where the kernel's machine code is, in this process"""
    codes: np.ndarray[Any, Any]
    arguments: np.ndarray[Any, Any]
    k: int
    code: np.ndarray[Any, Any]
    """Empty, of the dtype of step codes, which some kernels compute in."""


def tree(chains: Mapping[int, Chain], k: int, longest: int) -> Tree:
    """The tree of chains by their ids, for vectors of at most `longest` elements. Compiles the kernels."""
    ends = {chain.transformations: i for i, chain in chains.items()}
    beginnings = {chain[:depth] for chain in ends for depth in range(1, len(chain) + 1)}
    parts = sorted(beginnings, key=lambda part: [transformation.head for transformation in part])
    depth = np.array([len(part) for part in parts], np.int64)
    chain = np.array([ends.get(part, -1) for part in parts], np.int64)
    addresses, codes, arguments = program([part[-1] for part in parts], k, longest)
    return Tree(depth, chain, addresses, codes, arguments, k, np.empty(0, code_dtype(k, longest)))


def program(transformations: Sequence[Transformation], k: int, longest: int) -> np.ndarray[Any, Any]:
    """Addresses of the kernels without a trace, codes and arguments: int64[3, transformation]."""
    plane = types.Array(from_dtype(vector_dtype(k)), 2, "C")
    signature = (plane, plane, Untraced(from_dtype(code_dtype(k, longest))), *[types.int64] * 3)
    records = {each.record for each in transformations}
    kernels = {record: address(record.compiled, signature) for record in records}
    rows = [(kernels[each.record], each.record.code, each.argument or 0) for each in transformations]
    return np.array(rows, np.int64).T.copy()


def pairs(
    tree: Tree, x: Any, y: Any, offsets: Any, rows: Any = None
) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Which chains of a tree map which x to which y: of some rows at a time, int32[solution] and uint16[solution].

    x, y: uint8|uint16[element], row r from offsets[r] to offsets[r + 1], and SLACK more readable behind the last;
    rows: int32[...], those that are asked for, or None for all. Each pair of a row and a chain comes once.
    """
    lengths = np.diff(offsets)
    if rows is None:
        rows = np.arange(lengths.size, dtype=np.int32)
    most = int((tree.chain >= 0).sum())
    for first in range(0, rows.size, BLOCK):
        some = rows[first : first + BLOCK]
        if lengths[some].min() < lengths[some].max():
            some = some[np.argsort(lengths[some], kind="stable")]
        room = 64 + 4 * some.size
        while True:
            row, chain = np.empty(room, np.int32), np.empty(room, np.uint16)
            found = _solve(*tree, x, y, offsets, some, row, chain)
            if found <= room:
                break
            room = min(found, most * some.size)
        yield row[:found], chain[:found]


def count(tree: Tree, x: Any, y: Any, offsets: Any, among: Any = None) -> np.ndarray[Any, Any]:
    """How many chains of a tree map each row's x to its y, uint16[row]; arguments as of `pairs`.

    With `among: bool[set, chain]`, how many of each set do, uint16[set, row].
    """
    sets = np.ones((1, 1 + tree.chain.max()), np.bool_) if among is None else among
    counts = np.zeros((len(sets), len(offsets) - 1), np.uint16)
    for block, (row, chain) in enumerate(pairs(tree, x, y, offsets)):
        here = counts[:, block * BLOCK : (block + 1) * BLOCK]
        for chosen, counted in zip(sets, here, strict=True):
            counted[:] = np.bincount(row[chosen[chain]] - block * BLOCK, minlength=counted.size)
    return counts[0] if among is None else counts


def solved(tree: Tree, x: Any, y: Any, offsets: Any, rows: Any = None) -> np.ndarray[Any, Any]:
    """Whether any chain of a tree maps a row's x to its y, bool[row]; arguments as of `pairs`."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    for row, _ in pairs(tree, x, y, offsets, rows):
        found[row] = True
    return found


def share_solved(tree: Tree, chains: Iterable[Chain], length: int, count: int) -> list[float]:
    """Of each chain, for which share of `count` uniform vectors a chain of the tree gives the same result."""
    x = uniform(tree.k, length, count)
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(length)
    trace = np.empty((length, count), tree.code.dtype)
    shares = []
    for chain in chains:
        y = x
        for transformation in chain.transformations:
            before, y = y, np.empty_like(y)
            record = transformation.record
            record.compiled(before, y, trace, record.code, tree.k, transformation.argument or 0)
        shares.append(float(solved(tree, _rows(x), _rows(y), offsets).mean()))
    return shares


def best_guess(tree: Tree, weights: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How often who knows x, y and `weights: float64[chain]` can name the chain at best: float64[row].

    x: uint8|uint16[position, row], C-contiguous. To each y belongs one guess, the chain of the largest weight, so it is
    the sum, over the different y, of that weight. Where two results have the same hash of 64 bits they count as equal.
    """
    guesses = np.zeros(x.shape[1])
    _best_guess(*tree, weights, x, guesses)
    return guesses


def uniform(k: int, length: int, count: int) -> np.ndarray[Any, Any]:
    """`count` uniform vectors, always the same ones: uint8|uint16[position, row]."""
    x = rng.fractions(SEED, length, 0, count, length) * np.uint64(k) >> np.uint64(32)
    return np.ascontiguousarray(x.astype(vector_dtype(k)))


SEED = 0x736F6C7665


def _rows(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Position-major vectors one behind the other, and the SLACK."""
    return np.concatenate([vectors.T.ravel(), np.zeros(SLACK, vectors.dtype)])


@jit
def _solve(depth, chain, addresses, codes, arguments, k, code, x, y, offsets, rows, found_row, found_chain):
    """Fill found_row, found_chain with the solutions of `rows`, as far as they reach; returns how many there are.

    Rows of one length stand together. planes[0] holds the results asked for, planes[d] the vectors at depth d - 1.
    """
    count, first = 0, 0
    longest = 0
    for r in rows:
        longest = max(longest, offsets[r + 1] - offsets[r])
    tile = max(VECTOR, min(TILE_ROWS, TILE_BYTES // (longest * x.itemsize)) // VECTOR * VECTOR)
    planes = np.empty((depth.max() + 2) * longest * tile, x.dtype)
    words, differs = np.empty(tile, np.uint64), np.empty(tile, x.dtype)
    while first < rows.size:
        n = np.int64(offsets[rows[first] + 1] - offsets[rows[first]])
        last = min(first + tile, rows.size)
        while offsets[rows[last - 1] + 1] - offsets[rows[last - 1]] != n:
            last -= 1
        group = rows[first:last]
        padded = (group.size + VECTOR - 1) // VECTOR * VECTOR
        size = n * padded
        load_tile(y, offsets, group, words[:padded], planes[:size], n)
        load_tile(x, offsets, group, words[:padded], planes[size : 2 * size], n)
        result = planes[:size].reshape((n, padded))
        for node in range(depth.size):
            start = depth[node] * size
            before = planes[start : start + size].reshape((n, padded))
            after = planes[start + size : start + 2 * size].reshape((n, padded))
            call(addresses[node], before, after, untraced(code), codes[node], k, arguments[node])
            if chain[node] >= 0:
                _compare(after, result, differs[:padded])
                count = _collect(differs, group, chain[node], found_row, found_chain, count)
        first = last
    return count


@jit
def _compare(a, b, differs):
    """differs: uint8|uint16[row], 0 where the vectors of a row are equal. Four positions at a time: fewer stores."""
    differs[:] = 0
    whole = a.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        _compare_rows(a, b, i, differs)
    for i in range(whole, a.shape[0]):
        _compare_row(a, b, i, differs)


@jit
def _compare_rows(a, b, i, differs):
    for r in range(differs.size):
        differs[r] |= (
            (a[i, r] ^ b[i, r])
            | (a[i + 1, r] ^ b[i + 1, r])
            | (a[i + 2, r] ^ b[i + 2, r])
            | (a[i + 3, r] ^ b[i + 3, r])
        )


@jit
def _compare_row(a, b, i, differs):
    for r in range(differs.size):
        differs[r] |= a[i, r] ^ b[i, r]


@jit
def _collect(differs, group, chain, found_row, found_chain, count):
    """Add the rows that are equal to what was found; a word of them at a time is passed over where none is.

    A word has a lane of 0 where (w - 1 in every lane) & ~w has the highest bit of a lane (Mycroft, 1987).
    """
    lanes = 8 // differs.itemsize
    ones = np.uint64(0x0101010101010101 if lanes == 8 else 0x0001000100010001)
    tops = ones << np.uint64(64 // lanes - 1)
    for r in range(0, group.size, lanes):
        word = load_word(differs, r)
        if (word - ones) & ~word & tops:
            for j in range(r, min(r + lanes, group.size)):
                if differs[j] == 0:
                    if count < found_row.size:
                        found_row[count] = group[j]
                        found_chain[count] = chain
                    count += 1
    return count


_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplied by it, numbers that are close fall far apart (Knuth, TAOCP vol. 3, 6.4)."""


@jit
def _best_guess(depth, chain, addresses, codes, arguments, k, code, weights, x, guesses):
    length, rows = x.shape
    size = length * rows
    planes = np.empty((depth.max() + 1) * size, x.dtype)
    for i in range(length):  # no slice: see `_radix_sort`
        for r in range(rows):
            planes[i * rows + r] = x[i, r]
    ends = (chain >= 0).sum()
    keys, worth, place = np.empty((ends, rows), np.uint64), np.empty(ends), 0
    for node in range(depth.size):
        start = (depth[node] - 1) * size
        before = planes[start : start + size].reshape((length, rows))
        after = planes[start + size : start + 2 * size].reshape((length, rows))
        call(addresses[node], before, after, untraced(code), codes[node], k, arguments[node])
        if chain[node] >= 0:
            keys[place] = np.uint64(0)
            for i in range(length):
                _hash_row(after, i, keys[place])
            worth[place] = weights[chain[node]]
            place += 1
    bits = 1
    while 1 << bits < 2 * ends:
        bits += 1
    slots, stamps, best = np.empty(1 << bits, np.uint64), np.full(1 << bits, -1), np.empty(1 << bits)
    for r in range(rows):
        for place in range(ends):
            key = keys[place, r]
            slot = np.int64(key >> np.uint64(64 - bits))
            while stamps[slot] == r and slots[slot] != key:
                slot = (slot + 1) & ((1 << bits) - 1)
            if stamps[slot] != r:
                stamps[slot], slots[slot], best[slot] = r, key, 0.0
            guesses[r] += max(0.0, worth[place] - best[slot])
            best[slot] = max(best[slot], worth[place])


@jit
def _hash_row(vectors, i, keys):
    for r in range(keys.size):
        mixed = (keys[r] ^ np.uint64(vectors[i, r])) * _SPREAD
        keys[r] = mixed ^ mixed >> np.uint64(29)
