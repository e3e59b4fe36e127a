"""The section `split` of a config: its rules, and the splits that follow from it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import yaml

from fastgen.graph import Chain
from fastgen.split import Length, Split, apportion, smallest, stream, weights
from fastgen.strategies import STRATEGIES, Pool, limited, share_out
from fastgen.values import (
    MOST_VERTICES,
    as_json,
    exact,
    lengths_of,
    one_of,
    optional,
    read,
    section,
    shown,
    transformation,
    whole,
    yes_or_no,
)

if TYPE_CHECKING:
    from fastgen.classes import Classes
    from fastgen.settings import ChainLengths

SET_KEYS = ("chains", "n", "of", "length")
DESIGN_KEYS = ("parts", "cut", "file", "rest", "folds", "fold", "limit")
"""Keys of single strategies, and of designs over chains. They, and `certified`, may be left out of the section."""

LARGEST_FILE = 2**18
"""Bytes of a file of lists of chains. All chains of the graph with most of them take 100,000."""

Lists = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
"""Splits, and chains of each, as heads, in order."""


@dataclass(frozen=True)
class SplitSet:
    """A record of `split.sets`, as given."""

    name: str
    chains: Fraction | None
    """Its share of the chains, or None where it has those of another."""
    n: int | None
    """Its own number of rows, or None for its share of the rest."""
    of: str | None
    length: Length | None
    """Its own lengths, or None for the config's."""


@dataclass(frozen=True)
class Splitting:
    """The section `split`. A key that its strategy has not is None."""

    strategy: str
    seed: int
    sets: tuple[SplitSet, ...]
    parts: int | None
    cut: int | None
    file: Lists | None = field(hash=False)
    """What the file says."""
    rest: str | None
    folds: int | None
    fold: int | None
    limit: tuple[tuple[str, int], ...]
    """Splits, and the most chains that each may have."""
    certified: bool
    """Whether held-out examples are only such as no chain of the first split solves."""


def read_split(faults: list[str], value: Any, k: int | None, length: Length | None) -> Splitting | None:
    """The section, where it has no fault."""
    known = len(faults)
    if isinstance(value, Mapping):
        value = {**dict.fromkeys(DESIGN_KEYS), "certified": False, **value}
    tree = section(faults, "split", value, ("strategy", "seed", "certified", "sets", *DESIGN_KEYS))
    strategy = read(faults, "split.strategy", tree["strategy"], one_of("strategy", STRATEGIES))
    seed = read(faults, "split.seed", tree["seed"], whole(0, 2**64 - 1))
    certified = read(faults, "split.certified", tree["certified"], yes_or_no)
    sets = tree["sets"]
    if not isinstance(sets, Mapping) or not sets:
        faults.append(f"split.sets={shown(sets)}: must hold at least one split, such as {{train:{{chains:1}}}}")
        return None

    records = [_split_set(faults, name, record, sets, length) for name, record in sets.items()]
    first = next(iter(sets))
    if _of(sets[first]) is not None:
        faults.append(
            f"split.sets.{shown(first)}: the first split is what a model learns from; put one with chains first"
        )
    for i, name in enumerate(sets):
        for other in list(sets)[:i]:
            if stream(str(other)) == stream(str(name)):
                faults.append(f"split.sets.{name}: would get the same random stream as {other}; rename one")
    shares = {record.name: record.chains for record in records if record and record.chains}
    total = sum(shares.values(), Fraction(0))
    if None not in records and abs(total - 1) > Fraction(1, 10**9):
        given = ", ".join(f"{name} {as_json(share)}" for name, share in shares.items())
        faults.append(f"split.sets: the shares of chains ({given}) sum to {as_json(total)}; make them sum to 1")
    if certified and None not in records and len(shares) == 1:
        rule = f"there is no split with chains of its own beside {first}, whose examples it could be about"
        faults.append(f"split.certified=true: {rule}; add one, +split.sets.validation.chains=0.2, or leave it false")
    lengths = [record.length or length for record in records if record] if length else None
    design = _design(faults, tree, strategy, list(shares), k, lengths) if strategy else None
    if len(faults) > known or design is None:
        return None
    return Splitting(strategy, seed, tuple(filter(None, records)), **design, certified=certified)


