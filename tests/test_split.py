"""Apportionment against the method's definition, the probabilities of chains, and which stand inside others."""

import random as python_random
from fractions import Fraction
from itertools import pairwise

import pytest

from fastgen.doors import compose
from fastgen.graph import Chain
from fastgen.split import Length, Split, apportion, contained, exposures, smallest, stream, weights
from fastgen.transforms import RECORDS, Transformation

SHARES = [
    {"train": Fraction("0.8"), "validation": Fraction("0.2")},
    {"train": Fraction("0.7"), "validation": Fraction("0.2"), "test": Fraction("0.1")},
    {"a": Fraction(1, 3), "b": Fraction(1, 3), "c": Fraction(1, 3)},
    {"b": Fraction(1, 2), "a": Fraction(1, 2)},
    {"only": Fraction(1)},
    {"rare": Fraction(1, 1000), "rest": Fraction(999, 1000)},
    {"a": Fraction(3), "b": Fraction(5), "c": Fraction(7), "d": Fraction(1), "e": Fraction(1)},
]


def one_by_one(n, shares):
    """Sainte-Lague as it is defined: seat after seat."""
    seats = dict.fromkeys(shares, 0)
    yield dict(seats)
    for _ in range(n):
        best = max(shares[name] / (2 * seats[name] + 1) for name in shares)
        seats[next(name for name in shares if shares[name] / (2 * seats[name] + 1) == best)] += 1
        yield dict(seats)


@pytest.mark.parametrize("shares", SHARES)
def test_apportion_is_sainte_lague_and_monotone(shares):
    results = [apportion(n, shares) for n in range(1200)]
    assert results == list(one_by_one(1199, shares))
    for before, after in pairwise(results):
        assert sorted(after[name] - before[name] for name in shares) == [0] * (len(shares) - 1) + [1]


def test_apportion_of_many_shares_drawn_at_random():
    draw = python_random.Random(0)
    for _ in range(100):
        shares = {str(i): Fraction(draw.randint(1, 60), draw.randint(1, 60)) for i in range(draw.randint(1, 9))}
        assert [apportion(n, shares) for n in range(80)] == list(one_by_one(79, shares))


def test_apportion_is_exact_for_a_number_of_rows_beyond_floats():
    shares = {"train": Fraction("0.8"), "validation": Fraction("0.2")}
    assert apportion(5 * 10**17, shares) == {"train": 4 * 10**17, "validation": 10**17}
    assert apportion(10**8, shares) == {"train": 80_000_000, "validation": 20_000_000}


@pytest.mark.parametrize("shares", SHARES)
def test_smallest_is_the_first_n_at_which_every_split_has_a_row(shares):
    least = smallest(shares)
    assert all(apportion(least, shares).values())
    assert not all(apportion(least - 1, shares).values())


def chains_of(*names):
    return [Chain(tuple(Transformation(RECORDS[name]) for name in chain.split()), 1) for chain in names]


def test_probability_of_a_chain_is_its_share_of_the_paths_of_its_length():
    chains = [
        *(Chain(chain.transformations, paths) for chain, paths in zip(chains_of("sort", "rank"), (3, 1), strict=True)),
        *chains_of("sort rank", "rank sort", "sort negate"),
        *chains_of("sort sort sort"),
    ]
    even = {1: Fraction(1), 2: Fraction(1), 3: Fraction(1)}
    third = Fraction(1, 3)
    assert weights(chains, even) == (third * 3 / 4, third / 4, third / 3, third / 3, third / 3, third)
    # Only the lengths that are there count, and one without a weight never comes.
    assert weights(chains[:5], {1: Fraction(1), 2: Fraction(0), 3: Fraction(5)}) == (
        Fraction(3, 4),
        Fraction(1, 4),
        0,
        0,
        0,
    )


def split_of(name, ids, probabilities):
    share = Fraction(1, 2)
    return Split(name, 10, Length(8, 8), tuple(ids), tuple(probabilities), None, stream(name), share, certified=False)


def test_contained_counts_rows_whose_chain_is_a_run_of_neighbours():
    chains = chains_of("sort rank negate", "rank negate", "sort negate", "negate", "rank sort", "sort rank")
    train = split_of("train", [0], [Fraction(1)])
    others = split_of("validation", [1, 2, 3, 4, 5], [Fraction(1, 2), *[Fraction(1, 8)] * 4])
    assert contained(others, train, chains) == Fraction(1, 2) + Fraction(1, 8) + Fraction(1, 8)
    assert contained(train, others, chains) == 0
    assert contained(train, train, chains) == 1
    never = split_of("train", [0, 2], [Fraction(0), Fraction(1)])  # a chain without a weight shows nothing
    assert never.drawn == (2,)
    assert contained(others, never, chains) == Fraction(1, 8) + Fraction(1, 8)
    assert exposures(never, chains)[0] == (1, 2)


def test_contained_at_the_default_config():
    config = compose()
    train, validation = config.splits
    texts = [f" {' '.join(config.chains[chain_id].heads)} " for chain_id in train.chains]
    expected = sum(
        weight
        for chain_id, weight in zip(validation.chains, validation.weights, strict=True)
        if any(f" {' '.join(config.chains[chain_id].heads)} " in text for text in texts)
    )
    assert contained(validation, train, config.chains) == expected
    assert 0.65 < expected < 0.67  # every chain of 2 or 3, none of 4
