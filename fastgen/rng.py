"""Random words of an example: a pure function of (seed, split, index), whichever rows are made with it.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC '11): the key is the
seed; the counter is the example's index (64 bits), the number of the draw (32) and the split's stream (32). Draw d
gives an example its words 2d and 2d + 1, of 64 bits each; a second attempt at an example draws from 2^16 on, ...

A word is read as a fraction of 2^64, and digits are taken off its front: multiply by the radix, the integer part is
the digit, the fraction goes on. Digits of radices k1, k2, ... from one word are jointly uniform up to a relative
error of k1 * k2 * ... / 2^64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgen.jit import jit

STREAM_VERSION = 1
"""Which values a seed gives. It changes whenever they do, and with it the identity of every corpus."""

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 of one counter. The test vector is the first of Random123's `kat_vectors`.

    >>> [hex(word) for word in philox((0, 0, 0, 0), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    for i in range(10):
        product0, product1 = MULTIPLIERS[0] * counter[0], MULTIPLIERS[1] * counter[2]
        key0, key1 = ((key[half] + i * WEYL[half]) & _MASK for half in (0, 1))
        counter = (
            product1 >> 32 ^ counter[1] ^ key0,
            product1 & _MASK,
            product0 >> 32 ^ counter[3] ^ key1,
            product0 & _MASK,
        )
    return counter


ATTEMPT = 16
"""A draw's number is this many bits; above them stands which attempt it belongs to."""


def words(seed: int, stream: int, index: int, count: int, attempt: int = 0) -> list[int]:
    """The first `count` words (64 bits each) of an example, of a numbered attempt at it (0..2^16-1)."""
    key = seed & _MASK, seed >> 32
    drawn = []
    for draw in range(attempt << ATTEMPT, (attempt << ATTEMPT) + (count + 1) // 2):
        w = philox((index & _MASK, index >> 32, draw, stream), key)
        drawn += [w[0] | w[1] << 32, w[2] | w[3] << 32]
    return drawn[:count]


def digit(word: int, radix: int) -> tuple[int, int]:
    """The first digit of a word, 0..radix-1, and the fraction that is left.

    >>> digit(0x8000_0000_0000_0000, 11)
    (5, 9223372036854775808)
    """
    product = word * radix
    return product >> 64, product & (1 << 64) - 1


def fractions(seed: int, stream: int, start: int, rows: int, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """`count` fractions of 2^32 for each of the examples from `start` on, uint64[fraction, row]: for NumPy."""
    drawn = np.empty((count + count % 2, rows), np.uint64)
    for draw in range(drawn.shape[0] // 2):
        place = slice(2 * draw, 2 * draw + 2)
        fill_words(np.uint64(seed), np.uint64(stream), np.uint64(start), np.uint64(draw), *drawn[place])
    return drawn[:count] >> np.uint64(32)


_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint64(WEYL[0]), np.uint64(WEYL[1])
_LOW, _HALF = np.uint64(_MASK), np.uint64(32)


@jit
def fill_words(seed, stream, start, draw, first, second):
    """`words` 2 * draw and 2 * draw + 1 of the examples from `start` on, into first, second: uint64[row].

    The ten rounds are written out: a loop over them is not vectorised and takes six times as long.
    """
    k0, k1 = seed & _LOW, seed >> _HALF
    for r in range(first.size):
        index = start + np.uint64(r)
        c0, c1, c2, c3 = index & _LOW, index >> _HALF, draw, stream
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(0))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(1))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(2))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(3))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(4))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(5))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(6))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(7))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(8))
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1, np.uint64(9))
        first[r] = c0 | c1 << _HALF
        second[r] = c2 | c3 << _HALF


@jit
def _round(c0, c1, c2, c3, k0, k1, i):
    product0, product1 = _M0 * c0, _M1 * c2
    key0, key1 = (k0 + i * _W0) & _LOW, (k1 + i * _W1) & _LOW
    return (
        product1 >> _HALF ^ c1 ^ key0,
        product1 & _LOW,
        product0 >> _HALF ^ c3 ^ key1,
        product0 & _LOW,
    )


@jit
def take_digit(word, radix):
    """`digit` in compiled code, of uint64s, for radices up to 2^32 (two products of 32 bits by 32)."""
    low = (word & _LOW) * radix
    high = (word >> _HALF) * radix + (low >> _HALF)
    return high >> _HALF, high << _HALF | low & _LOW