def _split_set(
    faults: list[str], name: Any, value: Any, sets: Mapping[Any, Any], length: Length | None
) -> SplitSet | None:
    key = f"split.sets.{shown(name)}"
    known = len(faults)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        faults.append(f"{key}: a split's name is lower-case letters, digits and _, a letter first; rename it")
    tree = section(faults, key, value, SET_KEYS, missing=None)
    chains = read(faults, f"{key}.chains", tree["chains"], optional(_share))
    n = read(faults, f"{key}.n", tree["n"], optional(whole(1, 2**63 - 1)))
    own = read(faults, f"{key}.length", tree["length"], optional(lengths_of))

    def of(value: Any) -> str | None:
        others = [other for other in map(str, sets) if other != name and _of(sets.get(other)) is None]
        if value == name:
            raise ValueError(f"is the split itself; name another: {', '.join(others)}")
        if isinstance(value, str) and value in sets and value not in others:
            raise ValueError(f"is itself of {_of(sets[value])}; name that")
        return one_of("split", others)(value)

    target = read(faults, f"{key}.of", tree["of"], optional(of))
    if isinstance(value, Mapping):
        if tree["of"] is None and tree["chains"] is None:
            faults.append(
                f"{key}: needs a share of the chains, {key}.chains=0.1, or those of another: {{of:train,n:20_000}}"
            )
        if tree["of"] is not None and tree["chains"] is not None:
            faults.append(
                f"{key}.chains={shown(tree['chains'])}: it has the chains of {shown(tree['of'])}; chains: null"
            )
        if tree["of"] is not None and tree["n"] is None:
            faults.append(f"{key}.n=null: a split that is `of` another has no share of the rows; {key}.n=20_000")
    if len(faults) > known:
        return None
    return SplitSet(name, chains, n, target, None if own == length else own)


def _of(record: Any) -> Any:
    return record.get("of") if isinstance(record, Mapping) else None


def _share(value: Any) -> Fraction:
    share = exact(value)
    if not 0 < share <= 1:
        raise ValueError("must be a share above 0 and at most 1, such as 0.2 or 1/3")
    return share


def _design(
    faults: list[str],
    tree: Mapping[str, Any],
    strategy: str,
    names: Sequence[str],
    k: int | None,
    lengths: Sequence[Length] | None,
) -> dict[str, Any]:
    """The values of DESIGN_KEYS. `names` are the splits that have chains of their own."""

    def file_of(value: Any) -> Lists:
        return _lists(_yaml(value) if isinstance(value, str) else value, k, lengths)

    def limit_of(value: Any) -> tuple[tuple[str, int], ...]:
        form = "must map splits that have chains of their own to a number from 1, such as {train:50}"
        if not isinstance(value, Mapping):
            raise ValueError(form)
        given = {name: most for name, most in value.items() if most is not None}
        try:
            return tuple((one_of("split", names)(name), whole(1, 2**16)(most)) for name, most in given.items())
        except ValueError as rule:
            raise ValueError(f"{form}; {rule}") from None

    readers: dict[str, Callable[[Any], Any]] = {
        "parts": whole(2, 4),
        "cut": whole(1, MOST_VERTICES),
        "file": file_of,
        "rest": one_of("split", names),
        "folds": whole(2, 1000),
        "fold": whole(0, 999),
        "limit": limit_of,
    }
    for owner, record in STRATEGIES.items():
        for key in record.keys:
            if tree[key] is not None and owner != strategy:
                rule = f"is a key of strategy {owner}, and split.strategy={strategy}"
                faults.append(f"split.{key}={shown(tree[key])}: {rule}; split.{key}=null, or split.strategy={owner}")
                readers[key] = lambda value: None
    known = len(faults)
    design = {key: read(faults, f"split.{key}", tree[key], optional(reader)) for key, reader in readers.items()}
    folds, fold = design["folds"], design["fold"]
    if len(faults) == known and folds is None and fold is not None:
        faults.append(f"split.fold={fold}: is one of split.folds, and that is null; split.folds=5, or split.fold=null")
    if len(faults) == known and folds is not None and (fold is None or fold >= folds):
        faults.append(f"split.fold={shown(fold)}: must be a whole number from 0 to {folds - 1}; split.fold=0")
    return design | {"limit": design["limit"] or ()}


