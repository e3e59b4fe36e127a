"""Strategies: which chain belongs to which split. One block each, declared by `@strategy`; the rest derives from it.

A strategy is given a `Pool` and returns the ids of every split, ascending. Whatever the strategy, splits are disjoint,
together they are the whole pool, and they depend on the pool and on nothing else: not on the order of the chains, nor
on Python's own hash. The first split is train. A strategy that decides by what is in a chain decides between train and
the rest, and where there are more than two splits, the others share the held-out chains at random.

A docstring is what README's table is made of: what is held out; what is `Constant:`, so that it can't be what
validation measures; and how near to the asked `Share:` of the chains it comes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, groupby
from math import lcm

from fastgen.graph import Chain
from fastgen.split import apportion

Heads = tuple[str, ...]
Shared = dict[str, tuple[int, ...]]
"""split -> ids of its chains, ascending."""


@dataclass(frozen=True)
class Pool:
    """What a strategy shares out, and all that it may go by."""

    chains: Sequence[Chain]
    """Every chain of the graph; the index is its id."""
    ids: tuple[int, ...]
    """The chains to share out, ascending."""
    shares: Mapping[str, Fraction]
    """split -> what is asked for it: above 0, of any sum. The first split is train."""
    seed: int
    """0 to 2^64-1."""
    classes: Callable[[], Sequence[int]]
    """The class of every chain, by id: two chains are one function where their classes are equal. It may take long, so
    only a strategy that needs it calls it."""
    parts: int | None = None
    cut: int | None = None
    file: Mapping[str, Sequence[Heads]] | None = None
    rest: str | None = None

    def key(self, heads: Heads, purpose: bytes = b"") -> bytes:
        """What chains, or parts of them, are ordered by where chance decides: for each purpose another order."""
        seed = self.seed.to_bytes(8, "little")
        return hashlib.blake2b(" ".join(heads).encode(), key=seed, person=purpose).digest()

    def key_of(self, chain_id: int) -> bytes:
        """The key of a chain."""
        return self.key(self.chains[chain_id].heads)

    @property
    def held(self) -> Fraction:
        """How many chains are asked for the splits after train."""
        train, *others = self.shares.values()
        return len(self.ids) * sum(others, Fraction(0)) / (train + sum(others))


@dataclass(frozen=True)
class Strategy:
    """A strategy: its function, which raises ValueError where it can't do it, its own keys, and whether it folds."""

    function: Callable[[Pool], Shared]
    keys: tuple[str, ...]
    """Keys of the section `split` that only this strategy has, by the names of the pool's fields."""
    folds: bool
    """Whether it shares chains out among any number of equal splits, so that each can be held out in one of them."""


STRATEGIES: dict[str, Strategy] = {}


def strategy(*keys: str, folds: bool = False) -> Callable[[Callable[[Pool], Shared]], Callable[[Pool], Shared]]:
    """Declare a strategy, under the function's name (`hash_` is `hash`)."""

    def declare(function: Callable[[Pool], Shared]) -> Callable[[Pool], Shared]:
        STRATEGIES[function.__name__.rstrip("_")] = Strategy(function, keys, folds)
        return function

    return declare


def share_out(name: str, pool: Pool, folds: int | None = None, fold: int | None = None) -> Shared:
    """The chains of every split by a strategy; with folds, those of one of them are held out and the rest is train.

    Over all folds 0..folds-1 every chain is held out exactly once. Raises ValueError, with a remedy, where the chains
    can't be shared out so.
    """
    chosen = STRATEGIES[name]
    if folds is None:
        return chosen.function(pool)
    if not chosen.folds:
        able = ", ".join(name for name, other in STRATEGIES.items() if other.folds)
        raise ValueError(f"has no folds, as a chain could be held out in several; split.folds=null, or one of {able}")
    equal = chosen.function(replace(pool, shares={str(number): Fraction(1) for number in range(folds)}))
    if empty := sum(not ids for ids in equal.values()):
        raise ValueError(f"would leave {empty} of {folds} folds without a chain; lower split.folds")
    return _hold_out(pool, set(equal[str(fold)]))


