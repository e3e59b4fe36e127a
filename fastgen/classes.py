"""Which chains are the same function of a vector, for a modulus and a range of lengths.

Chains that differ as lists can be the same function: reverse then reverse is none at all, add3 then add4 is add4 then
add3, sort then cummax is sort. Every chain is run by the kernels on the same vectors; chains whose results are the same
on all of them are compared again, on every vector there is where those can be counted, else on many more. Half of these
are such as make functions coincide or differ: few distinct values (ties), values next to the modulus (a carry), one
element that stands out, a vector that is already in order.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgen import rng
from fastgen.trace import code_dtype, steps_before, vector_dtype

if TYPE_CHECKING:
    from fastgen.transforms import Transformation

    Vectors = np.ndarray[Any, np.dtype[Any]]
    """uint8|uint16[position, row]"""

Transformations = tuple["Transformation", ...]

EXHAUSTIVE = 2**26
"""Where all vectors times the chains that coincide are at most this many, all are tried: about a second."""

FEW, MANY = 2**12, 2**16
"""Vectors on which all chains are run, and those that coincide: of long vectors fewer, so many elements in all."""
FEW_ELEMENTS, MANY_ELEMENTS = 2**19, 2**22

NEAR, FAR = 8, 8
"""Of more lengths than this, the NEAR shortest are tried one by one (there chains coincide most, and what depends on
whether a length is even shows), and FAR of the others, spread evenly, the longest among them."""

SEED = 0x636C6173736573


@dataclass(frozen=True)
class Classes:
    """The chains of a config by the functions that they are; tuples are by chain, in the order they were given in."""

    number: tuple[int, ...]
    """Which function it is: chains of one number are equal at every length. 0, 1, ... in the order of first members."""
    canonical: tuple[int, ...]
    """By function: its shortest chain, of those the first."""
    decided: tuple[str, ...]
    """By function: `proved`, or `tested on N vectors` of a length: that its chains are equal, and what the flags say of
    them. That two functions differ is always proved."""
    identity: tuple[bool, ...]
    """It changes no vector."""
    constant: tuple[bool, ...]
    """It gives the same for all vectors of a length."""
    redundant: tuple[bool, ...]
    """A shorter chain is the same function: another one, or what is left of this one without a run of neighbours."""
    at_length: tuple[tuple[int, int], ...]
    """(length, how many functions there are at this length alone): fewer than in all where some coincide there."""


@lru_cache(maxsize=8)
def find(chains: tuple[Transformations, ...], k: int, lengths: tuple[int, ...]) -> Classes:
    """The classes of `chains`, each a tuple of transformations, on vectors of these lengths, ascending.

    >>> from fastgen.transforms import RECORDS, Transformation
    >>> reverse, sort, cummax = (Transformation(RECORDS[name]) for name in ("reverse", "sort", "cummax"))
    >>> found = find(((reverse, reverse), (sort,), (sort, cummax)), 11, (4,))
    >>> found.number, found.identity, found.redundant
    ((0, 1, 1), (True, False, False), (True, False, True))
    """
    shorter = {chain: list(_without_a_run(chain)) for chain in chains}
    candidates = list(dict.fromkeys([*chains, (), *(less for each in shorter.values() for less in each)]))
    tried = _spread(lengths)
    found = [_functions(candidates, k, length) for length in tried]
    labels = {chain: tuple(each.label[i] for each in found) for i, chain in enumerate(candidates)}
    constant = {chain: all(each.constant[i] for each in found) for i, chain in enumerate(candidates)}

    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, chain in enumerate(chains):
        members[labels[chain]].append(i)
    numbers = {label: number for number, label in enumerate(members)}
    canonical = [min(ids, key=lambda i: len(chains[i])) for ids in members.values()]
    flags = {
        "identity": tuple(labels[chain] == labels[()] for chain in chains),
        "constant": tuple(constant[chain] for chain in chains),
        "redundant": tuple(
            len(chains[canonical[numbers[labels[chain]]]]) < len(chain)
            or any(labels[less] == labels[chain] for less in shorter[chain])
            for chain in chains
        ),
    }
    claimed = {label for label, ids in members.items() if len(ids) > 1 or any(flag[ids[0]] for flag in flags.values())}
    proofs = {label for label in claimed if tried == lengths and all(map(_proved, found, label))}
    tested = f"tested on {min(each.vectors for each in found)} vectors"
    return Classes(
        number=tuple(numbers[labels[chain]] for chain in chains),
        canonical=tuple(canonical),
        decided=tuple(tested if label in claimed - proofs else "proved" for label in members),
        **flags,
        at_length=tuple((length, len({label[place] for label in members})) for place, length in enumerate(tried)),
    )


def _without_a_run(chain: Transformations) -> Iterator[Transformations]:
    for start in range(len(chain)):
        for stop in range(start + 1, len(chain) + 1):
            yield chain[:start] + chain[stop:]


def _proved(found: _Functions, label: int) -> bool:
    return label in found.proved


def _spread(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the lengths that are tried."""
    near, others = lengths[:NEAR], lengths[NEAR:]
    far = min(FAR, len(others))
    return (*near, *(others[(i + 1) * len(others) // far - 1] for i in range(far)))


class _Functions(NamedTuple):
    """The functions that some chains are on vectors of one length."""

    label: list[int]
    """By chain: equal where the functions are."""
    constant: list[bool]
    proved: set[int]
    """Labels whose chains were compared on every vector."""
    vectors: int
    """On how many vectors those of the other labels were compared."""


def _functions(chains: Sequence[Transformations], k: int, length: int) -> _Functions:
    every = k**length
    few, many = max(16, min(FEW, FEW_ELEMENTS // length)), min(MANY, MANY_ELEMENTS // length)
    first = _run(chains, k, length, [_all(k, length, 0, every)] if every <= few else [_mixed(k, length, 0, few)])
    alike: dict[bytes, list[int]] = defaultdict(list)
    for i, (digest, _) in enumerate(first):
        alike[digest].append(i)
    doubtful = [i for ids in alike.values() for i in ids if len(ids) > 1 or first[i][1]]
    counted = every * len(doubtful) <= EXHAUSTIVE
    if every > few and doubtful:
        step = min(2**14, MANY_ELEMENTS // length)
        blocks = (
            _all(k, length, start, min(start + step, every)) if counted else _mixed(k, length, start, start + step)
            for start in range(0, every if counted else many, step)
        )
        for i, (digest, constant) in zip(doubtful, _run([chains[i] for i in doubtful], k, length, blocks), strict=True):
            first[i] = first[i][0] + digest, first[i][1] and constant
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(digest for digest, _ in first))}
    label = [numbers[digest] for digest, _ in first]
    return _Functions(label, [constant for _, constant in first], {label[i] for i in doubtful if counted}, many)


def _run(chains: Sequence[Transformations], k: int, length: int, blocks: Iterable[Vectors]) -> list[tuple[bytes, bool]]:
    """Of each chain: a digest of all its results on the vectors of `blocks`, and whether those are all the same."""
    tree: dict[Any, Any] = {}
    for i, chain in enumerate(chains):
        node = tree
        for transformation in chain:
            node = node.setdefault(transformation, {})
        node.setdefault(None, []).append(i)
    digests = [hashlib.sha256() for _ in chains]
    firsts: list[Vectors | None] = [None] * len(chains)
    constant = [True] * len(chains)

    def visit(node: dict[Any, Any], x: Vectors, trace: Vectors) -> None:
        for i in node.get(None, ()):
            digests[i].update(x)
            same = x[:, :1].copy() if firsts[i] is None else firsts[i]  # a view would keep all of x
            firsts[i] = same
            constant[i] = constant[i] and bool((x == same).all())
        for transformation, behind in node.items():
            if transformation is not None:
                y = np.empty_like(x)
                record, c = transformation.record, transformation.argument or 0
                record.compiled(x, y, trace, record.code, k, c)
                visit(behind, y, trace)

    for x in blocks:
        visit(tree, x, np.empty((int(steps_before(1, length)), x.shape[1]), code_dtype(k, length)))
    return [(digest.digest(), same) for digest, same in zip(digests, constant, strict=True)]


def _all(k: int, length: int, start: int, stop: int) -> Vectors:
    """Number start..stop-1 of all vectors, in the order of their elements."""
    number = np.arange(start, stop, dtype=np.uint64)
    places = [number // np.uint64(k ** (length - 1 - i)) % np.uint64(k) for i in range(length)]
    return np.array(places).astype(vector_dtype(k))


def _mixed(k: int, length: int, start: int, stop: int) -> Vectors:
    """Number start..stop-1 of an endless list of vectors: uniform ones, and four kinds of special ones."""
    rows = stop - start
    fractions = rng.fractions(SEED, length, start, rows, length + 3)
    digits, (radix, shift, place) = fractions[:length], fractions[length:]
    x = np.empty((length, rows), np.uint64)
    kind = np.arange(start, stop) % 8
    few = 2 + radix % np.uint64(max(1, min(k, 4) - 1))
    x[:] = _scale(digits, np.uint64(k))
    low = kind == 4  # few distinct values, next to each other, also across the modulus
    x[:, low] = (_scale(digits[:, low], few[low]) + _scale(shift[low], np.uint64(k))) % np.uint64(k)
    one = kind == 5  # all equal, but for one element
    x[:, one] = _scale(shift[one], np.uint64(k))
    x[_scale(place[one], np.uint64(length)).astype(np.int64), one] = _scale(radix[one], np.uint64(k))
    ordered = kind == 6
    x[:, ordered] = np.sort(x[:, ordered], axis=0)
    edge = kind == 7  # 0, 1, the middle and the largest
    values = np.array([0, 1, k // 2, k - 1], np.uint64)
    x[:, edge] = values[_scale(digits[:, edge], np.uint64(4)).astype(np.int64)]
    vectors: Vectors = x.astype(vector_dtype(k))
    return vectors


def _scale(fraction: Vectors, bound: Any) -> Vectors:
    """0..bound-1, of fractions of 2^32."""
    scaled: Vectors = fraction * bound >> np.uint64(32)
    return scaled
