"""Permutations: y[i] is an element of x from a place that does not depend on the values."""

from fastgen.jit import jit
from fastgen.trace import code
from fastgen.transforms.base import transformation


@jit
def _copy_row(x, y, trace, i, source, op):
    """The step every permutation logs: y[i] = x[source] as (i, source, y[i])."""
    for r in range(x.shape[1]):
        y[i, r] = x[source, r]
        trace[i, r] = code(trace, op, i, source, y[i, r])


def _copy(x, sources, steps):
    """The reference of `_copy_row`, for all positions."""
    steps.extend((i, source, x[source]) for i, source in enumerate(sources))
    return [x[source] for source in sources]


@transformation(code=9, a="position", b="source")
def reverse(x, k, steps):
    """Reverse: y[i] = x[length-1-i]. A step is (i, length-1-i, y[i]).

    >>> steps = []
    >>> reverse([3, 1, 4], 5, steps)
    [4, 1, 3]
    >>> steps
    [(9, 0, 2, 4), (9, 1, 1, 1), (9, 2, 0, 3)]
    """
    return _copy(x, range(len(x) - 1, -1, -1), steps)


@reverse.kernel
def _reverse(x, y, trace, op, k, c):
    length = x.shape[0]
    for i in range(length):
        _copy_row(x, y, trace, i, length - 1 - i, op)


@transformation(code=10, a="position", b="source", argument="length", degenerate={0: "changes nothing"})
def rotate(x, k, steps, c):
    """Rotate to the left: y[i] = x[(i+c) % length]. A step is (i, (i+c) % length, y[i]).

    >>> steps = []
    >>> rotate([3, 1, 4], 5, steps, 1)
    [1, 4, 3]
    >>> steps
    [(10, 0, 1, 1), (10, 1, 2, 4), (10, 2, 0, 3)]
    """
    return _copy(x, [(i + c) % len(x) for i in range(len(x))], steps)


@rotate.kernel
def _rotate(x, y, trace, op, k, c):
    length = x.shape[0]
    for i in range(length):
        source = (i + c) % length
        _copy_row(x, y, trace, i, source, op)


@transformation(code=11, a="position", b="source")
def swap_pairs(x, k, steps):
    """Exchange the neighbours 2j and 2j+1; a last odd one stays. A step is (i, source position, y[i]).

    >>> steps = []
    >>> swap_pairs([3, 1, 4], 5, steps)
    [1, 3, 4]
    >>> steps
    [(11, 0, 1, 1), (11, 1, 0, 3), (11, 2, 2, 4)]
    """
    return _copy(x, [i if i ^ 1 == len(x) else i ^ 1 for i in range(len(x))], steps)


@swap_pairs.kernel
def _swap_pairs(x, y, trace, op, k, c):
    length = x.shape[0]
    for i in range(length):
        source = min(i ^ 1, length - 1)
        _copy_row(x, y, trace, i, source, op)


@transformation(code=12, a="position", b="source")
def interleave(x, k, steps):
    """First and second half alternately: x[0], x[h], x[1], x[h+1], ... with h = ceil(length/2), the perfect shuffle.

    A step is (i, source position, y[i]).

    >>> steps = []
    >>> interleave([3, 1, 4], 5, steps)
    [3, 4, 1]
    >>> steps
    [(12, 0, 0, 3), (12, 1, 2, 4), (12, 2, 1, 1)]
    """
    half = (len(x) + 1) // 2
    return _copy(x, [i // 2 + half * (i % 2) for i in range(len(x))], steps)


@interleave.kernel
def _interleave(x, y, trace, op, k, c):
    length = x.shape[0]
    half = (length + 1) // 2
    for i in range(length):
        source = i // 2 + half * (i % 2)
        _copy_row(x, y, trace, i, source, op)
