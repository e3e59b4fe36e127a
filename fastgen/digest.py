"""The content digest: 128 bits for the values of a column of a split, whatever files they are in.

It is the sum, modulo 2^128, of `row_hash` over the rows. So the parts of a corpus may be made and added in any order:
files, blocks, workers, Parquet's settings and versions have no influence, nor has it of one column which others there
are. That of several columns, or splits, is the sum of theirs.

A value counts as bytes: an integer, or the integers of a list one after the other, little-endian and as wide as the
column's type; a string as UTF-8, whether a dictionary has it or not. What keys the hash are the names of split and
column, and the index of the example. Nothing is null.

Both sums, over a value's words and over the rows, are NH with words of 64 bits (Black, Halevi, Krawczyk, Krovetz and
Rogaway, "UMAC", CRYPTO '99): for keys drawn at random, two different contents of a column have one digest with a
probability below 2^-62, whatever differs, as long as no value is longer than `BLOCK`; above, a value's blocks are
chained by a mixing function, and it is as good as random. The keys are in fact public: it detects accidents, and not
forgery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import shake_256
from typing import Any

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastgen.jit import jit
from fastgen.lanes import load_word

VERSION = 1
"""Which function it is. A part of every key."""

BLOCK = 4096
"""Bytes of a value for which there are keys; of a longer one, they come again."""

GAMMA = 0x9E3779B97F4A7C15
FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD, _MODULUS = 1 << 64, 1 << 128

TILE = 1024
"""Values that are compressed before they are combined: what lies between stays in the first-level cache."""

Digest = Mapping[str, int]
"""column -> its digest"""


# Reference


@lru_cache(maxsize=256)
def keys(split: str, column: str) -> tuple[int, ...]:
    """Two seeds for the keys of rows, then the keys of a block's words: SHAKE-256 of version, split and column.

    >>> len(keys("train", "x")), hex(keys("train", "x")[0])
    (514, '0xdfc1aa6b8d365b84')
    """
    drawn = shake_256(f"fastgen digest {VERSION}/{split}/{column}".encode()).digest(8 * (2 + BLOCK // 8))
    return tuple(int.from_bytes(drawn[i : i + 8], "little") for i in range(0, len(drawn), 8))


def row_hash(split: str, column: str, index: int, value: bytes) -> int:
    """The hash of one value, 128 bits. The row's keys are the outputs number `index` of two SplitMix64 generators.

    >>> f"{row_hash('train', 'x', 0, bytes([3, 1, 4, 1])):032x}"
    '34dd78dbb57ea67414edc1356fa61bca'
    """
    low, high = compress(value, keys(split, column)[2:])
    seeds = keys(split, column)[:2]
    return (
        (low + mix((seeds[0] + index * GAMMA) % _WORD))
        % _WORD
        * ((high + mix((seeds[1] + index * GAMMA) % _WORD)) % _WORD)
    )


def compress(value: bytes, key: tuple[int, ...]) -> tuple[int, int]:
    """A value in 128 bits, as two words: its size, and the products of its words in pairs, each with its key.

    Zeros fill the last pair up. After each block that another one follows, both words of the sum are mixed.

    >>> compress(bytes([2, 0, 0, 0, 0, 0, 0, 0, 5]), (10, 100))  # 9 + (2 + 10) * (5 + 100)
    (1269, 0)
    """
    total = len(value)
    for start in range(0, len(value), BLOCK):
        if start:
            total = mix(total >> 64) << 64 | mix(total % _WORD)
        block = value[start : start + BLOCK]
        for i in range(0, len(block), 16):
            first, second = (int.from_bytes(block[j : j + 8], "little") for j in (i, i + 8))
            total += (first + key[i // 8]) % _WORD * ((second + key[i // 8 + 1]) % _WORD)
        total %= _MODULUS
    return total % _WORD, total >> 64


def mix(word: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), by which its generator gives `mix(i * GAMMA)`.

    >>> hex(mix(GAMMA))
    '0xe220a8397b1dcdaf'
    """
    word = (word ^ word >> 30) * FACTORS[0] % _WORD
    word = (word ^ word >> 27) * FACTORS[1] % _WORD
    return word ^ word >> 31


# Arrow's arrays


