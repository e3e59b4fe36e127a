"""Elementwise: y[i] depends on x[i] alone."""

from fastgen import modular
from fastgen.jit import jit
from fastgen.trace import code
from fastgen.transforms.base import transformation


@transformation(code=1, a="element", b="constant", argument="modulus", degenerate={0: "changes nothing"})
def add(x, k, steps, c):
    """Add a constant: y[i] = x[i] + c (mod k). A step is (x[i], c, y[i]).

    >>> steps = []
    >>> add([3, 1, 4], 5, steps, 2)
    [0, 3, 1]
    >>> steps
    [(1, 3, 2, 0), (1, 1, 2, 3), (1, 4, 2, 1)]
    """
    y = [(value + c) % k for value in x]
    steps.extend((value, c, result) for value, result in zip(x, y, strict=True))
    return y


@add.result
def _add_result(a, b, k):
    return (a + b) % k


@add.kernel
def _add(x, y, trace, op, k, c):
    for i in range(x.shape[0]):
        _add_row(x, y, trace, i, op, k, x.dtype.type(c))


@jit
def _add_row(x, y, trace, i, op, k, c):
    for r in range(x.shape[1]):
        y[i, r] = modular.add(x[i, r], c, k)
        trace[i, r] = code(trace, op, x[i, r], c, y[i, r])


@transformation(
    code=2,
    a="element",
    b="constant",
    argument="modulus",
    degenerate={0: "makes every element 0", 1: "changes nothing"},
)
def multiply(x, k, steps, c):
    """Multiply by a constant: y[i] = x[i] * c (mod k). A step is (x[i], c, y[i]).

    >>> steps = []
    >>> multiply([3, 1, 4], 5, steps, 2)
    [1, 2, 3]
    >>> steps
    [(2, 3, 2, 1), (2, 1, 2, 2), (2, 4, 2, 3)]
    """
    y = [value * c % k for value in x]
    steps.extend((value, c, result) for value, result in zip(x, y, strict=True))
    return y


@multiply.result
def _multiply_result(a, b, k):
    return a * b % k


@multiply.kernel
def _multiply(x, y, trace, op, k, c):
    m = modular.reciprocal(x, k)
    for i in range(x.shape[0]):
        _multiply_row(x, y, trace, i, op, k, m, x.dtype.type(c))


@jit
def _multiply_row(x, y, trace, i, op, k, m, c):
    for r in range(x.shape[1]):
        y[i, r] = modular.multiply(x[i, r], c, k, m)
        trace[i, r] = code(trace, op, x[i, r], c, y[i, r])


@transformation(code=3, a="constant", b="element")
def negate(x, k, steps):
    """Negate: y[i] = 0 - x[i] (mod k). A step is (0, x[i], y[i]).

    >>> steps = []
    >>> negate([3, 0, 4], 5, steps)
    [2, 0, 1]
    >>> steps
    [(3, 0, 3, 2), (3, 0, 0, 0), (3, 0, 4, 1)]
    """
    y = [-value % k for value in x]
    steps.extend((0, value, result) for value, result in zip(x, y, strict=True))
    return y


@negate.result
def _negate_result(a, b, k):
    return (a - b) % k


@negate.kernel
def _negate(x, y, trace, op, k, c):
    for i in range(x.shape[0]):
        _negate_row(x, y, trace, i, op, k, x.dtype.type(0))


@jit
def _negate_row(x, y, trace, i, op, k, zero):
    for r in range(x.shape[1]):
        y[i, r] = modular.subtract(zero, x[i, r], k)
        trace[i, r] = code(trace, op, zero, x[i, r], y[i, r])


@transformation(code=4, a="element", b="element")
def square(x, k, steps):
    """Square: y[i] = x[i] * x[i] (mod k). A step is (x[i], x[i], y[i]).

    >>> steps = []
    >>> square([3, 0, 4], 5, steps)
    [4, 0, 1]
    >>> steps
    [(4, 3, 3, 4), (4, 0, 0, 0), (4, 4, 4, 1)]
    """
    y = [value * value % k for value in x]
    steps.extend((value, value, result) for value, result in zip(x, y, strict=True))
    return y


@square.result
def _square_result(a, b, k):
    return a * b % k


@square.kernel
def _square(x, y, trace, op, k, c):
    m = modular.reciprocal(x, k)
    for i in range(x.shape[0]):
        _square_row(x, y, trace, i, op, k, m)


@jit
def _square_row(x, y, trace, i, op, k, m):
    for r in range(x.shape[1]):
        y[i, r] = modular.multiply(x[i, r], x[i, r], k, m)
        trace[i, r] = code(trace, op, x[i, r], x[i, r], y[i, r])