def limited(pool: Pool, ids: Iterable[int], most: int) -> tuple[int, ...]:
    """`most` of these chains, in their proportion at every length. With a smaller limit it is fewer of the same."""
    by_length: dict[str, list[int]] = {}
    for chain_id in sorted(ids, key=lambda i: pool.key(pool.chains[i].heads, b"limit")):
        by_length.setdefault(str(len(pool.chains[chain_id])), []).append(chain_id)
    seats = apportion(most, {length: Fraction(len(by_length[length])) for length in sorted(by_length, key=int)})
    return tuple(sorted(chain_id for length, ordered in by_length.items() for chain_id in ordered[: seats[length]]))


def unseen(chains: Sequence[Chain], held: Iterable[int], train: Iterable[int]) -> set[tuple[str, int]]:
    """The pairs (head, depth) of the held-out chains that no chain of train has. Depth counts from 0."""
    return _places(chains, held) - _places(chains, train)


# The strategies


@strategy(folds=True)
def random(pool: Pool) -> Shared:
    """Chains at random, by `split.seed`.

    Constant: the proportion of each length of chain.
    Share: exact, but for whole chains.
    """
    ids: dict[str, list[int]] = {name: [] for name in pool.shares}
    done = 0
    for _, same_length in groupby(sorted(pool.ids, key=lambda i: len(pool.chains[i])), lambda i: len(pool.chains[i])):
        ordered = sorted(same_length, key=pool.key_of)
        before, after = apportion(done, pool.shares), apportion(done + len(ordered), pool.shares)
        done += len(ordered)
        rest = iter(ordered)
        for name in pool.shares:
            ids[name] += [next(rest) for _ in range(after[name] - before[name])]
    return _ascending(ids)


@strategy(folds=True)
def functional(pool: Pool) -> Shared:
    """Functions at random: chains that compute the same for this k and these lengths stay together.

    No function of one split is one of another.

    Constant: the proportion of each length of chain, as near as whole classes allow.
    Share: within the size of the largest class, and exact but for whole chains where small classes even it out.
    """
    classes = pool.classes()
    members: dict[int, list[int]] = {}
    for chain_id in pool.ids:
        members.setdefault(classes[chain_id], []).append(chain_id)
    if len(members) < len(pool.shares):
        rule = f"has too few functions: the {len(pool.ids)} chains are {len(members)} of them"
        raise ValueError(f"{rule}, and there are {len(pool.shares)} splits; take a graph with more")
    ids: dict[str, list[int]] = {name: [] for name in pool.shares}
    scale = lcm(*(share.denominator for share in pool.shares.values()))
    shares = {name: int(share * scale) for name, share in pool.shares.items()}
    # What each split lacks so far, times the sum of the shares: of each length, and (at 0) of all together. A class
    # goes where it brings the sum of the squares down most. Large ones come first, so that small ones even out more.
    lacks: dict[str, Counter[int]] = {name: Counter() for name in pool.shares}
    for same in sorted(members.values(), key=lambda ids: (-len(ids), min(map(pool.key_of, ids)))):
        counts = Counter(_lengths(pool, same)) + Counter({0: len(same)})
        for name, share in shares.items():
            for length, count in counts.items():
                lacks[name][length] += share * count
        chosen = max(ids, key=lambda name: sum(lacks[name][length] * count for length, count in counts.items()))
        ids[chosen] += same
        for length, count in counts.items():
            lacks[chosen][length] -= sum(shares.values()) * count
    return _ascending(ids)


@strategy("parts")
def parts(pool: Pool) -> Shared:
    """Runs of `split.parts` neighbours (2, 3 or 4): each held-out chain contains one that no chain of train contains.

    Constant: train has every transformation at every depth, and the held-out runs are spread evenly over the
    transformations. Longer chains contain more runs, so more of them are held out; shorter ones than a run, none.
    Share: within half the number of chains that contain one run.
    """
    if pool.parts is None:
        raise ValueError("needs split.parts, the length of the held-out runs; split.parts=2, 3 or 4")
    containing: dict[Heads, set[int]] = {}
    for chain_id in pool.ids:
        heads = pool.chains[chain_id].heads
        for start in range(len(heads) - pool.parts + 1):
            containing.setdefault(heads[start : start + pool.parts], set()).add(chain_id)
    if not containing:
        raise ValueError(f"no chain has {pool.parts} transformations; lower split.parts, or raise chain.max")
    held = _choose(pool, containing, lambda chosen, held, train: not unseen(pool.chains, held, train))
    if abs(len(held) - pool.held) > Fraction(max(map(len, containing.values())), 2):
        rule = f"can hold out {len(held)} of the {len(pool.ids)} chains, and {float(pool.held):.0f} are asked"
        raise ValueError(f"{rule}: train must have every transformation at every depth; ask for fewer")
    return _hold_out(pool, held)


