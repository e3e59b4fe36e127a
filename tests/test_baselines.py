"""Baselines on a small graph, against trying every chain."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastgen import solve
from fastgen.doors import compose
from fastgen.report.baselines import solved
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.text.batch import parse_batch

SMALL = ("graph=small", "n=400", "k=3", "length=3", "split.strategy=random")
"""So small that several chains explain most examples."""


def weights(config: Config, number: int) -> dict[int, Fraction]:
    """Chain -> how often a split draws it."""
    split = config.splits[number]
    return dict(zip(split.chains, split.weights, strict=True))


def everything(config: Config) -> dict[int, Fraction]:
    """Chain -> how often it is drawn without splits: by length, then by paths."""
    by_length: dict[int, int] = {}
    for chain in config.chains:
        by_length[len(chain)] = by_length.get(len(chain), 0) + chain.paths
    total = sum(config.chain.by_length[length] for length in by_length)
    return {
        i: config.chain.by_length[len(chain)] / total * Fraction(chain.paths, by_length[len(chain)])
        for i, chain in enumerate(config.chains)
    }


@pytest.mark.parametrize("overrides", [SMALL, (*SMALL, "split.sets.validation.length={min:2,max:5}")])
def test_baselines_are_those_of_trying_every_chain(overrides: tuple[str, ...]) -> None:
    config = compose(*overrides)
    rows = [table(config, split.name, 0, 60) for split in config.splits]
    prompts = pa.concat_tables(rows)["prompt"]
    given = parse_batch(pa.nulls(120, pa.large_binary()), config, prompts)
    split = np.repeat([0, 1], 60).astype(np.int32)
    split[::10] = -1
    found = solved(config, given, split)
    assert found is not None
    assert found.rows.tolist() == [*range(120)]
    train, graph = weights(config, 0), everything(config)
    most = [i for i, weight in train.items() if weight == max(train.values())]
    explain = []
    for r in range(120):
        parsed = given.row(r)
        explain.append(solve.solutions(config.chains, config.k, parsed.x or (), parsed.y or ()))
        ours: dict[int, Any] = graph if split[r] < 0 else weights(config, split[r])
        chances = [float(ours.get(i, 0)) for i in explain[r]]
        assert found.solutions[r] == len(explain[r])
        assert found.by_train[r] == len([i for i in explain[r] if train.get(i)])
        assert found.random[r] == pytest.approx(float(sum(graph[i] for i in explain[r])))
        assert found.ceiling[r] == pytest.approx(max(chances) / sum(chances) if sum(chances) else 0)
    usual = [[i in chains for chains in explain] for i in most]
    assert found.frequent.tolist() in usual
    assert found.frequent.sum() == max(map(sum, usual))
    assert (found.solutions > 1).sum() > 20
    assert 0 < (found.by_train == 0).sum() < 60


def test_without_x_and_y_in_the_prompt_there_is_nothing_to_solve() -> None:
    for overrides in (("task=execute",), ("task=direct",)):
        config = compose("n=100", *overrides)
        prompts = table(config, "train", 0, 5)["prompt"]
        given = parse_batch(pa.nulls(5, pa.large_binary()), config, prompts)
        assert solved(config, given, np.zeros(5, np.int32)) is None


def test_rows_that_are_no_prompt_are_left_out() -> None:
    config = compose(*SMALL)
    prompts = table(config, "train", 0, 6)["prompt"].to_pylist()
    prompts[2], prompts[4] = "nonsense", None
    given = parse_batch(pa.nulls(6, pa.large_binary()), config, pa.array(prompts))
    found = solved(config, given, np.zeros(6, np.int32))
    assert found is not None
    assert found.rows.tolist() == [0, 1, 3, 5]
