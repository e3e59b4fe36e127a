"""Scans: y[i] depends on x[i] and on what came before it."""

from fastgen import modular
from fastgen.jit import jit
from fastgen.trace import code
from fastgen.transforms.base import transformation


@transformation(code=5, a="previous result", b="element")
def cumsum(x, k, steps):
    """Cumulative sum: y[i] = y[i-1] + x[i] (mod k). A step is (y[i-1], x[i], y[i]), with 0 for y[-1].

    >>> steps = []
    >>> cumsum([3, 1, 4], 5, steps)
    [3, 4, 3]
    >>> steps
    [(5, 0, 3, 3), (5, 3, 1, 4), (5, 4, 4, 3)]
    """
    y, total = [], 0
    for value in x:
        steps.append((total, value, (total + value) % k))
        total = (total + value) % k
        y.append(total)
    return y


@cumsum.result
def _cumsum_result(a, b, k):
    return (a + b) % k


@cumsum.kernel
def _cumsum(x, y, trace, op, k, c):
    for r in range(x.shape[1]):
        y[0, r] = x[0, r]
        trace[0, r] = code(trace, op, 0, x[0, r], y[0, r])
    for i in range(1, x.shape[0]):
        _cumsum_row(x, y, trace, i, op, k)


@jit
def _cumsum_row(x, y, trace, i, op, k):
    for r in range(x.shape[1]):
        total = y[i - 1, r]
        y[i, r] = modular.add(total, x[i, r], k)
        trace[i, r] = code(trace, op, total, x[i, r], y[i, r])


@transformation(code=6, a="element", b="element")
def difference(x, k, steps):
    """Difference: y[i] = x[i] - x[i-1] (mod k). A step is (x[i], x[i-1], y[i]), with 0 for x[-1].

    >>> steps = []
    >>> difference([3, 1, 4], 5, steps)
    [3, 3, 3]
    >>> steps
    [(6, 3, 0, 3), (6, 1, 3, 3), (6, 4, 1, 3)]
    """
    y, before = [], 0
    for value in x:
        y.append((value - before) % k)
        steps.append((value, before, y[-1]))
        before = value
    return y


@difference.result
def _difference_result(a, b, k):
    return (a - b) % k


@difference.kernel
def _difference(x, y, trace, op, k, c):
    for r in range(x.shape[1]):
        y[0, r] = x[0, r]
        trace[0, r] = code(trace, op, x[0, r], 0, y[0, r])
    for i in range(1, x.shape[0]):
        _difference_row(x, y, trace, i, op, k)


@jit
def _difference_row(x, y, trace, i, op, k):
    for r in range(x.shape[1]):
        y[i, r] = modular.subtract(x[i, r], x[i - 1, r], k)
        trace[i, r] = code(trace, op, x[i, r], x[i - 1, r], y[i, r])


@transformation(code=7, a="previous result", b="element")
def cummax(x, k, steps):
    """Cumulative maximum: y[i] = max(y[i-1], x[i]). A step is (y[i-1], x[i], y[i]), with x[0] for y[-1].

    >>> steps = []
    >>> cummax([3, 1, 4], 5, steps)
    [3, 3, 4]
    >>> steps
    [(7, 3, 3, 3), (7, 3, 1, 3), (7, 3, 4, 4)]
    """
    y, largest = [], x[0]
    for value in x:
        y.append(max(largest, value))
        steps.append((largest, value, y[-1]))
        largest = y[-1]
    return y


@cummax.result
def _cummax_result(a, b, k):
    return max(a, b)


@cummax.kernel
def _cummax(x, y, trace, op, k, c):
    for r in range(x.shape[1]):
        y[0, r] = x[0, r]
        trace[0, r] = code(trace, op, x[0, r], x[0, r], y[0, r])
    for i in range(1, x.shape[0]):
        _cummax_row(x, y, trace, i, op)


@jit
def _cummax_row(x, y, trace, i, op):
    for r in range(x.shape[1]):
        largest = y[i - 1, r]
        y[i, r] = max(largest, x[i, r])
        trace[i, r] = code(trace, op, largest, x[i, r], y[i, r])


@transformation(code=8, a="previous result", b="element")
def cummin(x, k, steps):
    """Cumulative minimum: y[i] = min(y[i-1], x[i]). A step is (y[i-1], x[i], y[i]), with x[0] for y[-1].

    >>> steps = []
    >>> cummin([3, 1, 4], 5, steps)
    [3, 1, 1]
    >>> steps
    [(8, 3, 3, 3), (8, 3, 1, 1), (8, 1, 4, 1)]
    """
    y, least = [], x[0]
    for value in x:
        y.append(min(least, value))
        steps.append((least, value, y[-1]))
        least = y[-1]
    return y


@cummin.result
def _cummin_result(a, b, k):
    return min(a, b)


@cummin.kernel
def _cummin(x, y, trace, op, k, c):
    for r in range(x.shape[1]):
        y[0, r] = x[0, r]
        trace[0, r] = code(trace, op, x[0, r], x[0, r], y[0, r])
    for i in range(1, x.shape[0]):
        _cummin_row(x, y, trace, i, op)


@jit
def _cummin_row(x, y, trace, i, op):
    for r in range(x.shape[1]):
        least = y[i - 1, r]
        y[i, r] = min(least, x[i, r])
        trace[i, r] = code(trace, op, least, x[i, r], y[i, r])