@strategy()
def order(pool: Pool) -> Shared:
    """Orders of two transformations: in each held-out chain one comes before another, somewhere, as nowhere in train.

    Train has the two in the other order. For graphs where transformations stand at several vertices.

    Constant: train has every transformation at every depth, and the held-out orders are spread evenly over the
    transformations.
    Share: as near as whole orders come.
    """
    before: dict[Heads, set[int]] = {}
    for chain_id in pool.ids:
        for pair in combinations(pool.chains[chain_id].heads, 2):
            before.setdefault(pair, set()).add(chain_id)
    both: dict[Heads, set[int]] = {(a, b): ids for (a, b), ids in before.items() if a != b and (b, a) in before}
    if not both:
        raise ValueError("no two transformations come in both orders; take a graph that has some, such as repeated")

    def allowed(chosen: Sequence[Heads], held: Set[int], train: Set[int]) -> bool:
        return all(both[b, a] & train for a, b in chosen) and not unseen(pool.chains, held, train)

    held = _choose(pool, both, allowed)
    return _hold_out(
        pool, held, "train can't spare an order and have all transformations at every depth; widen the graph"
    )


@strategy("cut")
def length(pool: Pool) -> Shared:
    """Length: train has the chains of up to `split.cut` transformations, all longer ones are held out.

    Constant: every transformation is in train, though not at every depth.
    Share: what the cut gives.
    """
    if pool.cut is None:
        raise ValueError("needs split.cut, the length of the longest chains of train; split.cut=3")
    lengths = set(_lengths(pool, pool.ids))
    if not min(lengths) <= pool.cut < max(lengths):
        known = " or ".join(map(str, sorted(lengths)))
        remedy = f"split.cut={max(lengths) - 1}" if len(lengths) > 1 else "another graph, chain.min or chain.max"
        raise ValueError(
            f"split.cut={pool.cut} has no chain on one side, as they have {known} transformations; {remedy}"
        )
    return _hold_out(pool, {chain_id for chain_id in pool.ids if len(pool.chains[chain_id]) > pool.cut})


@strategy()
def new_context(pool: Pool) -> Shared:
    """Transformations in company: those that in train are only ever chains of their own, with `chain.min=1`.

    Constant: train has every other transformation at every depth, and those alone.
    Share: as near as whole transformations come.
    """
    alone = {pool.chains[chain_id].heads for chain_id in pool.ids if len(pool.chains[chain_id]) == 1}
    if not alone:
        raise ValueError("no chain is a single transformation; chain.min=1")
    company: dict[Heads, set[int]] = {}
    for chain_id in pool.ids:
        heads = pool.chains[chain_id].heads
        for head in heads if len(heads) > 1 else ():
            company.setdefault((head,), set()).add(chain_id)

    def allowed(chosen: Sequence[Heads], held: Set[int], train: Set[int]) -> bool:
        return all((head,) in chosen for head, _ in unseen(pool.chains, held, train))

    held = _choose(pool, {head: ids for head, ids in company.items() if head in alone}, allowed)
    return _hold_out(pool, held, "train can't spare one and have all others at every depth; widen the graph")


@strategy(folds=True)
def hash_(pool: Pool) -> Shared:
    """Chains at random, each by a hash of its own: without a table, and whatever other chains there are.

    Constant: a chain stays in its split when the graph, chain.min or chain.max changes.
    Share: by chance, within four standard deviations, each sqrt(p (1 - p) / chains): 1.9 points at 432 chains.
    """
    ids: dict[str, list[int]] = {name: [] for name in pool.shares}
    total = sum(pool.shares.values())
    for chain_id in pool.ids:
        place = Fraction(int.from_bytes(pool.key_of(chain_id)[:8], "big"), 2**64) * total
        for name, share in pool.shares.items():
            place -= share
            if place < 0:
                ids[name].append(chain_id)
                break
    if empty := [name for name, chosen in ids.items() if not chosen]:
        raise ValueError(
            f"gives {', '.join(empty)} none of the {len(pool.ids)} chains; another split.seed, or more of them"
        )
    return _ascending(ids)


