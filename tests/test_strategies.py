"""Strategies: what holds for all of them, and what each promises, said again in plain words and checked by those."""

from __future__ import annotations

import hashlib
import math
import random as python_random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgen.doors import compose
from fastgen.graph import Chain
from fastgen.split import apportion
from fastgen.strategies import STRATEGIES, Pool, limited, share_out, unseen

TWO = {"train": Fraction("0.8"), "validation": Fraction("0.2")}
SHARES = [
    TWO,
    {"learn": Fraction(1, 2), "b": Fraction(1, 2)},
    {"train": Fraction("0.7"), "validation": Fraction("0.2"), "test": Fraction("0.1")},
    {"a": Fraction(3), "b": Fraction(1), "c": Fraction(1), "d": Fraction(1), "e": Fraction(1)},
]
GRAPHS = ("default", "mixed", "repeated", "deep", "wide")
SEEDS = (0, 1, 2**64 - 1)
OWN = {"parts": {"parts": 2}, "length": {"cut": 3}, "explicit": {"file": {}, "rest": "train"}}
"""What a strategy needs beside chains, shares and seed."""


@lru_cache
def chains_of(graph: str) -> tuple[Chain, ...]:
    """Chains from one transformation on; of four at most."""
    config = compose(f"graph={graph}", "chain.min=1")
    return tuple(chain for chain in config.chains if len(chain) <= 4)


@lru_cache
def values_of(graph: str) -> list[tuple[tuple[int, ...], ...]]:
    """What each chain makes of twenty vectors, by the references."""
    draw = python_random.Random(0)
    vectors = [[draw.randrange(11) for _ in range(8)] for _ in range(20)]

    def run(chain: Chain) -> Iterator[tuple[int, ...]]:
        for y in vectors:
            for transformation in chain.transformations:
                y = transformation(list(y), 11, [])
            yield tuple(y)

    return [tuple(run(chain)) for chain in chains_of(graph)]


@lru_cache
def classes_of(graph: str) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(values, len(numbers)) for values in values_of(graph)]


def pool_of(graph: str = "default", strategy: str = "random", shares=TWO, seed: int = 0, **more) -> Pool:
    """The pool of a graph, with what the strategy needs."""
    chains = chains_of(graph)
    own = dict(OWN.get(strategy, {}))
    if strategy == "length" and graph == "wide":
        own["cut"] = 1
    if strategy == "explicit":
        held = [chain.heads for chain in chains[::7]]
        first, *others = shares
        own = {"file": {name: held[i :: len(others)] for i, name in enumerate(others)}, "rest": first}
    everything = {"ids": tuple(range(len(chains))), "classes": lambda: classes_of(graph), **own, **more}
    return Pool(chains, shares=shares, seed=seed, **everything)


WORKS = [(strategy, graph) for strategy in STRATEGIES for graph in GRAPHS if strategy != "order" or graph == "repeated"]
"""Every strategy on every graph; but of these only one has two transformations in both orders."""


# What holds for all


@pytest.mark.parametrize(("name", "graph"), WORKS)
@pytest.mark.parametrize("shares", SHARES, ids=len)
def test_splits_are_disjoint_whole_filled_and_depend_on_nothing_else(name, graph, shares):
    for seed in SEEDS:
        pool = pool_of(graph, name, shares, seed)
        found = share_out(name, pool)
        assert list(found) == list(shares)
        assert all(found.values())
        assert sorted(i for ids in found.values() for i in ids) == list(pool.ids)
        assert all(list(ids) == sorted(ids) for ids in found.values())
        assert share_out(name, pool) == found

    # Other numbers for the same chains: the same chains are together.
    order = python_random.Random(0).sample(pool.ids, len(pool.ids))
    classes = pool.classes()
    moved = replace(pool, chains=[pool.chains[i] for i in order], classes=lambda: [classes[i] for i in order])
    assert {split: sorted(order[i] for i in ids) for split, ids in share_out(name, moved).items()} == {
        split: list(ids) for split, ids in found.items()
    }


