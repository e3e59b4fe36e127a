"""Splits: what they are, and shares of anything in exact arithmetic.

Rows and chains are apportioned by the divisor method of Sainte-Lague (Webster). It is house-monotone: with one row more
no split gets fewer, so that a run of n is a prefix of every larger one. Rounding each share of n is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

from fastgen.graph import Chain


@dataclass(frozen=True)
class Length:
    """The lengths of a split's vectors: uniform over min..max."""

    min: int
    max: int


@dataclass(frozen=True)
class Split:
    """One split, as the rest of fastgen uses it."""

    name: str
    rows: int
    length: Length
    chains: tuple[int, ...] = field(hash=False)  # a thousand values: too many to hash at every look-up in a cache
    """Ids of its chains, ascending."""
    weights: tuple[Fraction, ...] = field(hash=False)
    """The probability of each of these chains; the sum is 1. Zero where its length has no weight."""
    of: str | None
    """The split whose chains it shares, or None where they are its own."""
    stream: int
    """32 bits for the random streams of its examples."""
    share: Fraction
    """Its part of all the chains that were shared out."""
    certified: bool
    """Whether its examples are only such as no chain of the first split solves."""

    @cached_property
    def drawn(self) -> tuple[int, ...]:
        """Those of its chains that can occur: what is said of what a split shows is said of these."""
        return tuple(chain_id for chain_id, weight in zip(self.chains, self.weights, strict=True) if weight)


def stream(name: str) -> int:
    """The stream of a split: a hash of 32 bits that is the same everywhere.

    >>> stream("train"), stream("validation")
    (3293867793, 3441280152)
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def apportion(n: int, shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Share `n` seats out in proportion to `shares` (positive, of any sum).

    Each seat goes to the largest share / (2 * seats + 1), of equal ones to the first. Takes O(splits) steps, not O(n).

    >>> apportion(10, {"train": Fraction(8, 10), "validation": Fraction(2, 10)})
    {'train': 8, 'validation': 2}
    """
    total = sum(shares.values())
    # The seats at which share / (2 * seats + 1) >= total / (2n - splits): the first of the sequence, and all of n but
    # at most as many as there are splits.
    seats = {name: max(0, (share * (2 * n - len(shares)) / total + 1) // 2) for name, share in shares.items()}
    for _ in range(n - sum(seats.values())):
        seats[max(shares, key=lambda name: shares[name] / (2 * seats[name] + 1))] += 1
    return seats


def smallest(shares: Mapping[str, Fraction]) -> int:
    """The smallest n of which `apportion` gives every split something.

    >>> smallest({"train": Fraction(8, 10), "validation": Fraction(2, 10)})
    3
    """
    # A split's first seat comes after those of others at which their share / (2 * seats + 1) is at least its own share.
    enough = sum((share / min(shares.values()) + 1) // 2 for share in shares.values())
    low, high = 0, enough
    while low < high:
        middle = (low + high) // 2
        if all(apportion(middle, shares).values()):
            high = middle
        else:
            low = middle + 1
    return low


def weights(chains: Sequence[Chain], by_length: Mapping[int, Fraction]) -> tuple[Fraction, ...]:
    """The probability of each of a split's chains: of its length, then of its paths among those of that length.

    `by_length` is renormalised over the lengths that the split has. At least one of them must have a weight.
    """
    paths: dict[int, int] = {}
    for chain in chains:
        paths[len(chain)] = paths.get(len(chain), 0) + chain.paths
    total = sum(by_length[length] for length in paths)
    return tuple(by_length[len(chain)] / total * Fraction(chain.paths, paths[len(chain)]) for chain in chains)


def contained(split: Split, train: Split, chains: Sequence[Chain]) -> Fraction:
    """The expected share of a split's rows whose chain stands whole, without a gap, inside one that `train` draws."""
    inside = _inside(train, chains)
    rows = zip(split.chains, split.weights, strict=True)
    return sum((weight for chain_id, weight in rows if chains[chain_id].heads in inside), Fraction(0))


def novelties(split: Split, train: Split, chains: Sequence[Chain]) -> dict[str, list[str]]:
    """What chains of a split have and no chain of `train` has, each kind in order: the shortest of the new runs alone.

    Runs of neighbours; orders of two transformations, one somewhere before the other; transformations at a depth, from
    0; transformations in company, which chains of train only are alone.
    """

    def having(owner: Split, parts: Callable[[tuple[str, ...]], Iterable[Any]]) -> set[Any]:
        return {part for i in owner.drawn for part in parts(chains[i].heads)}

    def new(parts: Callable[[tuple[str, ...]], Iterable[Any]]) -> list[Any]:
        return sorted(having(split, parts) - having(train, parts))

    runs = set(new(_parts))
    shortest = [run for run in runs if not any(part != run and part in runs for part in _parts(run))]
    return {
        "runs": [" ".join(run) for run in sorted(shortest, key=lambda run: (len(run), run))],
        "orders": [f"{a} .. {b}" for a, b in new(lambda heads: combinations(heads, 2))],
        "places": [f"{head} at depth {depth}" for depth, head in new(enumerate)],
        "in company": new(lambda heads: heads if len(heads) > 1 else ()),
    }


def exposures(train: Split, chains: Sequence[Chain]) -> list[tuple[int, int]]:
    """How much of each chain `train` shows.

    The longest run of neighbours that stands in a chain of `train`, and how many pairs of neighbours stand in none.
    """
    inside = _inside(train, chains)

    def exposure(heads: tuple[str, ...]) -> tuple[int, int]:
        longest = max((len(part) for part in _parts(heads) if part in inside), default=0)
        return longest, sum(pair not in inside for pair in pairwise(heads))

    return [exposure(chain.heads) for chain in chains]


def _inside(train: Split, chains: Sequence[Chain]) -> set[tuple[str, ...]]:
    """Every run of neighbours in the chains of `train`."""
    return {part for chain_id in train.drawn for part in _parts(chains[chain_id].heads)}


def _parts(heads: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Every run of neighbours in a chain, itself included."""
    for start in range(len(heads)):
        for stop in range(start + 1, len(heads) + 1):
            yield heads[start:stop]
