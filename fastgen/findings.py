"""An audit: what the splits of a written corpus share and repeat, and how likely that, and their counts, are by chance.

Rows are compared as sets: where in a split one stands does not matter. Every line of an audit is a `Finding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from fastgen import chance, corpus, overlap
from fastgen.ceiling import ceiling_of, sample
from fastgen.corpus import Part
from fastgen.overlap import Tally
from fastgen.settings import Config
from fastgen.split import Split, contained
from fastgen.splitting import CERTAIN
from fastgen.values import ConfigError

ALPHA = 1e-6
"""Chance is ruled out below this probability, divided by the number of tests."""

WORDS = {"x": "x", "example": "examples", "pair": "(x, y)"}
"""kind of key -> what its rows are called"""

Limits = Mapping[str, Fraction | None]
"""`pairs`, `functional`, `contained` -> the largest share that other splits may have of the first one, or None"""


@dataclass(frozen=True)
class Finding:
    """A line of an audit."""

    splits: tuple[str, ...]
    what: str
    found: float
    """How many, or a share of the last split's rows, or chi-square: see `unit`."""
    expected: float | None = None
    """By chance, or by the config; of chi-square, its degrees of freedom, which are its expectation."""
    p: float | None = None
    """The probability of as much or more; None where that is not tested."""
    limit: float | None = None
    unit: str = "number"
    """number, share or chi-square"""


