"""Chance: tails against sums in exact arithmetic, expectations against every outcome, and no false alarms."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from fastgen.chance import LEAST, at_least, fit, gamma_tails, in_both, in_both_at_most, occupied, repeats


@pytest.mark.parametrize("mean", [1e-6, 0.3, 1, 7.5, 60, 400])
def test_poisson_tail_against_sums(mean: float) -> None:
    exact = Fraction(mean)
    for count in sorted({1, 2, 5, 20, round(mean) or 1, round(mean + 6 * math.sqrt(mean)) + 1, round(2 * mean) + 3}):
        below = sum((exact**i / math.factorial(i) for i in range(count)), Fraction(0))
        beyond = sum((exact**i / math.factorial(i) for i in range(count, count + 700)), Fraction(0))
        assert at_least(count, mean) == pytest.approx(float(beyond / (below + beyond)), rel=1e-9)


@pytest.mark.parametrize("half", [1, 2, 5, 40])
@pytest.mark.parametrize("statistic", [0.1, 3.0, 80.0, 300.0])
def test_chi_square_tail_of_even_freedom(half: int, statistic: float) -> None:
    """Of 2 * half degrees it is a Poisson sum."""
    expected = math.exp(-statistic / 2) * sum((statistic / 2) ** i / math.factorial(i) for i in range(half))
    assert gamma_tails(half, statistic / 2)[1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("statistic", [0.1, 1.0, 5.0, 30.0])
def test_chi_square_tail_of_one_degree(statistic: float) -> None:
    assert gamma_tails(0.5, statistic / 2)[1] == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-9)


def test_tails_of_large_numbers() -> None:
    """Next to the mean they are close to a half, ten deviations above it to nothing."""
    for mean in (1e6, 1e9):
        lower, upper = gamma_tails(mean, mean)
        assert lower + upper == pytest.approx(1)
        assert upper == pytest.approx(0.5, abs=1e-3)
        assert 0 < at_least(mean + 10 * math.sqrt(mean), mean) < 1e-20
    assert at_least(3, 0.0) == 0
    assert at_least(0, 0.0) == 1


@pytest.mark.parametrize(("cells", "rows", "others"), [(1, 3, 2), (2, 3, 4), (3, 4, 3), (4, 1, 5)])
def test_expectations_are_means_over_every_outcome(cells: int, rows: int, others: int) -> None:
    drawn = list(product(range(cells), repeat=rows))
    other = list(product(range(cells), repeat=others))
    array = np.array([float(cells)])
    assert float(occupied(np.array([rows]), array)[0]) == pytest.approx(np.mean([len(set(x)) for x in drawn]))
    assert repeats(np.array([rows]), array) == pytest.approx(np.mean([rows - len(set(x)) for x in drawn]))
    both = np.mean([len(set(a) & set(b)) for a in drawn for b in other])
    assert in_both(np.array([rows]), np.array([others]), array) == pytest.approx(both)
    assert in_both(np.array([0]), np.array([others]), array) == 0


def test_bounds_where_cells_are_not_equally_likely() -> None:
    """Of 40 cells, two sets fall into 8 that overlap in part, each cell of them one in 8."""
    random, rows, others = np.random.default_rng(5), 12, 30
    both, again = [], []
    for _ in range(2000):
        first, second = set(random.integers(8, size=rows)), set(random.integers(4, 12, size=others))
        both.append(len(first & second))
        again.append(rows - len(first))
    eight = np.array([8.0])
    assert np.mean(both) <= in_both_at_most(np.array([rows]), np.array([others]), eight)
    assert np.mean(again) == pytest.approx(repeats(np.array([rows]), eight), rel=0.05)
    assert repeats(np.array([rows]), np.array([40.0])) < repeats(np.array([rows]), eight)


def test_few_rows_of_many_cells() -> None:
    """Where the difference of large numbers would leave nothing of it."""
    assert repeats(np.array([1000.0]), np.array([1e30])) == pytest.approx(1000 * 999 / 2 / 1e30)
    assert in_both(np.array([1000.0]), np.array([500.0]), np.array([1e30])) == pytest.approx(1000 * 500 / 1e30)


@pytest.mark.parametrize("rows", [30, 300, 3000])
@pytest.mark.parametrize("others", [40, 2000])
def test_poisson_bounds_coincidences_at_every_density(rows: int, others: int) -> None:
    """500 cells, 2000 times: p is no smaller than it may be, at every level that so many tries can tell."""
    random, cells, tries = np.random.default_rng(1), 500, 2000
    expected_both = in_both(np.array([rows]), np.array([others]), np.array([float(cells)]))
    expected_repeats = repeats(np.array([rows]), np.array([float(cells)]))
    both, again = [], []
    for _ in range(tries):
        first, second = set(random.integers(cells, size=rows)), set(random.integers(cells, size=others))
        both.append(at_least(len(first & second), expected_both))
        again.append(at_least(rows - len(first), expected_repeats))
    for p in (0.3, 0.1, 0.01):
        most = p + 5 * math.sqrt(p / tries)
        assert np.mean(np.array(both) <= p) <= most
        assert np.mean(np.array(again) <= p) <= most


def test_fit_by_hand() -> None:
    found = fit(np.array([[40.0, 60.0]]), np.array([[50.0, 50.0]]))
    assert found is not None
    assert (found.statistic, found.freedom) == (4.0, 1)
    assert found.p == pytest.approx(math.erfc(math.sqrt(2)))


def test_cells_of_few_are_counted_together() -> None:
    """10 cells of 10: 25 are reached by 3, 3 and 4 of them."""
    found = fit(np.array([[13.0, 8, 9, 10, 10, 10, 10, 10, 10, 10]]), np.full((1, 10), 10.0))
    assert found == (0.0, 2, 1.0)
    assert fit(np.array([[3.0, 5.0]]), np.array([[4.0, 4.0]])) is None
    assert fit(np.array([[100.0]]), np.array([[100.0]])) is None


def test_what_cannot_be_is_never_chance() -> None:
    found = fit(np.array([[99.0, 0.0, 1.0]]), np.array([[50.0, 50.0, 0.0]]))
    assert found is not None
    assert (found.statistic, found.p) == (math.inf, 0)
    assert fit(np.array([[50.0, 50.0, 0.0]]), np.array([[50.0, 50.0, 0.0]])) == (0.0, 1, 1.0)


def test_the_tail_of_a_fit_is_not_too_heavy() -> None:
    """Cells of LEAST, the fewest that there may be: 1 in 1000 stays about that."""
    random, cells = np.random.default_rng(2), 40
    expected = np.full((1, cells), float(LEAST))
    drawn = random.multinomial(LEAST * cells, [1 / cells] * cells, size=20_000).astype(float)
    p = np.array([found.p for row in drawn if (found := fit(row[None], expected))])
    assert np.mean(p < 1e-3) < 2e-3
    assert 0.45 < p.mean() < 0.55
