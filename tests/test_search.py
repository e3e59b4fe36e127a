"""The search for a mapping: what it measures, what it keeps, and what a person does with what it prints."""

from __future__ import annotations

from random import Random

import pytest
import yaml
from helpers import fastgen

from fastgen import search, solve
from fastgen.doors import compose
from fastgen.graph import Graph
from fastgen.split import weights

SMALL = ("graph.layers=3", "graph.width=2", "graph.vertices=[add1,sort,reverse,add2,rotate1,cummax]", "k=5", "length=4")


def by_reference(config, vertices, vectors):
    """For each y, the largest weight of the chains that give it."""
    graph = Graph(config.graph.layers, config.graph.width, vertices)
    chains = graph.chains(config.chain.min, config.chain.max)
    chances = weights(chains, config.chain.by_length)
    total = 0.0
    for x in solve.uniform(config.k, config.length.min, vectors).T.tolist():
        best = {}
        for chain, chance in zip(chains, chances, strict=True):
            y = x
            for transformation in chain.transformations:
                y = transformation(y, config.k, [])
            best[tuple(y)] = max(best.get(tuple(y), 0), chance)
        total += float(sum(best.values()))
    return total / vectors


@pytest.mark.parametrize(
    "overrides",
    [
        SMALL,
        (*SMALL, "graph.vertices=[sort,sort,reverse,sort,reverse,sort]"),  # two paths spell one chain
        (*SMALL, "chain.weights=[5,1]"),
        ("graph=mixed", "k=3", "length=3", "chain.max=3"),
        ("graph=deep", "k=300", "length=12", "chain.max=3"),
    ],
)
def test_a_mapping_is_worth_what_the_references_say(overrides):
    config = compose(*overrides)
    assert search.measure(config, 50)(config.graph.vertices) == pytest.approx(
        by_reference(config, config.graph.vertices, 50), abs=1e-12
    )


def test_fewer_of_long_vectors_are_run(monkeypatch):
    asked = []
    uniform = solve.uniform
    monkeypatch.setattr(solve, "uniform", lambda k, length, count: asked.append((length, count)) or uniform(k, 1, 1))
    for length in ("length=256", "length=300", "length={min:8,max:65536}"):
        search.measure(compose(*SMALL[:-1], length), search.FRESH)
    assert asked == [(256, 4096), (300, 2**20 // 300), (8, 4096), (32_772, 31), (65_536, 16)]


def test_a_climb_ends_where_no_swap_leads_higher():
    config = compose(*SMALL)
    worth = search.measure(config, 64)
    top, height = search.climb(config, config.graph.vertices, range(6), Random(0), worth)
    assert height == worth(top) > worth(config.graph.vertices)
    for a in range(6):
        for b in range(a):
            swapped = list(top)
            swapped[a], swapped[b] = top[b], top[a]
            assert worth(tuple(swapped)) <= height + 1e-12


def test_labels_that_are_kept_and_transformations_of_the_pool():
    config = compose("graph=mixed", "seed=3")
    spare = tuple(search.transformation(head, 11, [config.length]) for head in ("rotate3", "multiply7"))
    kept, (before, after) = search.search(config, [0, 7, 15], spare, 1)
    assert [kept[label] for label in (0, 7, 15)] == [config.graph.vertices[label] for label in (0, 7, 15)]
    assert after > before + 0.05
    assert {*kept} <= {*config.graph.vertices, *spare}
    assert len({*kept}) == 16
    assert search.search(config, [0, 7, 15], spare, 1) == (kept, (before, after))


def test_the_command_prints_a_graph_that_can_be_used(tmp_path):
    done = fastgen("search", *SMALL, "climbs=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    assert (found["layers"], found["width"], len(found["vertices"])) == (3, 2, 6)
    (tmp_path / "mine/graph").mkdir(parents=True)
    (tmp_path / "mine/graph/mine.yaml").write_text(done.stdout)
    shown = fastgen("show", "--config-dir", "mine", "graph=mine", "k=5", "length=4", "examples=0", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for label, head in enumerate(found["vertices"]):
        assert f"{label}:{head}" in shown.stdout
    config = compose(*SMALL)
    mapping = tuple(search.transformation(head, 5, [config.length]) for head in found["vertices"])
    after, before = map(search.measure(config, search.FRESH), (mapping, config.graph.vertices))
    assert f"for at most {after:.1%} of the examples" in done.stdout
    assert f"began at, for {before:.1%}." in done.stdout
    assert after > before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("keep=[6]", "keep=[6]: there is no label 6; labels are 0..5"),
        ("keep=3", "keep=3: must be a list of labels, such as [0,5]"),
        ("keep=[16]", "keep=[16]: must be a whole number from 0 to 15"),
        ("pool=[sorted]", "pool=[sorted]: unknown transformation; the nearest is sort"),
        ("pool=sort", "pool=sort: must be a list of transformations"),
        ("climbs=0", "climbs=0: must be a whole number from 1 to 10000"),
    ],
)
def test_bad_keys(tmp_path, override, message):
    done = fastgen("search", *SMALL, override, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