@dataclass(frozen=True)
class Audit:
    """What is found in a corpus."""

    slices: int
    """Of the keys of rows, one in so many was compared."""
    findings: tuple[Finding, ...]

    @property
    def tests(self) -> int:
        """How many findings are tested against chance."""
        return sum(finding.p is not None for finding in self.findings)

    @property
    def least(self) -> float:
        """The probability below which chance is ruled out."""
        return ALPHA / max(1, self.tests)

    def breaks(self, finding: Finding) -> bool:
        """Whether it is above its limit, or chance is ruled out."""
        above = finding.limit is not None and finding.found > finding.limit
        return above or (finding.p is not None and finding.p < self.least)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The findings for which the corpus does not hold."""
        return tuple(filter(self.breaks, self.findings))


def examine(
    config: Config,
    parts: Sequence[Part],
    memory: int,
    limits: Limits,
    progress: Callable[[int], None] = lambda rows: None,
) -> Audit:
    """The audit of all parts of the corpus in `config.out`, by `config.workers` threads.

    `memory` is what the keys may take, in bytes; `progress` is called from the threads with the rows of each block.
    Raises ConfigError where the corpus can't be read.
    """
    rows = {split.name: sum(part.rows for part in parts if part.split == split.name) for split in config.splits}
    unlike = corpus.chains_unlike(config)
    tallies, slices = overlap.tallies(config, rows, memory)

    def count(part: Part) -> None:
        for block in corpus.blocks(config, part):
            tallies[part.split].add(block)
            progress(len(block.chain_id))

    with ThreadPoolExecutor(config.workers) as pool:
        try:
            for _ in pool.map(count, parts):
                pass
            for _ in pool.map(overlap.Keys.settle, [keys for each in tallies.values() for keys in each.keys.values()]):
                pass
        except MemoryError:
            rule = "is too little for the keys of these files, which hold more vectors than the config makes; raise it"
            raise ConfigError(f"memory={memory}: {rule}") from None
        finally:
            pool.shutdown(cancel_futures=True)

    functions = np.array(config.classes.number)
    pairs = list(combinations(config.splits, 2))
    findings = [
        Finding((), "rows of chains.parquet unlike the config", unlike, limit=0),
        *(found for split in config.splits for found in _rows(split, tallies[split.name])),
        *(found for pair in pairs for found in _shared(config, pair, tallies, slices)),
        *(
            found
            for pair in pairs[: len(config.splits) - 1]
            for found in _of_first(config, pair, tallies, functions, limits)
        ),
        *(found for split in config.splits for found in _repeated(config, split, tallies[split.name])),
        *(found for split in config.splits for found in _distributed(config, split, tallies[split.name])),
        *(found for split in config.splits[1:] for found in _guessed(config, split, tallies[split.name], parts)),
    ]
    return Audit(slices, tuple(findings))


def _rows(split: Split, tally: Tally) -> Iterator[Finding]:
    """How many rows there are, and of how many the chain is not the one of their chain_id."""
    yield Finding((split.name,), "rows", tally.rows, split.rows)
    yield Finding((split.name,), "rows unlike chains.parquet", tally.unlike, limit=0)


def _owner(split: Split) -> str:
    """The split whose chains it has."""
    return split.of or split.name


def _drawn(tally: Tally, kind: str) -> Any:
    """Rows by what decides how likely they coincide: x by length, examples also by chain, float64[..., length]."""
    return tally.chains.sum(axis=0, dtype=float) if kind == "x" else tally.chains.astype(float)


def _cells(config: Config) -> Any:
    """How many vectors of each length there are: float64[length]."""
    lengths = np.arange(min(config.longest, overlap.LONGEST) + 1)
    return float(config.k) ** np.minimum(lengths, overlap.LONGEST - 1)


def _shared(config: Config, pair: tuple[Split, Split], tallies: Mapping[str, Tally], slices: int) -> Iterator[Finding]:
    """What two splits have in common: chains, and no more vectors and examples than chance gives."""
    names = (pair[0].name, pair[1].name)
    first, second = (tallies[name] for name in names)
    chains = int(((first.chains.sum(axis=1) > 0) & (second.chains.sum(axis=1) > 0)).sum())
    yield Finding(names, "chains in both", chains, limit=None if _owner(pair[0]) == _owner(pair[1]) else 0)
    for kind in ("x", "example"):
        found = overlap.common(first.keys[kind].distinct, second.keys[kind].distinct)
        rows, others = _drawn(first, kind), _drawn(second, kind)
        if pair[0].certified and pair[1].certified:
            expected = chance.in_both_at_most(rows, others, _cells(config) * CERTAIN)
        else:  # with vectors of which all are equally likely, others have no more in common
            expected = chance.in_both(rows, others, _cells(config))
        expected /= slices
        yield Finding(names, f"{WORDS[kind]} in both", found, expected, chance.at_least(found, expected))


def _of_first(
    config: Config, pair: tuple[Split, Split], tallies: Mapping[str, Tally], functions: Any, limits: Limits
) -> Iterator[Finding]:
    """What a split has of the first one although their chains differ, as shares of its rows, with their limits."""
    first, second = (tallies[split.name] for split in pair)
    before, after = (_written(split, tallies[split.name]) for split in pair)
    known = np.isin(functions[list(after.chains)], functions[list(before.chains)])
    keys = second.keys["pair"].distinct
    shares = {
        "pairs": ("(x, y) of the first", overlap.common(first.keys["pair"].distinct, keys) / max(1, keys.size)),
        "functional": ("a function of the first", sum(np.array(after.weights)[known])),
        "contained": ("inside a chain of the first", contained(after, before, config.chains)),
    }
    for name, (what, share) in shares.items():
        limit = None if _owner(pair[0]) == _owner(pair[1]) else limits[name]
        names = (pair[0].name, pair[1].name)
        yield Finding(names, what, float(share), limit=None if limit is None else float(limit), unit="share")


def _guessed(config: Config, split: Split, tally: Tally, parts: Sequence[Part]) -> Iterator[Finding]:
    """How often a model can name the chain at best, by the first rows of a split; a certified one leaves no doubt."""
    rows = corpus.first_rows(config, (part for part in parts if part.split == split.name), sample(config))
    found = ceiling_of(config, _written(split, tally), *rows)
    for what, share in (("ceiling", found.best), ("blind", found.blind), ("several", found.several)):
        yield Finding((split.name,), what, share, unit="share")
    limit = 0 if split.certified else None
    yield Finding((split.name,), "solved by the first", found.train, limit=limit, unit="share")


def _written(split: Split, tally: Tally) -> Split:
    """The split with the chains of its files, each as likely as it occurs there."""
    counts = tally.chains.sum(axis=1).tolist()
    chains = tuple(chain_id for chain_id, count in enumerate(counts) if count)
    return replace(split, chains=chains, weights=tuple(Fraction(counts[i], sum(counts)) for i in chains))


def _repeated(config: Config, split: Split, tally: Tally) -> Iterator[Finding]:
    """How many rows of a split repeat an earlier one."""
    for kind, keys in tally.keys.items():
        found = keys.rows - keys.distinct.size
        expected = p = None
        if kind != "pair":  # what y chance gives is not known
            cells = _cells(config) * (CERTAIN if split.certified else 1)
            expected = chance.repeats(_drawn(tally, kind), cells) * keys.rows / tally.rows
            p = chance.at_least(found, expected)
        yield Finding((split.name,), f"{WORDS[kind]} repeated", found, expected, p)


def _distributed(config: Config, split: Split, tally: Tally) -> Iterator[Finding]:
    """Whether chains, lengths and elements of a split occur as often as the config says."""
    chains = tally.chains.sum(axis=1)
    weights = np.zeros(len(config.chains))
    weights[list(split.chains)] = [float(weight) for weight in split.weights]
    yield from _fits(split, "chains", chains, weights)

    depths = np.array([len(chain) for chain in config.chains])
    yield from _fits(split, "chain lengths", np.bincount(depths, chains), np.bincount(depths, weights))

    lengths = np.zeros(tally.lengths.size)
    lengths[split.length.min : split.length.max + 1] = 1
    yield from _fits(split, "vector lengths", tally.lengths, lengths)

    elements = [*_fits(split, "elements", tally.elements.sum(axis=0), np.ones(config.k))]
    if len(tally.elements) > 1:
        elements += _fits(split, "elements by position", tally.elements, np.ones(config.k))
    # a certified split leaves out vectors that train solves, which have other elements than the rest
    yield from (replace(found, p=None) if split.certified else found for found in elements)


def _fits(split: Split, what: str, observed: Any, weights: Any) -> Iterable[Finding]:
    """The test of counts [cell] or [row, cell] against weights; of nothing where there is nothing to choose."""
    observed, weights = np.atleast_2d(observed), np.atleast_2d(weights)
    expected = observed.sum(axis=1, keepdims=True) * weights / weights.sum()
    fit = chance.fit(observed, expected)
    return [Finding((split.name,), what, fit.statistic, fit.freedom, fit.p, unit="chi-square")] if fit else []
