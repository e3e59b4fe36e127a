"""Which texts are right throughout: most of those of a trained model, and nothing more has to be asked of them.

Every state is written already, in the results of the transformation before. So the transformations of all texts are
independent: those of one head and length are run together by its kernel, and its step codes compared with what stands
there.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastgen.engine import dtypes, program
from fastgen.jit import call, jit
from fastgen.settings import Config
from fastgen.text.batch import Batch

TILE = 256
"""Transformations run together: states and step codes of 16 elements stay in the first-level cache."""

BLOCK = 4096
"""Texts sorted together: their steps stay in the second-level cache. Of 200,000 texts at once, most of the time went
into waiting for memory."""


class Heads(NamedTuple):
    """The heads of the graph as compiled code reads them, and the chains as a tree over them."""

    number: np.ndarray[Any, Any]
    """int16[op, argument + 1]: which head it is, or -1"""
    addresses: np.ndarray[Any, Any]
    """int64[head]: where the kernel's machine code is, in this process"""
    codes: np.ndarray[Any, Any]
    arguments: np.ndarray[Any, Any]
    following: np.ndarray[Any, Any]
    """int32[node, head]: the node below, or -1; node 0 is the root"""
    chain: np.ndarray[Any, Any]
    """int32[node]: the chain that ends there, or -1"""


@lru_cache(maxsize=8)
def heads(config: Config) -> Heads:
    """Those of a config; its kernels are compiled."""
    steps = program(config)
    keys = list(zip(steps.codes.tolist(), steps.arguments.tolist(), strict=True))
    listed = [transformation for chain in config.chains for transformation in chain.transformations]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    order = {key: number for number, key in enumerate(first)}
    number = np.full((256, max(argument for _, argument in order) + 2), -1, np.int16)
    for (op, argument), head in order.items():
        number[op, 0 if listed[first[op, argument]].argument is None else argument + 1] = head
    following: list[list[int]] = [[-1] * len(order)]
    chains = [-1]
    for chain_id in range(len(config.chains)):
        node = 0
        for place in range(steps.starts[chain_id], steps.starts[chain_id + 1]):
            head = order[keys[place]]
            if following[node][head] < 0:
                following[node][head] = len(chains)
                following.append([-1] * len(order))
                chains.append(-1)
            node = following[node][head]
        chains[node] = chain_id
    addresses, codes, arguments = (
        np.ascontiguousarray(array[list(first.values())]) for array in (steps.addresses, steps.codes, steps.arguments)
    )
    return Heads(
        number,
        addresses,
        codes,
        arguments,
        np.array(following, np.int32),
        np.array(chains, np.int32),
    )


def right_chains(batch: Batch, config: Config) -> np.ndarray[Any, Any]:
    """int32[row]: the chain of every text that is right throughout and reaches y; -1 for all others.

    That is for text that shows a, b and r, and tasks that ask for the trace alone, with y in the prompt. Of others none
    is said to be right.
    """
    grammar = config.grammar
    given, asked = ([item.field for item in places if item.field] for places in (grammar.prompt, grammar.completion))
    chain = np.full(batch.fault_count.size, -1, np.int32)
    if set(grammar.step) != {"a", "b", "r"} or asked != ["trace"] or "y" not in given or "chain" in given:
        return chain
    known = heads(config)
    longest = config.longest
    keys = np.empty(batch.op.size, np.int32)
    places = np.array([grammar.step.index(field) if field in grammar.step else -1 for field in "abr"], np.int64)
    rows = (batch.segments, batch.steps, batch.numbers, batch.x_offsets, batch.x)
    _read(
        *(batch.fault_count, batch.op, batch.argument, batch.y_offsets, batch.y, config.k, longest, places[2]),
        *(known.number, known.following, known.chain, *rows, keys, chain),
    )
    narrow = np.uint16 if len(known.codes) * longest < 65_535 else np.int64  # NumPy sorts 16 bits by radix
    vector, code = dtypes(config)
    spare = (np.empty(longest * TILE, vector), np.empty(longest * TILE, vector), np.empty(longest * TILE, code))
    row_of = np.repeat(np.arange(chain.size), np.diff(batch.segments))
    for first, last in pairwise([*range(0, chain.size, BLOCK), chain.size]):
        start, stop = batch.segments[first], batch.segments[last]
        block = keys[start:stop]
        order = np.argsort((block + 1).astype(narrow), kind="stable")
        order = order[np.count_nonzero(block < 0) :] + start
        _compare(
            *(order, keys, row_of, longest, config.k, places, known.addresses, known.codes, known.arguments),
            *(*rows, *spare, chain),
        )
    return chain