@pytest.mark.parametrize(("name", "graph"), WORKS)
def test_chains_that_are_left_out_of_the_pool_are_as_if_there_were_none(name, graph):
    pool = pool_of(graph, name)
    ids = tuple(i for i in pool.ids if i % 10 != 3)
    kept = {pool.chains[i].heads for i in ids}
    pool = replace(pool, ids=ids, file=pool.file and {s: [h for h in c if h in kept] for s, c in pool.file.items()})
    found = share_out(name, pool)
    assert sorted(i for chosen in found.values() for i in chosen) == list(ids)
    classes = pool.classes()
    alone = replace(
        pool,
        chains=[pool.chains[i] for i in ids],
        ids=tuple(range(len(ids))),
        classes=lambda: [classes[i] for i in ids],
    )
    assert share_out(name, alone) == {split: tuple(map(ids.index, chosen)) for split, chosen in found.items()}


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"length", "explicit"}))
def test_the_seed_decides(name):
    graph = "repeated"
    found = {share_out(name, pool_of(graph, name, seed=seed))["validation"] for seed in range(10)}
    assert len(found) >= (4 if name == "new_context" else 10)  # of eight transformations, one is held out


def tolerance(name: str, pool: Pool, share: Fraction) -> float:
    """How many chains a share may be off, as the strategy's docstring states it."""
    number = len(pool.ids)
    if name == "hash":
        return 4 * math.sqrt(number * share * (1 - share))
    if name == "functional":
        return max(Counter(pool.classes()).values())
    if name == "parts":
        runs = Counter(
            run
            for i in pool.ids
            for run in {pool.chains[i].heads[s : s + pool.parts] for s in range(len(pool.chains[i]) - pool.parts + 1)}
        )
        return max(runs.values()) / 2
    return 0.5  # random, of two splits


SHARED_OUT = [
    (name, parts, graph)
    for name, parts in (("random", 0), ("functional", 0), ("hash", 0), ("parts", 2), ("parts", 3), ("parts", 4))
    for graph in GRAPHS
    if parts <= 2 or graph != "wide"  # whose longest chains are of two
]


@pytest.mark.parametrize(("name", "parts", "graph"), SHARED_OUT)
def test_the_proportion_is_within_the_stated_tolerance(name, parts, graph):
    for seed in range(8 if parts else 40):
        for share in map(Fraction, ("0.9", "0.8", "2/3")):
            pool = pool_of(graph, name, {"train": share, "validation": 1 - share}, seed, parts=parts)
            found = len(share_out(name, pool)["train"])
            assert abs(found - share * len(pool.ids)) <= tolerance(name, pool, share), (seed, share)


@pytest.mark.parametrize("name", ["parts", "order", "new_context", "length"])
def test_a_strategy_that_holds_out_needs_a_second_split(name):
    with pytest.raises(ValueError, match=r"has no split to hold chains out for beside train; \+split.sets"):
        share_out(name, pool_of("repeated", name, {"train": Fraction(1)}))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_says_what_its_table_needs(name):
    text = " ".join((STRATEGIES[name].function.__doc__ or "").split())
    assert 0 < text.find(" Constant: ") < text.find(" Share: ")
    assert set(STRATEGIES[name].keys) <= set(Pool.__dataclass_fields__)