def _yaml(path: str) -> Any:
    """What a YAML file of at most LARGEST_FILE bytes holds, without a tag and with every key once."""
    try:
        if not os.path.isfile(path):
            raise ValueError("is no file; name a YAML file, as seen from the current folder")
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    if len(text) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE} bytes, and no list of chains is; name another")
    try:
        value = yaml.safe_load(text)
        keys = [key.value for key, _ in yaml.compose(text, yaml.SafeLoader).value] if isinstance(value, Mapping) else []
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a date that there is not
        raise ValueError(f"is not YAML: {' '.join(str(error).split())[:200]}") from None
    if len(set(keys)) < len(keys):
        raise ValueError("names a split twice; name each once")
    return value


def _lists(value: Any, k: int | None, lengths: Sequence[Length] | None) -> Lists:
    """Lists of chains by split, of their texts: what a file holds, or an identity."""
    form = "must hold lists of chains by split, such as {validation: [sort rank, cumsum reverse]}"
    if not isinstance(value, Mapping):
        raise ValueError(form)
    heads: dict[str, str] = {}
    refused = []
    for name, chains in value.items():
        if not isinstance(name, str) or not isinstance(chains, list | tuple):
            raise ValueError(form)
        if not all(isinstance(chain, str) for chain in chains):  # not shown: by its aliases, YAML can be endless
            raise ValueError(f"{form}; a chain is a text")
        for chain in chains:
            for head in {*chain.split()} - heads.keys():
                try:
                    heads[head] = transformation(head, k, lengths).head
                except ValueError as rule:
                    heads[head] = head
                    refused.append(f"{name} has {shown(head)}: {rule}")
    if refused:
        raise ValueError("; ".join(refused[:3]) + (f"; and {len(refused) - 3} more" if len(refused) > 3 else ""))
    return tuple(
        (name, tuple(sorted({tuple(heads[head] for head in chain.split()) for chain in chains})))
        for name, chains in value.items()
    )


def texts(lists: Lists) -> dict[str, list[str]]:
    """What `_lists` reads back."""
    return {name: list(map(" ".join, chains)) for name, chains in lists}


def share_rows(faults: list[str], n: int, split: Splitting) -> dict[str, int] | None:
    """The rows of each split: its own n, or its share of what those leave of the total."""
    own = {record.name: record.n for record in split.sets if record.n is not None}
    shares = _shares(record for record in split.sets if record.n is None)
    taken = sum(own.values())
    named = ", ".join(f"{name} {rows}" for name, rows in own.items())
    if not shares:
        if n != taken:
            faults.append(f"n={n}: every split has an n of its own ({named}), and together they are {taken}; n={taken}")
        return own
    least = taken + smallest(shares)
    if n < least:
        rule = f"the splits' own n ({named}) leave" if own else "is"
        faults.append(f"n={n}: {rule} too few for every split to have a row; the smallest n is {least}")
        return None
    return own | apportion(n - taken, shares)


def _own_lengths(fields: Mapping[str, Any]) -> list[Length]:
    """The lengths of the splits that have chains of their own."""
    return [record.length or fields["length"] for record in fields["split"].sets if record.of is None]


def not_rejected(faults: list[str], fields: Mapping[str, Any], chains: tuple[Chain, ...]) -> tuple[int, ...]:
    """The ids of the chains that `chain.reject` leaves."""
    reject = fields["chain"].reject
    if not reject:
        return tuple(range(len(chains)))
    classes = classes_of(chains, fields["k"], _own_lengths(fields))
    flags = [getattr(classes, kind) for kind in reject]
    ids = tuple(i for i in range(len(chains)) if not any(flag[i] for flag in flags))
    if not ids:
        faults.append(f"chain.reject={shown(reject)}: leaves none of the {len(chains)} chains; leave out fewer kinds")
    return ids


