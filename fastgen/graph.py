"""The layered graph of transformations: its paths, and the chains that they spell.

`layers` x `width` vertices, labelled 0, 1, ... layer by layer; every vertex has an edge to every vertex of the next
layer. There are at most 16 vertices, so at most about a thousand paths, and all of them are enumerated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastgen.transforms import Transformation  # it imports Numba, which a config's help does without


@dataclass(frozen=True)
class Chain:
    """A list of transformations, and the number of paths that spell it."""

    transformations: tuple[Transformation, ...]
    paths: int

    def __len__(self) -> int:
        return len(self.transformations)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Its transformations as they are written."""
        return tuple(transformation.head for transformation in self.transformations)


@dataclass(frozen=True)
class Graph:
    """`vertices[label]` is the transformation at a vertex; `len(vertices) == layers * width`.

    >>> from fastgen.transforms import RECORDS, Transformation
    >>> sort, reverse, rank = (Transformation(RECORDS[name]) for name in ("sort", "reverse", "rank"))
    >>> graph = Graph(layers=2, width=2, vertices=(sort, reverse, rank, rank))
    >>> graph.paths(2)
    4
    >>> for chain in graph.chains(1, 2):
    ...     print(*chain.heads, chain.paths)
    sort 1
    reverse 1
    rank 2
    sort rank 2
    reverse rank 2
    """

    layers: int
    width: int
    vertices: tuple[Transformation, ...]

    def layer(self, number: int) -> tuple[Transformation, ...]:
        """The transformations of layer 0, 1, ..., by label."""
        return self.vertices[number * self.width : (number + 1) * self.width]

    def paths(self, length: int) -> int:
        """The number of paths of `length` vertices (1..layers)."""
        return int((self.layers - length + 1) * self.width**length)

    def chains(self, shortest: int, longest: int) -> tuple[Chain, ...]:
        """Every chain of `shortest` to `longest` transformations; the index is the `chain_id`.

        In the order of their first paths: by length, then first layer, then labels. Two vertices may carry the same
        transformation, and then two paths spell one chain.
        """
        counts: dict[tuple[Transformation, ...], int] = {}
        for length in range(shortest, longest + 1):
            for start in range(self.layers - length + 1):
                for transformations in product(*map(self.layer, range(start, start + length))):
                    counts[transformations] = counts.get(transformations, 0) + 1
        return tuple(Chain(transformations, paths) for transformations, paths in counts.items())