GOLDEN = {
    "random": "94c071b6ac3b4257",
    "functional": "c635517b00f0f769",
    "parts": "f262fc3e23c2138c",
    "order": "73a93307a0e12e91",
    "length": "bed1046edda802bd",
    "new_context": "a0ba31a5932a5bed",
    "hash": "b843302675cedc24",
    "explicit": "baafb533e81d1907",
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_chains_are_where_they_ever_were(name):
    """Python's own hash differs from one process to the next; this may never, nor may a new version change it."""
    pool = pool_of("repeated", name, SHARES[2])
    texts = (
        f"{split}: {text}"
        for split, ids in share_out(name, pool).items()
        for text in sorted(" ".join(pool.chains[i].heads) for i in ids)
    )
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == GOLDEN[name]


# What each promises


@pytest.mark.parametrize("shares", SHARES, ids=len)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_keeps_the_shares_over_all_and_at_every_length(shares, seed):
    pool = pool_of("deep", "random", shares, seed)
    ids = share_out("random", pool)
    assert {name: len(part) for name, part in ids.items()} == apportion(len(pool.ids), shares)
    for length in range(1, 5):
        of_length = [i for i in pool.ids if len(pool.chains[i]) == length]
        for name, share in shares.items():
            got = len(set(of_length) & set(ids[name]))
            # The difference of two numbers of seats, each less than one (two splits) or about two from its quota.
            assert abs(got - share / sum(shares.values()) * len(of_length)) < (2 if len(shares) <= 2 else 3)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("shares", SHARES, ids=len)
def test_functional_gives_no_function_to_two_splits(graph, shares):
    values = values_of(graph)
    for seed in range(10):
        found = share_out("functional", pool_of(graph, "functional", shares, seed))
        functions = [{values[i] for i in ids} for ids in found.values()]
        assert not any(a & b for a, b in combinations(functions, 2))
    # random does, so there is something to keep apart
    assert graph in ("wide", "repeated") or any(
        {values[i] for i in found["train"]} & {values[i] for i in found["validation"]}
        for found in (share_out("random", pool_of(graph, seed=seed)) for seed in range(10))
    )


@pytest.mark.parametrize("graph", GRAPHS)
def test_functional_keeps_the_proportion_of_lengths_and_of_large_classes(graph):
    pool = pool_of(graph, "functional")
    sizes = Counter(pool.classes())
    largest = max(sizes.values())
    for seed in range(20):
        held = set(share_out("functional", replace(pool, seed=seed))["validation"])
        for length in range(1, 5):
            of_length = [i for i in pool.ids if len(pool.chains[i]) == length]
            assert abs(len(held.intersection(of_length)) - len(of_length) / 5) <= 1 + largest
        # There are enough functions of one chain to even out what the larger ones leave.
        assert abs(len(held) - len(pool.ids) / 5) <= 1
        shared = [i for i in pool.ids if sizes[pool.classes()[i]] > 1]
        assert abs(len(held.intersection(shared)) - len(shared) / 5) <= 1 + largest


def test_functional_keeps_every_other_number_of_classes():
    """Classes of any sizes, drawn: what hypothesis finds no fault in."""

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def check(data):
        chains = chains_of("wide")
        classes = data.draw(st.lists(st.integers(0, 20), min_size=len(chains), max_size=len(chains)))
        shares = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=3))
        pool = pool_of("wide", shares={str(i): Fraction(share) for i, share in enumerate(shares)})
        pool = replace(pool, classes=lambda: classes)
        if len(set(classes)) < len(shares):
            with pytest.raises(ValueError, match="too few functions"):
                share_out("functional", pool)
            return
        found = share_out("functional", pool)
        assert sorted(i for ids in found.values() for i in ids) == list(pool.ids)
        assert not any({classes[i] for i in a} & {classes[i] for i in b} for a, b in combinations(found.values(), 2))
        largest = max(Counter(classes).values())
        for name, share in pool.shares.items():
            assert abs(len(found[name]) - share / sum(shares) * len(chains)) <= largest

    check()


def text(chain: Chain) -> str:
    """A chain between spaces, in which every run of neighbours is a part of the text."""
    return f" {' '.join(chain.heads)} "


def held_and_train(name: str, pool: Pool) -> tuple[list[Chain], list[Chain]]:
    found = share_out(name, pool)
    first, *others = found
    return [pool.chains[i] for other in others for i in found[other]], [pool.chains[i] for i in found[first]]


def shows_every_place(pool: Pool, train: list[Chain], but: set[str] = frozenset()) -> bool:
    """Whether train has every transformation at every depth at which there is a chain with it."""
    places = {(depth, head) for i in pool.ids for depth, head in enumerate(pool.chains[i].heads) if head not in but}
    return places <= {(depth, head) for chain in train for depth, head in enumerate(chain.heads)}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("parts", [2, 3, 4])
