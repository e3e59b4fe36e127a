"""Apply the chains to a block of rows: vectors in, results and traces out, rows in their order.

Rows are sorted by chain and length. Of each such group, tiles of up to 256 rows are turned position-major; the
kernels of the chain run on the tile, called by address; results and step codes are turned back and stored at the row's
place. All of it is one compiled call per block: a kernel called from Python costs a microsecond, which at 1,200 calls
per block would double the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from fastgen import sample, solve
from fastgen.jit import address, call, jit
from fastgen.lanes import LANES, VECTOR, load_tile, store_transposed, store_word
from fastgen.settings import Config
from fastgen.split import Split
from fastgen.splitting import CERTIFIABLE
from fastgen.text import render, tokens
from fastgen.trace import code_dtype, steps_before, vector_dtype
from fastgen.transforms import Step
from fastgen.values import ConfigError

BLOCK = 65_536
"""Rows sorted together. At 262,144 the block falls out of the last cache (a prototype fell from 46 to 23-32 million
rows/s), at 16,384 the groups are tiny (30-36)."""

ATTEMPTS = 1024
"""How often the vector of a certified example is drawn. A config where this could be too few is refused: its chains
must be certified at one vector in 32, and then all attempts fail in one of 10^14 examples."""

TILE_ROWS = 256
TILE_BYTES = 256 * 1024
"""What a tile's step codes of one transformation may take: they stay in the second-level cache."""


@dataclass(frozen=True)
class Example:
    """One example, by the references."""

    index: int
    chain_id: int
    chain: tuple[str, ...]
    """Heads."""
    x: list[int]
    y: list[int]
    steps: list[Step]
    """(op, a, b, r): len(chain) * len(x) of them."""


def example(config: Config, split: str, index: int) -> Example:
    """Example `index` of a split, in plain Python: the definition of what row `index` of its files holds. O(1).

    A split has 2^64 examples; a corpus holds the first. Raises ValueError for a split or an index that is none, and
    Uncertified.
    """
    if not 0 <= index < 2**64:
        raise ValueError(f"index={index}: must be from 0 to 2^64-1")
    found, train = config.find(split), [config.chains[chain_id] for chain_id in config.splits[0].drawn]
    for attempt in range(ATTEMPTS):
        chain_id, x = sample.draw(config, found, index, attempt)
        chain = config.chains[chain_id]
        y = x
        steps: list[Step] = []
        for transformation in chain.transformations:
            y = transformation(y, config.k, steps)
        if not found.certified or not solve.solutions(train, config.k, x, y):
            return Example(index, chain_id, chain.heads, x, y, steps)
    raise Uncertified(config, found, index, chain_id, len(x))


class Uncertified(ConfigError):
    """No attempt at an example of a certified split gave a vector that no chain of train solves.

    A config is tried before (`splitting.refuse_uncertain`), but of many lengths not at all of them.
    """

    def __init__(self, config: Config, split: Split, index: int, chain_id: int, length: int) -> None:
        chain, train = " ".join(config.chains[chain_id].heads), config.splits[0].name
        rule = f"{train} solves all {ATTEMPTS} vectors of length {length} that were drawn for {chain}"
        super().__init__(f"split.certified=true: {split.name}, example {index}: {rule}; {CERTIFIABLE}")


class Program(NamedTuple):
    """The chains as compiled code reads them: of chain c, the steps starts[c] up to starts[c + 1]."""

    starts: np.ndarray[Any, Any]
    """int64[chain + 1]"""
    addresses: np.ndarray[Any, Any]
    """int64[...]: where the kernel's machine code is, in this process."""
    codes: np.ndarray[Any, Any]
    arguments: np.ndarray[Any, Any]


@lru_cache(maxsize=8)
def program(config: Config) -> Program:
    """Compile the kernels that the config's chains use, for its dtypes, and lay the chains out."""
    vector, code = (from_dtype(dtype) for dtype in dtypes(config))
    signature = (
        types.Array(vector, 2, "C"),
        types.Array(vector, 2, "C"),
        types.Array(code, 2, "C"),
        *[types.int64] * 3,
    )
    listed = [transformation for chain in config.chains for transformation in chain.transformations]
    kernels = {record: address(record.compiled, signature) for record in {each.record for each in listed}}
    return Program(
        np.cumsum([0, *map(len, config.chains)], dtype=np.int64),
        np.array([kernels[each.record] for each in listed], np.int64),
        np.array([each.record.code for each in listed], np.int64),
        np.array([each.argument or 0 for each in listed], np.int64),
    )


def dtypes(config: Config) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """dtype of the elements of vectors, and of step codes."""
    return vector_dtype(config.k), code_dtype(config.k, config.longest)