@strategy("file", "rest")
def explicit(pool: Pool) -> Shared:
    """What a YAML file says, `split.file`: split -> list of chains, such as `validation: [sort rank, cumsum reverse]`.

    Chains that it does not list belong to `split.rest`.

    Constant: what the file keeps so.
    Share: what the file gives.
    """
    if pool.file is None:
        raise ValueError("needs split.file, a YAML file of lists of chains by split; split.file=mine.yaml")
    lists = {name: set(pool.file.get(name, ())) for name in pool.shares}
    known = {chain.heads for chain in pool.chains}
    here = [pool.chains[chain_id].heads for chain_id in pool.ids]
    rejected = known - {*here}
    times = Counter(heads for chains in lists.values() for heads in chains)
    problems = [
        ("names splits that have no chains of their own", [name for name in pool.file if name not in pool.shares]),
        ("has chains that the graph has not", [" ".join(heads) for heads in times if heads not in known]),
        (
            "must do without chains that chain.reject leaves out",
            [" ".join(heads) for heads in times if heads in rejected],
        ),
        ("gives chains to two splits", [" ".join(heads) for heads, count in times.items() if count > 1]),
        ("lacks chains", [] if pool.rest else [" ".join(heads) for heads in here if heads not in times]),
        ("gives splits no chain", [name for name, chains in lists.items() if not chains and name != pool.rest]),
    ]
    if found := [f"{what} ({_some(names)})" for what, names in problems if names]:
        remedy = "" if pool.rest else f"; split.rest={next(iter(lists))} takes the chains that it lacks"
        raise ValueError("the file " + "; it ".join(found) + remedy)
    if pool.rest:
        lists[pool.rest] |= set(here) - times.keys()
    return _ascending({name: [i for i in pool.ids if pool.chains[i].heads in lists[name]] for name in pool.shares})


# What they share


def _choose(
    pool: Pool,
    candidates: Mapping[Heads, Set[int]],
    allowed: Callable[[Sequence[Heads], Set[int], Set[int]], bool],
) -> set[int]:
    """The chains to hold out: those of candidates that are taken one after the other, up to the number asked.

    Of those with the fewest uses of their transformations so far, the first by its hash is next; it is taken where it
    brings the number of chains nearer to what is asked, and where `allowed(chosen, held, train)`.
    """
    left = sorted(candidates, key=pool.key)
    chosen: list[Heads] = []
    held: set[int] = set()
    uses: Counter[str] = Counter()
    while left and len(held) < pool.held:
        candidate = min(left, key=lambda heads: sum(uses[head] for head in heads))
        left.remove(candidate)
        more = held | candidates[candidate]
        if abs(len(more) - pool.held) >= abs(len(held) - pool.held):
            continue
        if allowed([*chosen, candidate], more, set(pool.ids) - more):
            chosen.append(candidate)
            held = more
            uses.update(candidate)
    return held


def _hold_out(pool: Pool, held: Set[int], if_none: str = "") -> Shared:
    """Train has the other chains; the splits after it share the held-out ones, at random."""
    train, *others = pool.shares
    if not others:
        raise ValueError(f"has no split to hold chains out for beside {train}; +split.sets.validation.chains=0.2")
    if not held:
        raise ValueError(if_none)
    shares = {name: pool.shares[name] for name in others}
    return {
        train: tuple(chain_id for chain_id in pool.ids if chain_id not in held),
        **random(replace(pool, ids=tuple(sorted(held)), shares=shares)),
    }


def _ascending(ids: Mapping[str, Iterable[int]]) -> Shared:
    return {name: tuple(sorted(chosen)) for name, chosen in ids.items()}


def _lengths(pool: Pool, ids: Iterable[int]) -> Iterable[int]:
    return (len(pool.chains[chain_id]) for chain_id in ids)


def _places(chains: Sequence[Chain], ids: Iterable[int]) -> set[tuple[str, int]]:
    return {(head, depth) for chain_id in ids for depth, head in enumerate(chains[chain_id].heads)}


def _some(names: Sequence[str]) -> str:
    """The first of some names, as many as a line holds."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