@pytest.mark.parametrize("shares", [TWO, SHARES[2]], ids=len)
def test_parts_holds_out_runs_that_train_never_has(graph, parts, shares):
    pool = pool_of(graph, "parts", shares, parts=parts)
    if parts > max(map(len, pool.chains)):
        with pytest.raises(ValueError, match=f"no chain has {parts} transformations; lower split.parts"):
            share_out("parts", pool)
        return
    for seed in range(10):
        held, train = held_and_train("parts", replace(pool, seed=seed))
        corpus = "|".join(map(text, train))
        for chain in held:
            runs = [text(Chain(chain.transformations[i:][:parts], 1)) for i in range(len(chain) - parts + 1)]
            assert not all(run in corpus for run in runs)
        assert all(len(chain) >= parts for chain in held)
        assert shows_every_place(pool, train)


def test_parts_are_spread_over_the_transformations():
    """Of 48 pairs of the default graph four are held out, with eight transformations; or a fifth, with two of those."""
    for seed in range(30):
        held, train = held_and_train("parts", pool_of("default", "parts", seed=seed))
        corpus = "|".join(map(text, train))
        pairs = {pair for chain in held for pair in zip(chain.heads, chain.heads[1:], strict=False)}
        new = [pair for pair in pairs if f" {' '.join(pair)} " not in corpus]
        assert 4 <= len(new) <= 5
        assert len({head for pair in new for head in pair}) >= 8


def test_parts_refuses_a_share_beyond_what_train_can_spare():
    most = {"train": Fraction(1, 100), "validation": Fraction(99, 100)}
    with pytest.raises(ValueError, match=r"can hold out \d+ of the 448 chains, and 444 are asked: train must have"):
        share_out("parts", pool_of("default", "parts", most))


def comes_before(chain: Chain, a: str, b: str) -> bool:
    return a in chain.heads and b in chain.heads[chain.heads.index(a) + 1 :]


@pytest.mark.parametrize("shares", [*SHARES, {"train": Fraction(1), "nearly all": Fraction(19)}], ids=len)
def test_order_holds_out_one_order_and_shows_the_other(shares):
    names = {head for chain in chains_of("repeated") for head in chain.heads}
    for seed in range(10):
        pool = pool_of("repeated", "order", shares, seed)
        held, train = held_and_train("order", pool)
        new = {
            (a, b)
            for a in names
            for b in names - {a}
            if any(comes_before(chain, b, a) for chain in train)
            and not any(comes_before(chain, a, b) for chain in train)
        }
        for chain in held:
            assert any(comes_before(chain, a, b) for a, b in new)
        assert shows_every_place(pool, train)


def test_length_cuts():
    for cut in (1, 2, 3):
        held, train = held_and_train("length", pool_of("default", "length", cut=cut))
        assert max(map(len, train)) == cut < min(map(len, held))
    for cut in (4, 5):
        with pytest.raises(
            ValueError, match=f"split.cut={cut} has no chain .* have 1 or 2 or 3 or 4 transformations; split.cut=3"
        ):
            share_out("length", pool_of("default", "length", cut=cut))
    ids = tuple(i for i, chain in enumerate(chains_of("default")) if len(chain) == 3)
    with pytest.raises(ValueError, match="as they have 3 transformations; another graph"):
        share_out("length", pool_of("default", "length", ids=ids))


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("shares", SHARES, ids=len)
def test_new_context_shows_some_transformations_alone_only(graph, shares):
    for seed in range(5):
        pool = pool_of(graph, "new_context", shares, seed)
        held, train = held_and_train("new_context", pool)
        companions = {head for chain in train if len(chain) > 1 for head in chain.heads}
        new = {head for chain in held for head in chain.heads} - companions
        assert new
        assert all(len(chain) > 1 and new & set(chain.heads) for chain in held)
        assert new <= {chain.heads[0] for chain in train if len(chain) == 1}
        assert shows_every_place(pool, train, but=new)


def test_new_context_needs_chains_of_one():
    ids = tuple(i for i, chain in enumerate(chains_of("default")) if len(chain) > 1)
    with pytest.raises(ValueError, match=r"no chain is a single transformation; chain.min=1"):
        share_out("new_context", pool_of("default", "new_context", ids=ids))


