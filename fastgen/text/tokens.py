"""Token ids of an example, which of them are learnt, and what part each of them plays.

A token is a word of the text, of prompt and completion, and `<eos>` at the end. The columns `input_ids`, `labels` and
`roles` have a value per token, and one kernel fills them all: it walks the places of the grammar, and a `Table` says
what it writes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from fastgen.jit import jit
from fastgen.settings import TOKENS, Config
from fastgen.split import Split
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, EOS, STEP, UNKNOWN, Grammar, Item
from fastgen.trace import code_dtype, steps_before
from fastgen.transforms.base import Role, Transformation

if TYPE_CHECKING:
    from fastgen.engine import Example, Rows

ROLES: tuple[str, ...] = (
    *("instruction", "punctuation", "head", "depth", "modulus", "answer", "end"),
    *get_args(Role),
)
"""What a token can be; the place is its code in files. Of the preamble, between others, a transformation, the length
of the chain, k, an element of y, `<eos>`; and what the operands of steps are, an element of x being an element."""

IGNORED = -100
"""The label of what is given and not learnt; so PyTorch's cross-entropy leaves it out."""


def dtypes(config: Config) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """dtype of ids, the smallest that holds every one, and of labels."""
    size = len(config.grammar.vocabulary)
    return np.min_scalar_type(size - 1), np.dtype(np.int16 if size <= 2**15 else np.int32)


# Reference


def tokens(example: Example, config: Config) -> tuple[list[int], list[int], list[str]]:
    """Ids, labels and roles (names) of an example's tokens: the definition."""
    grammar = config.grammar
    known = ids(grammar)
    prompt = [(word, "instruction") for word in grammar.preamble.split()]
    prompt += [said for item in grammar.prompt for said in _said(item, example, config)]
    asked = [said for item in grammar.completion for said in _said(item, example, config)]
    asked += [(grammar.vocabulary[EOS], "end")]
    found = [known.get(word, UNKNOWN) for word, _ in prompt + asked]
    return found, [IGNORED] * len(prompt) + found[len(prompt) :], [role for _, role in prompt + asked]


@lru_cache(maxsize=8)
def ids(grammar: Grammar) -> dict[str, int]:
    """Token -> id. What is not in it is `UNKNOWN`."""
    return {token: place for place, token in enumerate(grammar.vocabulary)}


def _said(item: Item, example: Example, config: Config) -> Iterator[tuple[str, str]]:
    """Words and their roles at one place of a template."""
    grammar, chain = config.grammar, config.chains[example.chain_id].transformations
    match item.field:
        case "x":
            yield from ((grammar.number(value), "element") for value in example.x)
        case "y":
            yield from ((grammar.number(value), "answer") for value in example.y)
        case "depth":
            yield grammar.number(len(chain)), "depth"
        case "k":
            yield grammar.number(config.k), "modulus"
        case "chain" | "trace":
            for depth, transformation in enumerate(chain):
                if depth:
                    yield grammar.words[BETWEEN_PARTS], "punctuation"
                yield grammar.head(transformation.head), "head"
                if item.field == "trace":
                    yield from _working(depth, transformation, example, grammar)
        case _:
            yield grammar.words[item.word], "punctuation"


def _working(
    depth: int, transformation: Transformation, example: Example, grammar: Grammar
) -> Iterator[tuple[str, str]]:
    first, last = (steps_before(number, len(example.x)) for number in (depth, depth + 1))
    for s, (_, *operands) in enumerate(example.steps[first:last]):
        if s and len(grammar.step) > 1:
            yield grammar.words[BETWEEN_STEPS], "punctuation"
        shown = dict(zip(STEP, zip(operands, transformation.record.roles, strict=True), strict=True))
        yield from ((grammar.number(shown[name][0]), shown[name][1]) for name in grammar.step)


# How many


def count(grammar: Grammar, transformations: int, length: int) -> int:
    """The tokens of an example with so many transformations and elements, `<eos>` among them."""
    return int(_count(grammar, transformations, Fraction(length), Fraction(steps_before(transformations, length))))


def _count(grammar: Grammar, transformations: int, length: Fraction, steps: Fraction) -> Fraction:
    """That; linear in length and steps, so that their means give the mean."""
    heads = Fraction(2 * transformations - 1)
    between = steps - transformations if len(grammar.step) > 1 else 0
    sizes = {"x": length, "y": length, "chain": heads, "trace": heads + len(grammar.step) * steps + between}
    places = [sizes.get(item.field, Fraction(1)) for item in (*grammar.prompt, *grammar.completion)]
    return len(grammar.preamble.split()) + sum(places, Fraction(1))