def of_table(split: str, start: int, table: pa.Table) -> dict[str, int]:
    """The digest of each column of some rows of a split, of which the first has the index `start`. Releases the GIL.

    Raises ValueError for nulls, and for types that no column of the corpus has.
    """
    digest = dict.fromkeys(table.schema.names, 0)
    for batch in table.to_batches():
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if array.null_count:
                raise ValueError(f"column {name} holds nulls")
            low, high = _of_array(array, np.uint64(start), *_key_arrays(split, name))
            digest[name] = (digest[name] + (int(high) << 64) + int(low)) % _MODULUS
        start += batch.num_rows
    return digest


def add(digests: Iterable[Digest]) -> dict[str, int]:
    """The digest of parts together, by column."""
    total: dict[str, int] = {}
    for digest in digests:
        for column, number in digest.items():
            total[column] = (total.get(column, 0) + number) % _MODULUS
    return total


def whole(digests: Iterable[Digest]) -> int:
    """The digest of parts and of all their columns together."""
    return sum(sum(digest.values()) for digest in digests) % _MODULUS


def written(digest: Digest) -> dict[str, str]:
    """A digest as files hold it: 32 hexadecimal digits for each column."""
    return {column: f"{number:032x}" for column, number in digest.items()}


def read(digest: Mapping[str, str]) -> dict[str, int]:
    """What `written` wrote. Raises ValueError."""
    return {column: int(number, 16) for column, number in digest.items()}


