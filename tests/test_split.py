"""Apportionment against the method's definition, strategies, and the probabilities of chains."""

import hashlib
import random as python_random
from fractions import Fraction
from itertools import pairwise

import pytest

from fastgen.graph import Chain, Graph
from fastgen.settings import compose
from fastgen.split import STRATEGIES, Length, Split, apportion, contained, smallest, stream, weights
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


NAMES = "sort rank negate square cumsum difference cummax cummin reverse swap_pairs interleave evens_first".split()
GRAPH = Graph(8, 2, tuple(Transformation(RECORDS[NAMES[label % len(NAMES)]]) for label in range(16)))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("shares", SHARES)
def test_every_chain_has_one_split(name, shares):
    chains = GRAPH.chains(2, 8)
    ids = STRATEGIES[name](chains, shares, 0)
    assert list(ids) == list(shares)
    assert sorted(chain_id for part in ids.values() for chain_id in part) == list(range(len(chains)))
    assert all(list(part) == sorted(part) for part in ids.values())


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_random_keeps_the_shares_over_all_and_at_every_length(shares, seed):
    chains = GRAPH.chains(2, 8)
    ids = STRATEGIES["random"](chains, shares, seed)
    assert {name: len(part) for name, part in ids.items()} == apportion(len(chains), shares)
    for length in range(2, 9):
        of_length = [chain_id for chain_id, chain in enumerate(chains) if len(chain) == length]
        for name, share in shares.items():
            got = len(set(of_length) & set(ids[name]))
            # The difference of two numbers of seats, each less than one (two splits) or about two from its quota.
            assert abs(got - share / sum(shares.values()) * len(of_length)) < (2 if len(shares) <= 2 else 3)


def test_random_depends_on_the_seed_and_the_heads_and_on_nothing_else():
    chains, shares = GRAPH.chains(2, 8), SHARES[0]

    def train(chains, seed):
        return {chains[chain_id].heads for chain_id in STRATEGIES["random"](chains, shares, seed)["train"]}

    assert train(chains, 0) != train(chains, 1)
    shuffled = python_random.Random(0).sample(chains, len(chains))
    assert train(shuffled, 0) == train(chains, 0)
    # Python's own hash differs from one process to the next; this may never.
    text = "\n".join(" ".join(heads) for heads in sorted(train(chains, 0)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "1067d9240a82bf05"


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
    return Split(name, 10, Length(8, 8), tuple(ids), tuple(probabilities), None, stream(name))


def test_contained_counts_rows_whose_chain_is_a_run_of_neighbours():
    chains = chains_of("sort rank negate", "rank negate", "sort negate", "negate", "rank sort", "sort rank")
    train = split_of("train", [0], [Fraction(1)])
    others = split_of("validation", [1, 2, 3, 4, 5], [Fraction(1, 2), *[Fraction(1, 8)] * 4])
    assert contained(others, train, chains) == Fraction(1, 2) + Fraction(1, 8) + Fraction(1, 8)
    assert contained(train, others, chains) == 0
    assert contained(train, train, chains) == 1


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
