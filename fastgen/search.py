"""python -m fastgen.search: look for a mapping label -> transformation by which few chains explain the same (x, y)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from fastgen.doors import command
from fastgen.settings import Config
from fastgen.values import ConfigError, transformation, whole

VECTORS = 256
"""Of each length, for the comparison of graphs: the same ones for all, so that little noise is in the differences."""

FRESH = 4096
"""For what is said of the graphs in the end."""

ELEMENTS = 2**20
"""Of long vectors fewer, so many elements in all, so that memory and time are bounded at any length."""


def labels(value: Any) -> tuple[int, ...]:
    """The reader of a list of labels."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of labels, such as [0,5]")
    return tuple(map(whole(0, 15), value))


def heads(value: Any) -> tuple[str, ...]:
    """The reader of a list of transformations, as they are written."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of transformations, such as [rank,add5]")
    return tuple(map(str, value))


def job(config: Config, keep: tuple[int, ...], pool: tuple[str, ...], climbs: int) -> None:
    """Print the best mapping found as YAML, for a file `graph/<name>.yaml` of one's own; what it is worth to stderr.

    Raises ConfigError for labels and transformations that do not fit the config.
    """
    size = len(config.graph.vertices)
    if beyond := [label for label in keep if label >= size]:
        raise ConfigError(f"keep=[{','.join(map(str, keep))}]: there is no label {beyond[0]}; labels are 0..{size - 1}")
    try:
        spare = tuple(transformation(head, config.k, [config.length]) for head in pool)
    except ValueError as rule:
        raise ConfigError(f"pool=[{','.join(pool)}]: {rule}") from None
    print(render(config, *search(config, keep, spare, climbs)))


def search(
    config: Config, keep: Sequence[int], spare: Sequence[Any], climbs: int
) -> tuple[tuple[Any, ...], tuple[float, float]]:
    """Hill-climbing over swaps: the vertices of the best graph; the ceiling of the one given and of that one.

    The first climb begins at the config's graph, the others at random ones; each goes on as long as any swap of two
    vertices of different layers, or of a vertex and one of `spare`, raises the ceiling. Deterministic, by `seed`.
    """
    from random import Random

    from tqdm import tqdm

    random = Random(config.seed)
    worth = measure(config, VECTORS)
    free = [place for place in range(len(config.graph.vertices) + len(spare)) if place not in keep]
    given = (*config.graph.vertices, *spare)
    best, highest = given, worth(given)
    with tqdm(total=climbs, unit=" climbs", disable=None) as bar:
        for number in range(climbs):
            mapping = list(given)
            if number:
                mixed = random.sample(free, len(free))
                for place, source in zip(free, mixed, strict=True):
                    mapping[place] = given[source]
            top, height = climb(config, tuple(mapping), free, random, worth)
            if height > highest:
                best, highest = top, height
            bar.set_postfix_str(f"ceiling {highest:.1%}", refresh=False)
            bar.update()
    fresh = measure(config, FRESH)
    return best[: len(config.graph.vertices)], (fresh(given), fresh(best))


def climb(
    config: Config,
    mapping: tuple[Any, ...],
    free: Sequence[int],
    random: Any,
    worth: Callable[[tuple[Any, ...]], float],
) -> tuple[tuple[Any, ...], float]:
    """The mapping from which no swap leads higher, and its height."""
    height = worth(mapping)
    failed, swaps = 0, list(_swaps(config, free))
    while failed < len(swaps):
        random.shuffle(swaps)
        failed = 0
        for a, b in swaps:
            tried = list(mapping)
            tried[a], tried[b] = mapping[b], mapping[a]
            if tried[a] != tried[b] and (higher := worth(tuple(tried))) > height:
                mapping, height, failed = tuple(tried), higher, 0
            else:
                failed += 1
    return mapping, height


def _swaps(config: Config, free: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Places that may be exchanged, those of spare ones behind all layers: within a layer it would change nothing."""
    size, width = len(config.graph.vertices), config.graph.width
    for a in free:
        for b in free:
            if a < min(b, size) and a // width != b // width:
                yield a, b


def measure(config: Config, vectors: int) -> Callable[[tuple[Any, ...]], float]:
    """The function that gives a mapping's ceiling, on `vectors` vectors of each of a few lengths (of long ones, fewer).

    Paths and their tree are the same for all mappings, and are laid out once, by labels: 1.5 instead of 10 ms a graph.
    """
    import numpy as np

    from fastgen import solve
    from fastgen.trace import code_dtype

    graph, chain, k = config.graph, config.chain, config.k
    size, longest = len(graph.vertices), config.length.max
    lengths = sorted({config.length.min, (config.length.min + longest) // 2, longest})
    samples = [solve.uniform(k, n, min(vectors, ELEMENTS // n)) for n in lengths]
    parts = sorted(
        tuple(labels)
        for length in range(1, chain.max + 1)
        for start in range(graph.layers - length + 1)
        for labels in product(*(range(i * graph.width, (i + 1) * graph.width) for i in range(start, start + length)))
    )
    depth = np.array([len(part) for part in parts], np.int64)
    label = np.array([part[-1] for part in parts])
    whole = depth >= chain.min
    paths = np.array([[*part, *[size] * (chain.max - len(part))] for part in parts])[whole]
    total = sum(chain.weights)
    chances = np.array([float(chain.by_length[n] / total / graph.paths(n)) for n in depth[whole].tolist()])
    code = np.empty(0, code_dtype(k, longest))

    def worth(mapping: tuple[Any, ...]) -> float:
        vertices = mapping[:size]
        first = np.array([*map(vertices.index, vertices), size])  # labels of one transformation count as the first
        _, number = np.unique(first[paths] @ (size + 1) ** np.arange(chain.max), return_inverse=True)
        ends = np.full(depth.size, -1, np.int64)
        ends[whole] = number
        addresses, codes, arguments = solve.program(vertices, k, longest)
        tree = solve.Tree(depth, ends, addresses[label], codes[label], arguments[label], k, code)
        merged = np.bincount(number, chances)
        return float(np.mean([solve.best_guess(tree, merged, x).mean() for x in samples]))

    return worth


def render(config: Config, vertices: tuple[Any, ...], ceilings: tuple[float, float]) -> str:
    """The YAML of a graph, with what it was found for."""
    graph, (before, after) = config.graph, ceilings
    shortest, longest = config.length.min, config.length.max
    lengths = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
    chains = f"{config.chain.min} to {config.chain.max}"
    lines = [
        f"# At k={config.k}, length {lengths}, chains of {chains}, a model that sees only x and y can name the chain",
        f"# for at most {after:.1%} of the examples; with the graph that the search began at, for {before:.1%}.",
        "",
        f"layers: {graph.layers}",
        f"width: {graph.width}",
        "vertices:",
    ]
    for label, vertex in enumerate(vertices):
        layer, place = divmod(label, graph.width)
        lines.append(f"  - {vertex.head}" + ("" if place else f" # layer {layer}"))
    return "\n".join(lines)


if __name__ == "__main__":
    command("search", job, keep=labels, pool=heads, climbs=whole(1, 10_000))
