"""Rates with their counts and intervals, in tables that every form of a report shows.

Examples of one chain succeed and fail together, so an interval over several chains comes from drawing chains anew
(cluster bootstrap), and within one chain it is Wilson's. That of independent rows would be many times too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Z = 1.959963984540054
"""The normal quantile of 97.5 %: all intervals are of 95 %."""

DRAWS = 1000
"""Bootstrap samples. The ends of an interval are then off by less than a tenth of its half width."""


@dataclass(frozen=True)
class Rate:
    """How many of how many, and the interval of 95 % of their ratio."""

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The ratio; NaN of none."""
        return self.count / self.of if self.of else math.nan


@dataclass(frozen=True)
class Mean:
    """The mean of how many values, and the interval of 95 %: of chances, or of a loss in nats."""

    value: float
    of: int
    low: float
    high: float
    unit: str = "chance"
    """chance (from 0 to 1), nats, or points (differences)"""


@dataclass(frozen=True)
class Difference:
    """How far apart two means are, over how many pairs, and the interval of 95 %."""

    value: float
    of: int
    low: float
    high: float


class Table(NamedTuple):
    """A statistic: what it is called in report.json, what it says, and its cells."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    """str, int, float (a share), Rate, Mean, Difference or None."""


def wilson(count: Any, of: Any) -> tuple[Any, Any]:
    """Wilson's score interval of 95 % for proportions (JASA 1927), of numbers or arrays; 0 to 1 of none.

    >>> low, high = wilson(8, 10)
    >>> round(float(low), 3), round(float(high), 3)
    (0.49, 0.943)
    """
    count, size = np.asarray(count, np.float64), np.asarray(of, np.float64)
    n = np.maximum(size, 1)
    p = count / n
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    low, high = np.clip(middle - half, 0, p), np.clip(middle + half, p, 1)  # at 0 and 1 rounding may miss p
    return np.where(size > 0, low, 0.0), np.where(size > 0, high, 1.0)


@lru_cache(maxsize=256)
def draws(clusters: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64[draw, cluster]: how often each of some clusters is drawn, always the same."""
    return np.random.default_rng(clusters).multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS).astype(float)


def rate(counts: Any, sizes: Any) -> Rate:
    """The rate over clusters, of counts and sizes: int[cluster].

    Of several clusters, the percentile interval of Efron's bootstrap over clusters, but never one narrower than
    Wilson's: where all clusters are alike, drawing some of them again shows no spread.
    """
    counts, sizes = np.asarray(counts), np.asarray(sizes)
    count, of = int(counts.sum()), int(sizes.sum())
    low, high = map(float, wilson(count, of))
    there = sizes > 0
    clusters = int(there.sum())
    if clusters > 1 and 0 < count < of:
        drawn = draws(clusters)
        shares = (drawn @ counts[there]) / (drawn @ sizes[there])
        first, last = np.percentile(shares, [2.5, 97.5])
        low, high = min(low, float(first)), max(high, float(last))
    return Rate(count, of, low, high)


def mean(values: Any, cluster: Any, clusters: int, unit: str = "chance") -> Mean:
    """The mean of values: float[row], cluster: int[row]."""
    sums, squares = (np.bincount(cluster, each, clusters) for each in (values, np.square(values)))
    return mean_of(sums, squares, np.bincount(cluster, minlength=clusters), unit=unit)


def mean_of(sums: Any, squares: Any, sizes: Any, *, unit: str = "chance") -> Mean:
    """The mean over clusters, of sums of values and of their squares, float[cluster], and how many they are.

    The interval is the wider one of the bootstrap over clusters and that of independent values.
    """
    sums, squares, sizes = (np.asarray(each)[sizes > 0] for each in (sums, squares, sizes))
    of = int(sizes.sum())
    if not of:
        return Mean(math.nan, 0, math.nan, math.nan, unit)
    value = float(sums.sum() / of)
    half = Z * math.sqrt(max(0.0, float(squares.sum() / of) - value * value) / of)
    low, high = value - half, value + half
    if sizes.size > 1:
        drawn = draws(sizes.size)
        first, last = np.percentile((drawn @ sums) / (drawn @ sizes), [2.5, 97.5])
        low, high = min(low, float(first)), max(high, float(last))
    if unit == "chance":
        low, high = max(low, 0.0), min(high, 1.0)
    return Mean(value, of, low, high, unit)


def difference(a: Any, b: Any, cluster: Any, clusters: int) -> Difference:
    """The mean of b - a over pairs, a and b: bool|float[pair], with clusters and interval as in `mean`."""
    found = mean(b.astype(np.float64) - a, cluster, clusters, "points")
    return Difference(found.value, found.of, found.low, found.high)


def pass_at(k: int, right: Any, size: Any) -> Any:
    """How likely one of k generations is right, float64[prompt], of `right` right ones among `size` (both int[prompt]).

    The unbiased estimate 1 - C(size - right, k) / C(size, k) (Chen et al., arXiv 2107.03374). NaN where size < k.

    >>> pass_at(2, np.array([1, 0, 3]), np.array([4, 4, 4])).tolist()
    [0.5, 0.0, 1.0]
    """
    wrong = np.asarray(size, np.float64) - right
    none = np.ones(wrong.shape)
    for i in range(k):
        none *= np.maximum(wrong - i, 0) / np.maximum(size - i, 1)
    return np.where(size >= k, 1 - none, math.nan)


def show(cell: Any) -> str:
    """A cell as it is read: 81.3 % [79.0, 83.4]."""
    if cell is None:
        return ""
    if isinstance(cell, Rate):
        return f"{cell.share:.1%} [{100 * cell.low:.1f}, {100 * cell.high:.1f}]" if cell.of else "-"
    if isinstance(cell, Mean | Difference) and not cell.of:
        return "-"
    if isinstance(cell, Difference):
        return f"{100 * cell.value:+.1f} [{100 * cell.low:+.1f}, {100 * cell.high:+.1f}]"
    if isinstance(cell, Mean) and cell.unit == "nats":
        return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    if isinstance(cell, Mean):
        return f"{cell.value:.1%} [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    if isinstance(cell, float):
        return "-" if math.isnan(cell) else f"{cell:.1%}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def as_json(table: Table) -> dict[str, Any]:
    """A table as plain JSON values: a rate as its fields, NaN as null."""

    def plain(cell: Any) -> Any:
        if isinstance(cell, Rate | Mean | Difference):
            return {name: plain(value) for name, value in vars(cell).items()}
        return None if isinstance(cell, float) and math.isnan(cell) else cell

    rows: Sequence[Any] = table.rows
    return {
        "title": table.title,
        "note": table.note,
        "rows": [dict(zip(table.header, map(plain, row), strict=True)) for row in rows],
    }