class Rows:
    """Arrays for up to `capacity` rows, filled by `fill` and reused: fresh pages cost more than the work on them.

    chain_id: uint16[row]; offsets, trace_offsets: int32[row + 1];
    x, y: uint8|uint16[element], row r at offsets[r]; trace: uint32|uint64[step], row r at trace_offsets[r].
    solutions: uint16[row] by column; texts, tokens; corrupted: Arrow arrays by column, which `verdict.critic` makes. Of
    these four, what the config's columns ask for.
    """

    def __init__(self, config: Config, capacity: int) -> None:
        vector, code = dtypes(config)
        elements = capacity * config.longest + solve.SLACK
        most = int(steps_before(config.chain.max, config.longest))
        self.split = config.splits[0]
        self.count = 0
        self.chain_id = np.empty(capacity, np.uint16)
        self.offsets = np.zeros(capacity + 1, np.int32)
        self.trace_offsets = np.zeros(capacity + 1, np.int32)
        self.x = np.empty(elements, vector)
        self.y = np.empty(elements, vector)
        self.trace = np.empty((capacity + 1) * most, code)  # one row more, for those that pad a tile
        self.solutions = {name: np.empty(capacity, np.uint16) for name in SOLVERS if name in config.columns}
        self.texts = render.Texts(config, capacity)
        self.tokens = tokens.Tokens(config, capacity)
        self.corrupted: dict[str, Any] = {}
        block = min(capacity, BLOCK)
        self.length = np.empty(block, np.int32)
        self.second = np.empty(block, np.uint64)
        self.order = np.empty(block, np.int32)
        self.spare = np.empty(block, np.int32)


def fill(rows: Rows, config: Config, split: Split, start: int, stop: int) -> None:
    """Put the examples start..stop-1 of a split into `rows`, block by block, then their text. Releases the GIL."""
    rows.split, rows.count = split, stop - start
    table, steps = sample.chain_table(split), program(config)
    for first in range(0, rows.count, BLOCK):
        last = min(first + BLOCK, rows.count)
        _fill_block(
            np.uint64(config.seed),
            np.uint64(split.stream),
            np.uint64(start + first),
            config.k,
            sample.digits_per_word(config.k),
            split.length.min,
            split.length.max,
            *table,
            *steps,
            rows.chain_id[first:last],
            rows.offsets[first : last + 1],
            rows.trace_offsets[first : last + 1],
            rows.x,
            rows.y,
            rows.trace,
            rows.length[: last - first],
            rows.second[: last - first],
            rows.order[: last - first],
            rows.spare[: last - first],
        )
        if split.certified:
            _certify(rows, config, split, start, first, last)
    _count_solutions(rows, config)
    render.fill(rows.texts, config, rows)
    tokens.fill(rows.tokens, config, rows)


@lru_cache(maxsize=8)
def tree(config: Config, split: str | None = None) -> solve.Tree:
    """The chains that a split can have, or all of the config, ready to be solved."""
    ids = range(len(config.chains)) if split is None else config.find(split).drawn
    return solve.tree({chain_id: config.chains[chain_id] for chain_id in ids}, config.k, config.longest)


def _certify(rows: Rows, config: Config, split: Split, start: int, first: int, last: int) -> None:
    """Draw the vectors of a block again that a chain of train solves too, until there are none."""
    train, steps = tree(config, config.splits[0].name), program(config)
    offsets, trace_offsets = rows.offsets[first : last + 1], rows.trace_offsets[first : last + 1]
    chain, length = rows.chain_id[first:last], rows.length[: last - first]
    pending = np.arange(last - first, dtype=np.int32)
    for attempt in range(1, ATTEMPTS + 1):
        found = solve.solved(train, rows.x, rows.y, offsets, pending)
        pending = pending[found[pending]]
        if not pending.size:
            return
        if attempt < ATTEMPTS:
            sample.draw_again(
                np.uint64(config.seed),
                np.uint64(split.stream),
                np.uint64(start + first),
                attempt,
                config.k,
                sample.digits_per_word(config.k),
                pending,
                length,
                offsets,
                rows.x,
            )
            order = pending[np.lexsort((length[pending], chain[pending]))]
            ends = np.searchsorted(chain[order], np.arange(len(config.chains)), side="right").astype(np.int32)
            _apply(length, order, ends, config.k, *steps, offsets, trace_offsets, rows.x, rows.y, rows.trace)
    row = int(pending[0])
    raise Uncertified(config, split, start + first + row, int(chain[row]), int(length[row]))


SOLVERS = ("n_solutions", "n_train_solutions")
"""Columns that say how many chains map x to y: of all, and of those of the first split."""


def _count_solutions(rows: Rows, config: Config) -> None:
    if not rows.solutions:
        return
    among = np.zeros((2, len(config.chains)), np.bool_)
    among[0], among[1, list(config.splits[0].drawn)] = True, True
    whole = "n_solutions" in rows.solutions
    asked = tree(config, None if whole else config.splits[0].name)
    found = solve.count(asked, rows.x, rows.y, rows.offsets[: rows.count + 1], among)
    for name, counts in zip(SOLVERS, found, strict=True):
        if name in rows.solutions:
            rows.solutions[name][: rows.count] = counts