def test_order_needs_a_graph_with_both_orders():
    with pytest.raises(ValueError, match=r"no two transformations come in both orders; take a graph .* repeated"):
        share_out("order", pool_of("default", "order"))


def test_where_every_chain_has_a_transformation_nothing_can_be_held_out():
    sort = tuple(i for i, chain in enumerate(chains_of("default")) if chain.heads[0] == "sort")
    for name in ("parts", "new_context"):
        narrow = tuple(i for i in sort if chains_of("default")[i].heads in (("sort",), ("sort", "cumsum")))
        with pytest.raises(ValueError, match=r"train must have every|train can't spare one and have all others"):
            share_out(name, pool_of("default", name, ids=narrow, shares={"train": Fraction(1), "test": Fraction(9)}))


def test_hash_keeps_chains_in_their_splits_when_others_are_added():
    whole = pool_of("default", "hash", SHARES[2])
    found = share_out("hash", whole)
    some = replace(whole, ids=whole.ids[100:300])
    assert share_out("hash", some) == {name: tuple(i for i in ids if 100 <= i < 300) for name, ids in found.items()}
    # A split that grows takes chains and loses none.
    less = share_out("hash", replace(whole, shares=TWO))
    assert set(found["train"]) < set(less["train"])


def test_hash_refuses_an_empty_split():
    shares = {"train": Fraction(999), "validation": Fraction(1)}
    with pytest.raises(ValueError, match=r"gives validation none of the 72 chains; another split.seed, or more"):
        share_out("hash", pool_of("wide", "hash", shares, ids=tuple(range(72))))


def test_explicit_does_as_it_is_told():
    chains = chains_of("default")
    lists = {"validation": [chains[5].heads, chains[17].heads], "test": [chains[300].heads]}
    found = share_out("explicit", pool_of("default", "explicit", SHARES[2], file=lists, rest="train"))
    assert (found["validation"], found["test"]) == ((5, 17), (300,))
    assert len(found["train"]) == len(chains) - 3
    whole = lists | {"train": [chain.heads for i, chain in enumerate(chains) if i not in (5, 17, 300)]}
    assert share_out("explicit", pool_of("default", "explicit", SHARES[2], file=whole, rest=None)) == found


def test_explicit_names_all_that_is_wrong():
    chains = chains_of("default")
    lists = {
        "train": [chains[0].heads, ("sort", "sort")],
        "validation": [chains[0].heads, chains[1].heads],
        "tset": [chains[2].heads],
    }
    with pytest.raises(ValueError, match="file names splits") as caught:
        share_out("explicit", pool_of("default", "explicit", file=lists, rest=None))
    assert str(caught.value) == (
        "the file names splits that have no chains of their own (tset); it has chains that the graph has not "
        "(sort sort); it gives chains to two splits (sort); it lacks chains (cummax, cummin, cumsum and 443 more); "
        "split.rest=train takes the chains that it lacks"
    )


@pytest.mark.parametrize(("rest", "lacking"), [("train", "test, validation"), ("validation", "train, test")])
def test_explicit_gives_every_split_a_chain(rest, lacking):
    with pytest.raises(ValueError, match=r"^the file gives splits no chain") as caught:
        share_out("explicit", pool_of("default", "explicit", SHARES[2], file={}, rest=rest))
    assert sorted(str(caught.value).partition("(")[2].rstrip(")").split(", ")) == sorted(lacking.split(", "))


def test_explicit_refuses_a_chain_that_is_left_out_of_all_splits():
    heads = chains_of("default")[0].heads
    rest = tuple(range(1, len(chains_of("default"))))
    with pytest.raises(
        ValueError, match=rf"^the file must do without chains that chain\.reject leaves out \({' '.join(heads)}\)$"
    ):
        share_out("explicit", pool_of("default", "explicit", ids=rest, file={"validation": [heads]}, rest="train"))


