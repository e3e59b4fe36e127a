"""Order: y depends on how the elements of x compare.

Kernels sort up to 256 positions with a sorting network over all rows at once, and longer vectors row by row with a
radix sort.
"""

from bisect import bisect_left

import numpy as np

from fastgen import modular
from fastgen.jit import jit
from fastgen.trace import code
from fastgen.transforms.base import transformation

NETWORK = 256
"""The longest vector that a network sorts: up to here position and uint8 value share a key of 16 bits, and its
O(length log^2 length) comparators, 64 rows at a time, still take less time than a radix sort (see benchmarks)."""


def _copy_sorted(x, key, steps):
    """The elements of x in ascending order of `key`, stable, with the steps (i, source position, y[i])."""
    sources = sorted(range(len(x)), key=lambda i: key(x[i]))
    steps.extend((i, source, x[source]) for i, source in enumerate(sources))
    return [x[source] for source in sources]


@transformation(code=13, a="position", b="source")
def sort(x, k, steps):
    """Sort, ascending and stable. A step is (i, source position, y[i]).

    >>> steps = []
    >>> sort([3, 1, 3], 5, steps)
    [1, 3, 3]
    >>> steps
    [(13, 0, 1, 1), (13, 1, 0, 3), (13, 2, 2, 3)]
    """
    return _copy_sorted(x, lambda value: value, steps)


@sort.kernel
def _sort(x, y, trace, op, k, c):
    _sort_by(x, y, trace, op, x.dtype.type(0), x.dtype.type(-1))


@transformation(code=14, a="position", b="source")
def sort_descending(x, k, steps):
    """Sort, descending and stable: equal values keep their order. A step is (i, source position, y[i]).

    >>> steps = []
    >>> sort_descending([3, 1, 3], 5, steps)
    [3, 3, 1]
    >>> steps
    [(14, 0, 0, 3), (14, 1, 2, 3), (14, 2, 1, 1)]
    """
    return _copy_sorted(x, lambda value: -value, steps)


@sort_descending.kernel
def _sort_descending(x, y, trace, op, k, c):
    _sort_by(x, y, trace, op, x.dtype.type(-1), x.dtype.type(-1))


@transformation(code=15, a="position", b="source")
def evens_first(x, k, steps):
    """Even values first, then odd ones, both in their order. A step is (i, source position, y[i]).

    >>> steps = []
    >>> evens_first([3, 1, 4], 5, steps)
    [4, 3, 1]
    >>> steps
    [(15, 0, 2, 4), (15, 1, 0, 3), (15, 2, 1, 1)]
    """
    return _copy_sorted(x, lambda value: value % 2, steps)


@evens_first.kernel
def _evens_first(x, y, trace, op, k, c):
    _sort_by(x, y, trace, op, x.dtype.type(0), x.dtype.type(1))


@transformation(code=16, a="element", b="count")
def rank(x, k, steps):
    """Rank: y[i] = the number of j with x[j] < x[i] (mod k). A step is (x[i], that number, y[i]).

    >>> steps = []
    >>> rank([3, 1, 3], 5, steps)
    [1, 0, 1]
    >>> steps
    [(16, 3, 1, 1), (16, 1, 0, 0), (16, 3, 1, 1)]
    """
    ascending = sorted(x)
    counts = [bisect_left(ascending, value) for value in x]
    steps.extend((value, count, count % k) for value, count in zip(x, counts, strict=True))
    return [count % k for count in counts]


@rank.result
def _rank_result(a, b, k):
    return b % k


@rank.kernel
def _rank(x, y, trace, op, k, c):
    if x.shape[0] <= NETWORK:
        m = modular.reciprocal(x, k)
        count = np.empty_like(x[0])
        for i in range(x.shape[0]):
            count[:] = 0
            for j in range(x.shape[0]):
                _count_less(x, j, i, count)
            _rank_row(x, count, y, trace, i, op, k, m)
    else:
        order, spare = np.empty(x.shape[0], np.int64), np.empty(x.shape[0], np.int64)
        for r in range(x.shape[1]):
            _radix_sort(x, r, x.dtype.type(0), x.dtype.type(-1), order, spare)
            count_less = 0
            for position in range(x.shape[0]):
                i = order[position]
                if position and x[i, r] != x[order[position - 1], r]:
                    count_less = position
                y[i, r] = count_less % k
                trace[i, r] = code(trace, op, x[i, r], count_less, y[i, r])


