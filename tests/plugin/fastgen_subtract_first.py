"""Subtract the first element: a transformation in a package of its own."""

from fastgen import modular
from fastgen.jit import jit
from fastgen.trace import code
from fastgen.transforms import transformation


@transformation(code=128, a="element", b="element")
def subtract_first(x, k, steps):
    """Subtract the first element: y[i] = x[i] - x[0] (mod k). A step is (x[i], x[0], y[i]).

    >>> steps = []
    >>> subtract_first([3, 1, 4], 5, steps)
    [0, 3, 1]
    >>> steps
    [(128, 3, 3, 0), (128, 1, 3, 3), (128, 4, 3, 1)]
    """
    y = [(value - x[0]) % k for value in x]
    steps.extend((value, x[0], result) for value, result in zip(x, y, strict=True))
    return y


@subtract_first.kernel
def _subtract_first(x, y, trace, op, k, c):
    for i in range(x.shape[0]):
        _subtract_first_row(x, y, trace, i, op, k)


@jit
def _subtract_first_row(x, y, trace, i, op, k):
    for r in range(x.shape[1]):
        y[i, r] = modular.subtract(x[i, r], x[0, r], k)
        trace[i, r] = code(trace, op, x[i, r], x[0, r], y[i, r])