def prepare(config: Config) -> None:
    """Compile all that `fill` will call, or load it from the cache: half a minute or 0.1 s."""
    fill(Rows(config, 1), config, config.splits[0], 0, 1)


@jit
def _fill_block(
    seed,
    stream,
    start,
    k,
    per_word,
    shortest,
    longest,
    thresholds,
    outcomes,
    starts,
    addresses,
    codes,
    arguments,
    chain,
    offsets,
    trace_offsets,
    x,
    y,
    trace,
    length,
    second,
    order,
    spare,
):
    sample.draw_chains(seed, stream, start, shortest, longest, thresholds, outcomes, chain, length, second)
    elements, steps = offsets[0], trace_offsets[0]
    for r in range(chain.size):
        elements += length[r]
        steps += steps_before(starts[chain[r] + 1] - starts[chain[r]], length[r])
        offsets[r + 1], trace_offsets[r + 1] = elements, steps
    sample.draw_vectors(seed, stream, start, k, per_word, length, second, offsets, x)
    order, ends = _order(chain, length, shortest, longest, starts.size - 1, order, spare)
    _apply(length, order, ends, k, starts, addresses, codes, arguments, offsets, trace_offsets, x, y, trace)


@jit
def _order(chain, length, shortest, longest, chains, order, spare):
    """The rows by chain and length, int32[row] (one of the two arrays given), and where each chain's rows end."""
    for r in range(order.size):
        order[r] = r
    if shortest < longest:
        _counting_sort(length - np.int32(shortest), longest - shortest + 1, order, spare)
        order, spare = spare, order
    return spare, _counting_sort(chain, chains, order, spare)


@jit
def _counting_sort(keys, bound, order, result):
    """`order` by keys[order], stable, into `result`; keys are below `bound`. Returns where the rows of each key end."""
    place = np.zeros(bound + 1, np.int32)
    for r in range(order.size):
        place[keys[r] + 1] += 1
    for key in range(bound):
        place[key + 1] += place[key]
    for r in order:
        result[place[keys[r]]] = r
        place[keys[r]] += 1
    return place[:bound]


@jit
def _apply(length, order, ends, k, starts, addresses, codes, arguments, offsets, trace_offsets, x, y, trace):
    longest = length.max()
    fit = TILE_BYTES // (longest * trace.itemsize)
    tile = min(TILE_ROWS, max(LANES, fit - fit % VECTOR))
    elements = (longest + 7) * tile
    before, after, codes_tile = (
        np.empty(elements, x.dtype),
        np.empty(elements, x.dtype),
        np.empty(elements, trace.dtype),
    )
    words, places = np.empty(tile, np.uint64), np.empty(tile, np.int64)
    first = 0
    for c in range(ends.size):
        while first < ends[c]:
            n, last = length[order[first]], min(first + tile, ends[c])
            while length[order[last - 1]] != n:
                last -= 1
            group = order[first:last]
            unit = VECTOR if group.size > LANES else LANES
            padded = (group.size + unit - 1) // unit * unit
            shape, size = (np.int64(n), padded), n * padded
            load_tile(x, offsets, group, words[:padded], before, n)
            for r in range(padded):
                places[r] = trace_offsets[group[r]] if r < group.size else trace_offsets[-1]
            vector, result = before[:size].reshape(shape), after[:size].reshape(shape)
            logged = codes_tile[:size].reshape(shape)
            for step in range(starts[c], starts[c + 1]):
                call(addresses[step], vector, result, logged, codes[step], k, arguments[step])
                _store_codes(logged, trace, places, steps_before(step - starts[c], n), group.size)
                vector, result = result, vector
            _store(vector, y, offsets, group, words[:padded])
            first = last


@jit
def _store(tile, y, offsets, group, words):
    """Position-major results of a group back to their rows."""
    length, per_word = tile.shape[0], 8 // y.itemsize
    if length < per_word:
        for r in range(group.size):
            for i in range(length):
                y[offsets[group[r]] + i] = tile[i, r]
        return
    for i in range(0, length, per_word):
        i = min(i, length - per_word)  # the last word overlaps the one before it rather than the next row
        words[:] = 0
        for j in range(per_word):
            _pack_row(tile[i + j], np.uint64(8 * y.itemsize * j), words)
        for r in range(group.size):
            store_word(y, offsets[group[r]] + i, words[r])


@jit
def _pack_row(tile, shift, words):
    for r in range(words.size):
        words[r] |= np.uint64(tile[r]) << shift


@jit
def _store_codes(tile, trace, places, offset, count):
    """Step codes of one transformation from [step, row] to trace[places[row] + offset + step]."""
    length, rows = tile.shape
    if length < LANES:
        for r in range(count):
            for s in range(length):
                trace[places[r] + offset + s] = tile[s, r]
    else:
        for s in range(0, length, LANES):
            s = min(s, length - LANES)
            for r in range(0, count, LANES):
                store_transposed(tile, s * rows + r, rows, trace, places, r, offset + s)