def most(config: Config) -> int:
    """The most tokens of an example, of any split."""
    return count(config.grammar, config.chain.max, config.longest)


def mean_and_largest(config: Config, split: Split) -> tuple[float, int]:
    """The expected number of tokens of a split's examples, and the largest possible."""
    by_depth: dict[int, Fraction] = {}
    for chain_id, weight in zip(split.chains, split.weights, strict=True):
        depth = len(config.chains[chain_id])
        by_depth[depth] = by_depth.get(depth, Fraction(0)) + weight
    lengths = range(split.length.min, split.length.max + 1)
    length = Fraction(sum(lengths), len(lengths))
    mean = Fraction(0)
    for depth, weight in by_depth.items():
        steps = Fraction(sum(steps_before(depth, each) for each in lengths), len(lengths))
        mean += weight * _count(config.grammar, depth, length, steps)
    deepest = max(depth for depth, weight in by_depth.items() if weight)
    return float(mean), count(config.grammar, deepest, split.length.max)


# Kernel


class Tokens:
    """Arrays for up to `capacity` rows, filled by `fill` and reused.

    offsets: int32[row + 1]
    columns: name -> array, of those that the config asks for, row r at offsets[r]:
        input_ids: uint8|uint16|uint32[token]; labels: int16|int32[token]; roles: uint8[token], places in ROLES

    capacity * most(config) must be below 2^31.
    """

    def __init__(self, config: Config, capacity: int) -> None:
        size = capacity * most(config)
        self.offsets = np.zeros(capacity + 1, np.int32)
        self.columns = {name: np.empty(size, table.numbers.dtype) for name, table in _tables(config).items()}


def fill(tokens: Tokens, config: Config, rows: Rows) -> None:
    """Put the tokens of the filled `rows` into `tokens`. Releases the GIL."""
    for name, table in _tables(config).items():
        _fill(
            rows.chain_id[: rows.count],
            rows.offsets,
            rows.trace_offsets,
            rows.x,
            rows.y,
            rows.trace,
            *_layout(config),
            *table,
            tokens.offsets,
            tokens.columns[name],
        )


class Layout(NamedTuple):
    """What all columns have in common: the chains, and which fields of a step code are shown."""

    starts: np.ndarray[Any, Any]
    """int64[chain + 1]: of chain c, the transformations starts[c] up to starts[c + 1]."""
    shifts: np.ndarray[Any, Any]
    """uint64[3]: how many bits lie below each field that is shown; then 0."""
    shown: int
    """How many fields that is."""


@lru_cache(maxsize=8)
def _layout(config: Config) -> Layout:
    shifts = [_bits(config) * (1 + STEP.index(name)) for name in config.grammar.step]
    return Layout(
        np.cumsum([0, *map(len, config.chains)], dtype=np.int64),
        np.array([*shifts, 0, 0, 0][: len(STEP)], np.uint64),
        len(shifts),
    )


def _bits(config: Config) -> int:
    """Bits of a field of a step code."""
    return 2 * code_dtype(config.k, config.longest).itemsize


WORD, X, Y, DEPTH, CHAIN, TRACE, SO_FAR = range(7)
"""What can be at a place. SO_FAR is no token: it makes all that the row has so far into one."""

PLACES = {"x": X, "y": Y, "depth": DEPTH, "chain": CHAIN, "trace": TRACE}
NUMBERS = {"x": "element", "y": "answer", "depth": "depth", "k": "modulus"}
"""Field of a template -> the role of its numbers."""


class Table(NamedTuple):
    """What stands at the places of one column. A number is `base + numbers[value & mask]`.

    Of ids, every base is 0, and `numbers` has one for every value that a field of a step code can hold. Of roles, the
    base is the role, and `numbers` is a single 0. The mask is one less than the size of `numbers`, a power of two.
    """

    places: np.ndarray[Any, Any]
    """int64[place, 2]: what it is (WORD, X, ...), and the token, or the base of the numbers."""
    heads: np.ndarray[Any, Any]
    """int64[transformation]"""
    bases: np.ndarray[Any, Any]
    """int64[transformation, 3], of the fields that are shown."""
    between_steps: int
    between_parts: int
    numbers: np.ndarray[Any, Any]
    """[value], of the column's dtype."""