def share_chains(
    faults: list[str], fields: Mapping[str, Any], chains: tuple[Chain, ...], ids: tuple[int, ...]
) -> dict[str, tuple[int, ...]] | None:
    """The ids of the chains of each split that has chains of its own, of those that are to be shared out."""
    split, k = fields["split"], fields["k"]
    lengths = _own_lengths(fields)
    by_length = fields["chain"].by_length
    pool = Pool(
        chains,
        ids,
        _shares(split.sets),
        split.seed,
        lambda: classes_of(chains, k, lengths).number,
        parts=split.parts,
        cut=split.cut,
        file=None if split.file is None else dict(split.file),
        rest=split.rest,
    )
    try:
        parts = share_out(split.strategy, pool, split.folds, split.fold)
    except ValueError as rule:
        faults.append(f"split.strategy={split.strategy}: {rule}")
        return None
    for name, most in split.limit:
        if most > (there := len(parts[name])):
            faults.append(f"split.limit.{name}={most}: {name} has {there} chains; split.limit.{name}={there}, or null")
            return None
        parts[name] = limited(pool, parts[name], most)
    for name, share in pool.shares.items():
        if not any(by_length[len(chains[i])] for i in parts[name]):
            why = (
                f"would get none of the {len(chains)} chains; give it more, about {math.ceil(1e4 / len(chains)) / 1e4}"
            )
            if parts[name]:
                why = "would get only chains of a length with weight 0; change chain.weights, or give it more"
            faults.append(f"split.sets.{name}.chains={as_json(share)}: {why}")
    return parts


def classes_of(chains: Sequence[Chain], k: int, lengths: Sequence[Length]) -> Classes:
    """Which chains are one function, for this k and vectors of these lengths."""
    from fastgen import classes  # it compiles kernels, which no other key waits for

    each = sorted({n for length in lengths for n in range(length.min, length.max + 1)})
    return classes.find(tuple(chain.transformations for chain in chains), k, tuple(each))


def make_splits(
    split: Splitting,
    length: Length,
    chain: ChainLengths,
    chains: tuple[Chain, ...],
    shared: int,
    rows: Mapping[str, int],
    parts: Mapping[str, tuple[int, ...]],
) -> tuple[Split, ...]:
    """The splits, of their rows and of their `parts` of the `shared` chains."""
    first = split.sets[0].name

    def make(record: SplitSet) -> Split:
        owner = record.of or record.name
        ids = parts[owner]
        return Split(
            name=record.name,
            rows=rows[record.name],
            length=record.length or length,
            chains=ids,
            weights=weights([chains[i] for i in ids], chain.by_length),
            of=record.of,
            stream=stream(record.name),
            share=Fraction(len(ids), shared),
            certified=split.certified and owner != first,
        )

    return tuple(map(make, split.sets))


def _shares(records: Iterable[SplitSet]) -> dict[str, Fraction]:
    return {record.name: record.chains for record in records if record.chains is not None}


CERTAIN = 1 / 32
"""The least share of its vectors of one length that a chain of a certified split must have for its own, by TRIED."""

CERTIFIABLE = "split.strategy=functional, chain.reject=[redundant], or a larger k or length"
"""What makes chains differ on more vectors."""

TRIED, TRIED_ELEMENTS = 1024, 2**20
MOST_LENGTHS = 16
"""Of a range of lengths, these from the shortest on are tried, where chains coincide most, and the longest."""


def refuse_uncertain(faults: list[str], fields: Mapping[str, Any]) -> None:
    """A chain that train equals on nearly every vector has hardly an example that train does not solve."""
    train, *others = fields["splits"]
    chains, k = fields["chains"], fields["k"]
    for split in others:
        if not split.certified:
            continue
        from fastgen import solve  # it compiles kernels, which no other key waits for

        tree = solve.tree({i: chains[i] for i in train.drawn}, k, split.length.max)
        held = [chains[i] for i in split.drawn]
        least: dict[str, str] = {}
        for length in sorted({*range(split.length.min, split.length.max + 1)[:MOST_LENGTHS], split.length.max}):
            shares = solve.share_solved(tree, held, length, max(64, min(TRIED, TRIED_ELEMENTS // length)))
            for chain, share in zip(held, shares, strict=True):
                if share > 1 - CERTAIN:
                    least.setdefault(" ".join(chain.heads), f"at length {length} for {share:.0%} of the vectors")
        if least:
            listed = "; ".join(f"{chain} {where}" for chain, where in list(least.items())[:3])
            more = f"; and {len(least) - 3} more" if len(least) > 3 else ""
            rule = f"{train.name} gives the same as chains of {split.name}: {listed}{more}"
            faults.append(f"split.certified=true: {rule}; {CERTIFIABLE}")
