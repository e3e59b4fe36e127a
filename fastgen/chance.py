"""What chance alone gives: how many rows coincide, how far counts stray from their expectation, how likely more is.

Rows are drawn independently, elements uniformly, so a vector is one of k^length equally likely cells. Numbers of
coincidences are compared with Poisson's distribution, counts with Pearson's chi-square. Both tails are one function,
the incomplete gamma function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LEAST = 25
"""Cells of which fewer are expected are counted together with their neighbours. The usual 5 is for a p of 1e-2; at 5
the tail at 1e-8 is ten times too heavy, at 25 less than twice."""


def gamma_tails(a: float, x: float) -> tuple[float, float]:
    """The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P, for a > 0 and x >= 0.

    A series below a + 1, and above it a continued fraction (DLMF 8.11.4 and 8.9.2, by Lentz's method), so that the
    smaller of the two keeps its precision.

    >>> gamma_tails(1, 2)[1] == math.exp(-2)
    True
    """
    if x <= 0:
        return 0.0, 1.0
    if math.isinf(x):
        return 1.0, 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-17:
            n += 1
            term *= x / n
            total += term
        return front * total, 1 - front * total
    b, c = x + 1 - a, math.inf
    d = 1 / b
    fraction, n = d, 0
    while True:
        n += 1
        step = -n * (n - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            return 1 - front * fraction, front * fraction


def at_least(count: float, expected: float) -> float:
    """The probability that a Poisson number with this expectation is `count` or more.

    >>> round(at_least(1, 0.5), 6), at_least(0, 5.0)
    (0.393469, 1.0)
    """
    return 1.0 if count <= 0 else gamma_tails(count, expected)[0]


class Fit(NamedTuple):
    """How well counts fit an expectation."""

    statistic: float
    """Pearson's chi-square; its expectation is `freedom`."""
    freedom: int
    p: float
    """The probability of as much or more; 0 where something is there that can't be."""


def fit(observed: Any, expected: Any) -> Fit | None:
    """The chi-square test of counts against their expectations: arrays [row, cell], rows of equal sums, each a test.

    Neighbouring cells of a row are counted together until `LEAST` are expected. None where no row has two cells left.
    """
    if (observed[expected == 0] > 0).any():
        return Fit(math.inf, int((expected > 0).sum()) - len(expected), 0.0)
    rows = [_together(*pair) for pair in zip(observed.tolist(), expected.tolist(), strict=True)]
    freedom = sum(max(0, len(cells) - 1) for cells in rows)
    if not freedom:
        return None
    statistic = sum((count - mean) ** 2 / mean for cells in rows for count, mean in cells)
    return Fit(statistic, freedom, gamma_tails(freedom / 2, statistic / 2)[1])


def _together(observed: Sequence[float], expected: Sequence[float]) -> list[tuple[float, float]]:
    cells: list[tuple[float, float]] = []
    count = mean = 0.0
    for more, likely in zip(observed, expected, strict=True):
        count, mean = count + more, mean + likely
        if mean >= LEAST:
            cells.append((count, mean))
            count = mean = 0.0
    if cells and mean:
        before, likely = cells.pop()
        cells.append((before + count, likely + mean))
    return cells


def occupied(rows: Any, cells: Any) -> Any:
    """The expected number of distinct cells that `rows` rows fall into, for arrays: cells * (1 - (1 - 1/cells)^rows).

    >>> float(occupied(np.array(3.0), np.array(2.0)))  # 2 of 8 times one, else both
    1.75
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # the logarithm of 0, where there is but one cell
        return np.where(rows > 0, -cells * np.expm1(rows * np.log1p(-1 / cells)), 0.0)


def in_both(rows: Any, others: Any, cells: Any) -> float:
    """The expected number of cells that two sets of rows both fall into, summed over arrays.

    Whether each cell is taken are negatively associated events (Joag-Dev and Proschan, 1983), in both sets and in any
    choice of the cells, so the number strays no further than a sum of independent ones, and that no further than
    Poisson's.
    """
    return float((occupied(rows, cells) * occupied(others, cells) / cells).sum())


def in_both_at_most(rows: Any, others: Any, cells: Any) -> float:
    """The most of `in_both` where cells need not be equally likely, but in each set no more than one in `cells`."""
    return float(np.minimum(rows * others / cells, np.minimum(rows, others)).sum())


def repeats(rows: Any, cells: Any) -> float:
    """The expected number of rows that fall into a cell which an earlier one has taken, summed over arrays.

    Also the most of it, where cells need not be equally likely, but none more than one in `cells`.

    Few of many: as many as there are pairs of rows over the cells, and Poisson's distribution; with more rows the
    variance is below the expectation, so that Poisson's tail is a bound.
    """
    pairs = rows * (rows - 1) / 2 / cells
    return float(np.where(rows < 1e-4 * cells, pairs, rows - occupied(rows, cells)).sum())