@lru_cache(maxsize=8)
def _tables(config: Config) -> dict[str, Table]:
    """Of every column that the config asks for."""
    if not any(name in TOKENS for name in config.columns):
        return {}
    grammar, known = config.grammar, ids(config.grammar)
    numbers = [known.get(grammar.number(value), UNKNOWN) for value in range(2 ** _bits(config))]
    made = {}
    for name, dtype in zip(("input_ids", "labels"), dtypes(config), strict=True):
        made[name] = _table(config, lambda word, role: known[word] if word else 0, np.array(numbers, dtype))
    given = len(grammar.preamble.split()) + len(grammar.prompt)
    masked = np.insert(made["labels"].places, given, (SO_FAR, IGNORED), axis=0)
    made["labels"] = made["labels"]._replace(places=masked)
    made["roles"] = _table(config, lambda word, role: ROLES.index(role), np.zeros(1, np.uint8))
    return {name: table for name, table in made.items() if name in config.columns}


def _table(config: Config, token: Callable[[str, str], int], numbers: np.ndarray[Any, Any]) -> Table:
    """`token(word, role)` is the token of a word or, where the word is empty, the base of numbers in that role."""
    grammar = config.grammar

    def place(item: Item) -> tuple[int, int]:
        if item.field in PLACES:
            return PLACES[item.field], token("", NUMBERS.get(item.field, "head"))
        if item.field:
            return WORD, token(grammar.number(config.k), NUMBERS[item.field])
        return WORD, token(grammar.words[item.word], "punctuation")

    def bases(transformation: Transformation) -> list[int]:
        roles = dict(zip(STEP, transformation.record.roles, strict=True))
        return [*(token("", roles[name]) for name in grammar.step), 0, 0, 0][: len(STEP)]

    transformations = [each for chain in config.chains for each in chain.transformations]
    return Table(
        np.array(
            [
                *((WORD, token(word, "instruction")) for word in grammar.preamble.split()),
                *map(place, (*grammar.prompt, *grammar.completion)),
                (WORD, token(grammar.vocabulary[EOS], "end")),
            ],
            np.int64,
        ),
        np.array([token(grammar.head(each.head), "head") for each in transformations], np.int64),
        np.array([bases(each) for each in transformations], np.int64),
        token(grammar.words[BETWEEN_STEPS], "punctuation"),
        token(grammar.words[BETWEEN_PARTS], "punctuation"),
        numbers,
    )


@jit
def _fill(
    chain_id,
    offsets,
    trace_offsets,
    x,
    y,
    trace,
    starts,
    shifts,
    shown,
    places,
    heads,
    bases,
    between_steps,
    between_parts,
    numbers,
    token_offsets,
    out,
):
    # All in one function, indices unsigned: calls with arrays, and tests for a negative index, took it three times the
    # time. What is added to a token is signed.
    mask, one, two = np.uint64(numbers.size - 1), np.uint64(1), np.uint64(2)
    last, width = np.uint64(shown), np.uint64(shown + 1 if shown > 1 else shown)
    shift_a, shift_b, shift_c = shifts[0], shifts[1], shifts[2]
    for r in range(chain_id.size):
        p = np.uint64(token_offsets[r])
        start, stop = np.uint64(offsets[r]), np.uint64(offsets[r + 1])
        first, length = starts[chain_id[r]], np.int64(stop - start)
        depth = starts[chain_id[r] + 1] - first
        for place in range(places.shape[0]):
            kind, token = places[place, 0], places[place, 1]
            if kind == WORD:
                out[p] = token
                p += one
            elif kind == X:
                for i in range(start, stop):
                    out[p] = token + numbers[x[i] & mask]
                    p += one
            elif kind == Y:
                for i in range(start, stop):
                    out[p] = token + numbers[y[i] & mask]
                    p += one
            elif kind == DEPTH:
                out[p] = token + numbers[np.uint64(depth) & mask]
                p += one
            elif kind == CHAIN:
                for t in range(first, first + depth):
                    out[p], out[p + one] = heads[t], between_parts
                    p += two
                p -= one  # nothing comes between the last part and what follows
            elif kind == TRACE:
                for t in range(depth):
                    out[p] = heads[first + t]
                    p += one
                    base_a, base_b, base_c = bases[first + t, 0], bases[first + t, 1], bases[first + t, 2]
                    steps = np.uint64(trace_offsets[r] + steps_before(t, length))
                    end = np.uint64(trace_offsets[r] + steps_before(t + 1, length))
                    for s in range(steps, end if shown else steps):
                        code = np.uint64(trace[s])
                        a = base_a + numbers[code >> shift_a & mask]
                        b = base_b + numbers[code >> shift_b & mask]
                        c = base_c + numbers[code >> shift_c & mask]
                        # What is not shown is overwritten: at least a word and <eos> come after every trace.
                        out[p], out[p + one], out[p + two] = a, b, c
                        out[p + last] = between_steps
                        p += width
                    p -= width - last
                    out[p] = between_parts
                    p += one
                p -= one
            elif kind == SO_FAR:
                out[token_offsets[r] : p] = token
        token_offsets[r + 1] = p