@pytest.mark.parametrize(("name", "key"), [("parts", "parts"), ("length", "cut"), ("explicit", "file")])
def test_a_strategy_says_which_key_it_needs(name, key):
    with pytest.raises(ValueError, match=rf"^needs split\.{key}, .*; split\.{key}="):
        share_out(name, pool_of("default", name, **{key: None}))


# Designs over chains


@pytest.mark.parametrize("name", [name for name, record in STRATEGIES.items() if record.folds])
@pytest.mark.parametrize("folds", [2, 5, 7])
@pytest.mark.parametrize("shares", [TWO, SHARES[2]], ids=len)
def test_every_chain_is_held_out_in_exactly_one_fold(name, folds, shares):
    pool = pool_of("default", name, shares)
    found = [share_out(name, pool, folds, fold) for fold in range(folds)]
    first, *others = shares
    held = [{i for other in others for i in each[other]} for each in found]
    assert sorted(i for ids in held for i in ids) == list(pool.ids)
    for each, ids in zip(found, held, strict=True):
        assert list(each) == list(shares)
        assert all(each.values())
        assert sorted([*each[first], *ids]) == list(pool.ids)
        spread = tolerance(name, pool, Fraction(1, folds)) * (1 if name == "hash" else 2)
        assert abs(len(ids) - len(pool.ids) / folds) <= spread
    if name == "functional":
        classes = pool.classes()
        assert not any({classes[i] for i in a} & {classes[i] for i in b} for a, b in combinations(held, 2))


@pytest.mark.parametrize("name", [name for name, record in STRATEGIES.items() if not record.folds])
def test_where_a_chain_could_be_held_out_twice_there_are_no_folds(name):
    with pytest.raises(ValueError, match=r"has no folds.*; split.folds=null, or one of random, functional, hash$"):
        share_out(name, pool_of("repeated", name), 5, 0)


def test_more_folds_than_chains_are_refused():
    with pytest.raises(ValueError, match=r"would leave 28 of 100 folds without a chain; lower split.folds"):
        share_out("random", pool_of("wide", ids=tuple(range(72))), 100, 0)


@pytest.mark.parametrize("graph", ["default", "deep"])
@pytest.mark.parametrize("seed", SEEDS)
def test_limits_are_nested_and_keep_the_lengths(graph, seed):
    pool = pool_of(graph, seed=seed)
    train = share_out("random", pool)["train"]
    lengths = {str(n): Fraction(sum(len(pool.chains[i]) == n for i in train)) for n in range(1, 5)}
    before: set[int] = set()
    for most in range(1, len(train) + 1):
        chosen = limited(pool, train, most)
        assert len(chosen) == most
        assert list(chosen) == sorted(chosen)
        assert before < set(chosen) <= set(train)
        before = set(chosen)
        assert Counter(str(len(pool.chains[i])) for i in chosen) == +Counter(apportion(most, lengths))
    assert limited(pool, train, len(train)) == train
    assert limited(replace(pool, seed=seed ^ 1), train, 20) != limited(pool, train, 20)


def test_limits_of_several_folds_are_several_sets_of_chains():
    """The order of a limit is another than that by which chains were dealt out: else they would all lie in one fold."""
    pool = pool_of("default")
    chosen = [set(limited(pool, share_out("random", pool, 5, fold)["train"], 50)) for fold in range(5)]
    folds = [set(share_out("random", pool, 5, fold)["validation"]) for fold in range(5)]
    for fold, chains in enumerate(chosen):
        assert sorted(len(chains & other) > 4 for other in folds) == [False] + [True] * 4
        assert not chains & folds[fold]


def test_unseen_are_the_places_of_held_out_chains_that_train_has_not():
    chains = chains_of("default")
    ids = {" ".join(chain.heads): i for i, chain in enumerate(chains)}
    held = [ids["cumsum interleave"], ids["rank interleave"]]
    assert unseen(chains, held, [ids["sort cumsum interleave"], ids["rank"]]) == {("cumsum", 0), ("interleave", 1)}
    assert unseen(chains, held, [ids["cumsum interleave"], ids["rank add3"]]) == set()
    assert unseen(chains, [], []) == set()
