"""Ceilings against an enumeration of everything: all chains, all vectors."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from fastgen import ceiling as module
from fastgen.ceiling import ceiling, everything
from fastgen.doors import compose
from fastgen.split import contained
from fastgen.write import ceilings, write_card


def by_enumeration(config, split):
    """(best, blind, several, train), exactly."""
    ours = dict(zip(split.chains, split.weights, strict=True))
    whole = everything(config)
    graph = dict(zip(whole.chains, whole.weights, strict=True))
    train = set(config.splits[0].chains)
    sums = np.zeros(4)
    lengths = range(split.length.min, split.length.max + 1)
    for length in lengths:
        for x in product(range(config.k), repeat=length):
            by_y = {}
            for chain_id, chain in enumerate(config.chains):
                y = list(x)
                for transformation in chain.transformations:
                    y = transformation(y, config.k, [])
                by_y.setdefault(tuple(y), []).append(chain_id)
            for chains in by_y.values():
                weight = sum(ours.get(i, 0) for i in chains)
                likely = max(graph.get(i, 0) for i in chains)
                guesses = [i for i in chains if graph.get(i, 0) == likely]
                sums += (
                    float(max(ours.get(i, 0) for i in chains)) / config.k**length,
                    float(sum(ours.get(i, 0) for i in guesses) / len(guesses)) / config.k**length,
                    float(weight) * (len(chains) > 1) / config.k**length,
                    float(weight) * any(i in train for i in chains) / config.k**length,
                )
    return sums / len(lengths)


HALF = "split.sets.validation.chains=0.5"


@pytest.mark.parametrize(
    "overrides",
    [
        ("graph=mixed", "k=3", "length=3", "chain.max=3"),
        (
            "graph=small",
            "k=5",
            "length=3",
            "chain.min=1",
            "split.sets.train.chains=0.5",
            "split.sets.validation.chains=0.5",
        ),
        ("graph=mixed", "k=2", "length={min:1,max:3}", "chain.max=2", "chain.min=1", "chain.weights=[5,1]"),
        ("graph=mixed", "k=3", "length=3", "chain.max=2", "chain.reject=[redundant]"),
    ],
)
def test_ceilings_are_those_of_an_enumeration(overrides):
    """Within four standard deviations of a share of the sample; none varies more than one of two equal halves."""
    config = compose(*overrides)
    for split in (*config.splits, everything(config)):
        found = ceiling(config, split)
        exact = by_enumeration(config, split)
        assert np.abs(np.array([found.best, found.blind, found.several, found.train]) - exact).max() < 4 * 0.5 / 256
        assert found.blind <= found.best + 1e-9


def test_who_knows_the_graph_alone_is_blind_only_to_splits():
    config = compose("graph=mixed")
    whole = ceiling(config, everything(config))
    assert whole.best == pytest.approx(whole.blind, abs=1e-9)


@pytest.mark.parametrize(
    "overrides", [(), ("split.sets.train.chains=0.7", "+split.sets.test.chains=0.1"), ("split=controls",)]
)
def test_everything_is_the_graph_without_splits(overrides):
    config = compose(*overrides)
    alone = compose("~split.sets.validation", "split.sets.train.chains=1").splits[0]
    whole = everything(config)
    assert (whole.chains, whole.weights) == (alone.chains, alone.weights)


def test_certified_ceilings():
    config = compose("split=functional", "split.certified=true")
    plain = compose("split=functional")
    found, before = (ceiling(each, each.find("validation")) for each in (config, plain))
    assert found.train == 0
    assert before.train > 0.03
    assert found.best > before.best


def test_the_card_states_them(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 2048)
    config = compose("split=controls", f"out={tmp_path}")
    (tmp_path / ".staging").mkdir()
    write_card(config, [], "example")
    text = (tmp_path / "README.md").read_text()
    header, rows = ceilings(config)
    assert header == ["split", "ceiling", "blind", "several", "by train"]
    assert [row[0] for row in rows] == ["train", "validation", "seen", "longer"]
    for row in (header, *rows):
        assert f"| {' | '.join(row)} |" in text


@pytest.mark.parametrize(
    ("overrides", "held"),
    [
        (("~split.sets.validation", "split.sets.train.chains=1"), []),
        (("split=controls",), ["validation"]),
        (("split.sets.train.chains=0.7", "+split.sets.test.chains=0.1"), ["validation", "test"]),
        (("chain.weights=[0,0,1]",), ["validation"]),
    ],
)
def test_the_card_says_of_each_held_out_split_what_stands_inside_train(tmp_path, monkeypatch, overrides, held):
    monkeypatch.setattr(module, "SAMPLE", 64)
    config = compose(*overrides, f"out={tmp_path}")
    (tmp_path / ".staging").mkdir()
    write_card(config, [], "example")
    text = (tmp_path / "README.md").read_text()
    found = re.findall(
        r"^(\d+)% of `(\w+)` runs a chain that stands whole inside a longer chain of `train`.$", text, re.M
    )
    assert [name for _, name in found] == held
    for share, name in found:
        assert share == f"{float(contained(config.find(name), config.splits[0], config.chains)):.0%}"[:-1]
    assert text.count("stands whole") == len(held)


@pytest.mark.parametrize(("length", "count"), [(1, 65_536), (16, 65_536), (17, 2**20 // 17), (65_536, 16)])
def test_fewer_of_long_vectors_are_solved(length, count):
    assert module.sample(compose(f"length={length}", "graph=small")) == count


def test_long_vectors():
    """All of them are solved by the chain that made them."""
    config = compose("length=3000", "graph=small")
    found = ceiling(config, config.splits[0])
    assert (found.train, found.best) == (1, 1)