@jit
def _read(
    fault_count,
    ops,
    arguments,
    y_offsets,
    y,
    k,
    longest,
    result,
    number,
    following,
    chain_of,
    segments,
    steps,
    numbers,
    x_offsets,
    x,
    keys,
    chain,
):
    """Fill keys: int32[segment] by head and length, -1 for those of rows that can't be right; chain: int32[row]."""
    for row in range(fault_count.size):
        first, last = segments[row], segments[row + 1]
        keys[first:last] = -1
        begin, n = x_offsets[row], x_offsets[row + 1] - x_offsets[row]
        right = fault_count[row] == 0 and last > first and 0 < n <= longest and y_offsets[row + 1] - y_offsets[row] == n
        for i in range(n if right else 0):
            right = right and x[begin + i] < k and numbers[steps[last] - n + i, result] == y[y_offsets[row] + i]
        node = 0
        for segment in range(first, last):
            argument = arguments[segment] + 1
            right = right and steps[segment + 1] - steps[segment] == n and 0 <= argument < number.shape[1]
            head = number[ops[segment], argument] if right else -1
            node = following[node, head] if head >= 0 else -1
            if node < 0:
                right = False
                break
            keys[segment] = head * longest + n - 1
        if right and chain_of[node] >= 0:
            chain[row] = chain_of[node]
        else:
            keys[first:last] = -1


@jit
def _compare(
    order,
    keys,
    row_of,
    longest,
    k,
    places,
    addresses,
    codes,
    arguments,
    segments,
    steps,
    numbers,
    x_offsets,
    x,
    before,
    after,
    logged,
    chain,
):
    """Run the kernels on the states of the segments in `order: int64[...]`; where a step differs, chain becomes -1."""
    bits = np.uint64(logged.itemsize * 2)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    shown = np.uint64(0)
    for field in range(3):
        if places[field] >= 0:
            shown |= mask << (bits * np.uint64(field + 1))
    first = 0
    while first < order.size:
        key, last = keys[order[first]], first
        while last < order.size and last < first + TILE and keys[order[last]] == key:
            last += 1
        head, n, size = key // longest, np.int64(key % longest) + 1, last - first
        state = before[: n * size].reshape((n, size))
        results = after[: n * size].reshape((n, size))
        trace = logged[: n * size].reshape((n, size))
        for j in range(size):
            segment = order[first + j]
            row = row_of[segment]
            if segment == segments[row]:
                for i in range(n):
                    state[i, j] = x[x_offsets[row] + i]
            else:
                for i in range(n):
                    state[i, j] = numbers[steps[segment - 1] + i, places[2]]
        call(addresses[head], state, results, trace, codes[head], k, arguments[head])
        for j in range(size):
            segment = order[first + j]
            differ = np.uint64(0)
            for i in range(n):
                at, written, every = steps[segment] + i, np.uint64(0), np.int64(0)
                for field in range(3):
                    if places[field] >= 0:
                        number = np.int64(numbers[at, places[field]])
                        every |= number
                        written |= np.uint64(number) << (bits * np.uint64(field + 1))
                differ |= (np.uint64(trace[i, j]) & shown) ^ written
                differ |= np.uint64(every) >> bits
            if differ:
                chain[row_of[segment]] = -1
        first = last