@jit
def _count_less(x, j, i, count):
    for r in range(x.shape[1]):
        count[r] += x[j, r] < x[i, r]


@jit
def _rank_row(x, count, y, trace, i, op, k, m):
    for r in range(x.shape[1]):
        y[i, r] = modular.multiply(count[r], x.dtype.type(1), k, m)
        trace[i, r] = code(trace, op, x[i, r], count[r], y[i, r])


@jit
def _sort_by(x, y, trace, op, flip, mask):
    """Sort by (x ^ flip) & mask, stable, and log each element's source position.

    Both are of the vectors' type (-1: all its bits): of each other type all of this would be compiled once more.
    """
    if x.shape[0] <= NETWORK:
        keys = np.empty(x.shape, trace.dtype)
        for i in range(x.shape[0]):
            _key_row(x, keys, i, flip, mask)
        _merge_exchange(keys)
        for i in range(x.shape[0]):
            _sorted_row(keys, y, trace, i, op)
    else:
        order, spare = np.empty(x.shape[0], np.int64), np.empty(x.shape[0], np.int64)
        for r in range(x.shape[1]):
            _radix_sort(x, r, flip, mask, order, spare)
            for i in range(x.shape[0]):
                y[i, r] = x[order[i], r]
                trace[i, r] = code(trace, op, i, order[i], y[i, r])


@jit
def _key_row(x, keys, i, flip, mask):
    """Fields like those of a step code: the value, then its position, then what is compared first."""
    for r in range(x.shape[1]):
        keys[i, r] = code(keys, x[i, r], i, (x[i, r] ^ flip) & mask, 0)


@jit
def _sorted_row(keys, y, trace, i, op):
    field = keys.itemsize * 2
    for r in range(y.shape[1]):
        y[i, r] = keys[i, r]
        trace[i, r] = code(trace, op, i, y.dtype.type(keys[i, r] >> field), y[i, r])


@jit
def _merge_exchange(keys):
    """Batcher's network for any number of positions (Knuth, TAOCP vol. 3, 5.2.2, algorithm M)."""
    length = keys.shape[0]
    top = 1
    while 2 * top < length:
        top *= 2
    p = top
    while p > 0:
        q, remainder, distance = top, 0, p
        while True:
            for i in range(length - distance):
                if i & p == remainder:
                    _exchange_row(keys, i, i + distance)
            if q == p:
                break
            distance, q, remainder = q - p, q // 2, p
        p //= 2


@jit
def _exchange_row(keys, i, j):
    for r in range(keys.shape[1]):
        smaller, larger = min(keys[i, r], keys[j, r]), max(keys[i, r], keys[j, r])
        keys[i, r] = smaller
        keys[j, r] = larger


@jit
def _radix_sort(x, r, flip, mask, order, spare):
    """Fill `order: int64[position]` with the positions of row r in the order of (x ^ flip) & mask, stable.

    A counting sort for each byte of the key, the lowest first: O(length).
    """
    length = x.shape[0]
    for i in range(length):
        order[i] = i
    starts = np.empty(257, np.int64)
    for byte in range(x.itemsize):
        starts[:] = 0
        for i in range(length):
            starts[((((x[i, r] ^ flip) & mask) >> (8 * byte)) & 255) + 1] += 1
        for digit in range(256):
            starts[digit + 1] += starts[digit]
        for i in range(length):  # `spare[:] = order` takes 3 s to compile: the text of its error
            spare[i] = order[i]
        for i in range(length):
            digit = (((x[spare[i], r] ^ flip) & mask) >> (8 * byte)) & 255
            order[starts[digit]] = spare[i]
            starts[digit] += 1