@lru_cache(maxsize=256)
def _key_arrays(split: str, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    drawn = np.array(keys(split, column), np.uint64)
    return drawn[:2], drawn[2:]


def _of_array(array: pa.Array, start: Any, seeds: Any, key: Any) -> Any:
    if pa.types.is_integer(array.type):
        words = array.to_numpy()
        return _of_words(words.view(f"u{words.itemsize}"), start, seeds, key)
    if pa.types.is_dictionary(array.type):
        entries = np.empty(len(array.dictionary), np.uint64), np.empty(len(array.dictionary), np.uint64)
        _compress(*_bytes_of(array.dictionary), key, *entries)
        codes = array.indices.to_numpy()
        return _of_entries(*entries, codes.view(f"u{codes.itemsize}"), start, seeds)
    return _of_values(*_bytes_of(array), start, seeds, key)


def _bytes_of(array: pa.Array) -> tuple[Any, Any, Any, int]:
    """Values as bytes: uint8[byte]; where each begins and ends, int32[row], in units of so many bytes."""
    if pa.types.is_string(array.type):
        _, offsets, text = array.buffers()
        edges = np.frombuffer(offsets or bytes(4), np.int32)[array.offset : array.offset + len(array) + 1]
        data = np.frombuffer(text or b"", np.uint8)
    elif pa.types.is_list(array.type) and pa.types.is_integer(array.type.value_type):
        edges, data = array.offsets.to_numpy(), array.values.to_numpy()
    else:
        raise ValueError(f"no column is {array.type}")
    edges.flags.writeable = data.flags.writeable = False  # one type for compiled code, whoever owns the memory
    return data.view(np.uint8), edges[:-1], edges[1:], data.itemsize


# Kernels


@intrinsic
def _multiply_add(typingctx: Any, low: Any, high: Any, a: Any, b: Any) -> Any:
    """high * 2^64 + low + a * b modulo 2^128, as (low, high): one multiplication and two additions."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        low, high, a, b = (builder.zext(value, wide) for value in values)
        half = ir.Constant(wide, 64)
        total = builder.add(builder.or_(builder.shl(high, half), low), builder.mul(a, b))
        halves = builder.trunc(total, word), builder.trunc(builder.lshr(total, half), word)
        return context.make_tuple(builder, signature.return_type, halves)

    word = types.uint64
    return types.UniTuple(word, 2)(word, word, word, word), codegen


_ZERO, _GAMMA, _A, _B = (np.uint64(number) for number in (0, GAMMA, *FACTORS))
_S30, _S27, _S31 = (np.uint64(shift) for shift in (30, 27, 31))
_MASKS = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(16)], np.uint64)
"""For a pair of words of which `size` bytes count: what to keep of its first word; of its second, that of size - 8."""


@jit
def _mix(word):
    word = (word ^ (word >> _S30)) * _A
    word = (word ^ (word >> _S27)) * _B
    return word ^ (word >> _S31)


@jit
def _of_values(data, starts, stops, size, index, seeds, key):
    """The digest of the values data[starts[r] * size : stops[r] * size], uint64[2]: low and high word."""
    sums, low, high = np.zeros(2, np.uint64), np.empty(TILE, np.uint64), np.empty(TILE, np.uint64)
    for top in range(0, starts.size, TILE):
        end = min(top + TILE, starts.size)
        _compress(data, starts[top:end], stops[top:end], size, key, low, high)
        _combine(low[: end - top], high[: end - top], index + np.uint64(top), seeds, sums)
    return sums


@jit
def _of_entries(low, high, codes, index, seeds):
    """The same, of rows of which each has one of the compressed values low, high: uint64[code]."""
    sums, a, b = np.zeros(2, np.uint64), np.empty(TILE, np.uint64), np.empty(TILE, np.uint64)
    for top in range(0, codes.size, TILE):
        count = min(TILE, codes.size - top)
        for r in range(count):
            a[r], b[r] = low[codes[top + r]], high[codes[top + r]]
        _combine(a[:count], b[:count], index + np.uint64(top), seeds, sums)
    return sums


@jit
def _of_words(words, index, seeds, key):
    """The same, of integers."""
    sums, low, high = np.zeros(2, np.uint64), np.empty(TILE, np.uint64), np.empty(TILE, np.uint64)
    size, first, second = np.uint64(words.itemsize), key[0], key[1]
    for top in range(0, words.size, TILE):
        count = min(TILE, words.size - top)
        for r in range(count):
            low[r], high[r] = _multiply_add(size, _ZERO, np.uint64(words[top + r]) + first, second)
        _combine(low[:count], high[:count], index + np.uint64(top), seeds, sums)
    return sums


@jit
def _combine(low, high, index, seeds, sums):
    """Add the products of compressed values, each word with its row's key, to `sums`. Both are written over."""
    for r in range(low.size):
        place = (index + np.uint64(r)) * _GAMMA
        low[r] += _mix(seeds[0] + place)
        high[r] += _mix(seeds[1] + place)
    a, b = sums[0], sums[1]
    for r in range(low.size):
        a, b = _multiply_add(a, b, low[r], high[r])
    sums[0], sums[1] = a, b


@jit
def _compress(data, starts, stops, size, key, low, high):
    """`compress` of the values data[starts[r] * size : stops[r] * size]. Nothing behind `data` is read.

    The loop over words stands here: what is called with arrays counts references, which takes as long as a short value.
    """
    for r in range(starts.size):
        i, stop = np.int64(starts[r]) * size, np.int64(stops[r]) * size
        a, b = np.uint64(stop - i), _ZERO
        while stop - i > BLOCK:
            a, b = _add_block(data, i, key, a, b)
            i += BLOCK
        pairs = (stop - i) // 16
        for j in range(pairs):
            first, second = load_word(data, i + 16 * j), load_word(data, i + 16 * j + 8)
            a, b = _multiply_add(a, b, first + key[2 * j], second + key[2 * j + 1])
        i += 16 * pairs
        rest = stop - i
        if rest:
            if i + 16 <= data.size:
                first, second = load_word(data, i) & _MASKS[rest], load_word(data, i + 8) & _MASKS[max(rest - 8, 0)]
            else:
                first, second = _ZERO, _ZERO
                for byte in range(min(rest, 8)):
                    first |= np.uint64(data[i + byte]) << np.uint64(8 * byte)
                for byte in range(8, rest):
                    second |= np.uint64(data[i + byte]) << np.uint64(8 * byte - 64)
            a, b = _multiply_add(a, b, first + key[2 * pairs], second + key[2 * pairs + 1])
        low[r], high[r] = a, b


@jit
def _add_block(data, i, key, low, high):
    """A whole block, which another one follows."""
    for j in range(BLOCK // 16):
        first, second = load_word(data, i + 16 * j), load_word(data, i + 16 * j + 8)
        low, high = _multiply_add(low, high, first + key[2 * j], second + key[2 * j + 1])
    return _mix(low), _mix(high)
