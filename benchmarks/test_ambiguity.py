"""Chains that explain an example, classes of chains and the search for a graph, on one core."""

from __future__ import annotations

from functools import cache

import pytest
from conftest import Report
from pytest_benchmark.fixture import BenchmarkFixture

from fastgen import classes, engine, search, solve
from fastgen.doors import compose

TITLE = f"ambiguity: all chains that map x to y, one core, {engine.BLOCK:,} examples"
SECONDS = "seconds, compiled code loaded"
GOAL = 2.0
"""million examples/s and core at the default graph"""


@cache
def block(graph: str) -> tuple[solve.Tree, engine.Rows]:
    config = compose("n=1e9", f"graph={graph}", "columns=[x,y]")
    rows = engine.Rows(config, engine.BLOCK)
    engine.fill(rows, config, config.splits[0], 0, engine.BLOCK)
    return engine.tree(config), rows


@pytest.mark.parametrize("graph", ["default", "mixed", "deep"])
def test_count(graph: str, benchmark: BenchmarkFixture, report: Report) -> None:
    tree, rows = block(graph)

    counts = benchmark.pedantic(solve.count, args=(tree, rows.x, rows.y, rows.offsets), rounds=11, warmup_rounds=1)

    assert counts.min() >= 1  # the chain that made it, at least
    if benchmark.stats is None:  # --benchmark-disable
        return
    median = benchmark.stats.stats.median
    chains = int((tree.chain >= 0).sum())
    benchmark.extra_info |= {"examples_per_second": engine.BLOCK / median}
    report(TITLE, graph, "chains", str(chains))
    report(TITLE, graph, "M examples/s", f"{engine.BLOCK / median / 1e6:.2f}")
    report(TITLE, graph, "ns per chain", f"{median / engine.BLOCK / chains * 1e9:.2f}")
    report(TITLE, "goal for default", "M examples/s", f"{GOAL:.2f}")


@pytest.mark.parametrize("graph", ["default", "mixed", "deep"])
def test_classes(graph: str, benchmark: BenchmarkFixture, report: Report) -> None:
    config = compose(f"graph={graph}")
    chains = tuple(chain.transformations for chain in config.chains)

    found = benchmark.pedantic(classes.find.__wrapped__, args=(chains, 11, (8,)), rounds=5, warmup_rounds=1)

    assert len(found.number) == len(chains)
    if benchmark.stats is not None:
        report(SECONDS, f"classes of graph={graph}", "median", f"{benchmark.stats.stats.median:.2f}")
        report(SECONDS, "goal for classes of graph=default", "median", "5.00")


def test_search(benchmark: BenchmarkFixture, report: Report) -> None:
    """The command's twelve climbs of a 4 x 4 graph."""
    config = compose("graph=mixed")

    _, (before, after) = benchmark.pedantic(search.search, args=(config, [], (), 12), rounds=1, warmup_rounds=0)

    assert after > before
    if benchmark.stats is not None:
        report(SECONDS, "search, 12 climbs at 4 x 4", "median", f"{benchmark.stats.stats.median:.2f}")
        report(SECONDS, "goal for search", "median", "30.00")
