"""Rates, their intervals, and the statistics of runs whose figures are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from judged import DRAWN, run

from fastgen.doors import compose
from fastgen.report import tables as statistics
from fastgen.report.rates import Rate, as_json, difference, pass_at, rate, wilson
from fastgen.verdict.kinds import KINDS

CONFIG = compose("n=1000")


def test_wilson_covers_what_it_says() -> None:
    random = np.random.default_rng(0)
    for p in (0.02, 0.3, 0.9):
        low, high = wilson(random.binomial(50, p, 20_000), 50)
        assert 0.91 < ((low <= p) & (p <= high)).mean() < 0.985


def test_the_bootstrap_covers_over_chains_what_wilson_does_not() -> None:
    random = np.random.default_rng(1)
    inside = np.zeros(2)
    for _ in range(300):
        counts = random.binomial(100, random.beta(2, 2, 60))
        found, (low, high) = rate(counts, np.full(60, 100)), wilson(counts.sum(), 6000)
        inside += found.low <= 0.5 <= found.high, low <= 0.5 <= high
    assert inside[0] / 300 > 0.9
    assert inside[1] / 300 < 0.5


def test_paired_difference() -> None:
    a, b = np.array([0, 0, 1, 1], bool), np.array([1, 0, 1, 1], bool)
    found = difference(a, b, np.array([0, 0, 1, 1]), 2)
    assert (found.value, found.of) == (0.25, 4)
    assert found.low <= 0.25 <= found.high
    assert difference(a, a, np.zeros(4, int), 1).value == 0


def test_pass_at_k_is_the_share_of_subsets() -> None:
    from itertools import combinations

    for size in range(1, 6):
        for right in range(size + 1):
            outcomes = [1] * right + [0] * (size - right)
            for k in range(1, size + 1):
                subsets = [any(some) for some in combinations(outcomes, k)]
                expected = sum(subsets) / len(subsets)
                assert pass_at(k, np.array([right]), np.array([size]))[0] == pytest.approx(expected)


def test_headline_and_crossed_count_rows() -> None:
    found = run(CONFIG)
    score = {
        row[0]: dict(zip(statistics.headline(found).header, row, strict=True))
        for row in statistics.headline(found).rows
    }
    for number, split in enumerate(found.splits):
        here = found.split == number
        assert score[split]["right"].count == (found.valid & found.answer)[here].sum()
        assert score[split]["right"].of == here.sum()
    for row in statistics.crossed(found).rows:
        assert sum(cell.count for cell in row[1:]) == row[1].of


def test_survival_falls_from_all_to_those_without_error() -> None:
    found = run(CONFIG)
    rows = statistics.survival(found).rows
    shares = np.array([[cell.share for cell in row[1:]] for row in rows])
    assert (shares[0] == 1).all()
    assert (np.diff(shares, axis=0) <= 0).all()
    for number in range(len(found.splits)):
        assert rows[-1][1 + number].count == found.right[found.split == number].sum()


def test_steps_are_counted_once_in_every_table() -> None:
    found = run(CONFIG)
    right, of = int((found.steps.kind == 0).sum()), len(found.steps.kind)
    for statistic in (statistics.by_transformation, statistics.by_depth, statistics.by_position):
        cells = [cell for row in statistic(found).rows for cell in row[1:]]
        assert (sum(cell.count for cell in cells), sum(cell.of for cell in cells)) == (right, of)


def test_heat_maps_show_where_results_are_wrong() -> None:
    found = run(CONFIG, rows=20_000)
    for heat in statistics.operand_heats(found):
        assert heat.right.sum() < heat.of.sum()
        assert heat.of.shape[1] == CONFIG.k
    [place] = statistics.place_heat(found)
    assert place.of.sum() == len(found.steps.kind)


def test_errors_by_kind_are_those_drawn() -> None:
    found = run(CONFIG)
    table = statistics.by_kind(found)
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert set(rows) == {*DRAWN, "wrong chain"}
    for kind, row in rows.items():
        number = KINDS.index(kind)
        assert sum(row[split].count for split in found.splits) == (found.error == number).sum()
        assert row["steps"] == (found.steps.kind == number).sum()


def test_comparison_pairs_by_example() -> None:
    first, other = run(CONFIG, seed=0), run(CONFIG, seed=0, slip=0.0, name="better")
    [table] = statistics.compared([first, other])
    for _, _, examples, change, gained, lost in table.rows:
        assert change.value == pytest.approx((gained - lost) / examples)
        assert change.value > 0.2
        assert change.low > 0
    [same] = statistics.compared([first, first])
    assert all(row[3].value == 0 for row in same.rows)


def test_curves_have_a_row_for_each_run() -> None:
    runs = [run(CONFIG, slip=slip, name=f"step-{i}") for i, slip in enumerate((0.3, 0.1, 0.01))]
    score, transformation, role = statistics.curves(runs)
    assert [row[0] for row in score.rows] == ["step-0", "step-1", "step-2"]
    for split in range(1, 3):
        shares = [row[split].share for row in score.rows]
        assert shares == sorted(shares)
    for table, statistic in ((transformation, statistics.by_transformation), (role, statistics.by_role)):
        for each in runs:
            found = statistic(each)
            wanted = [(row[0], *row[-2:]) for row in found.rows]
            assert [(row[0], *row[2:]) for row in table.rows if row[1] == each.name] == wanted


def test_several_generations() -> None:
    found = run(CONFIG, prompt=np.arange(3000) // 4)
    table = statistics.chances(found)
    assert table is not None
    assert [row[0] for row in table.rows] == ["pass@1", "pass@2", "pass@4"]
    for column in range(1, len(table.header)):
        values = [row[column].value for row in table.rows]
        assert values == sorted(values)
    assert statistics.chances(run(CONFIG)) is None


def test_tables_are_json() -> None:
    for table in statistics.tables(run(CONFIG)):
        json.dumps(as_json(table), allow_nan=False)
        assert all(len(row) == len(table.header) for row in table.rows)
        assert all(
            cell.low <= cell.share <= cell.high
            for row in table.rows
            for cell in row
            if isinstance(cell, Rate) and cell.of
        )
