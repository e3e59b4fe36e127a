"""Examples to text: prompt and completion.

The kernel has every number and head in a table, with the blank behind it, in pieces of up to seven bytes and their
size: one load gives the text and where the next one begins. A piece is written as a word of eight bytes, and the next
one over its end. The comma behind the last step, and the blank behind the last word, are stepped back over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgen.graph import Chain
from fastgen.jit import jit
from fastgen.lanes import store_word
from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, LONGEST_WORD, STEP, Grammar, Item
from fastgen.trace import code_dtype, steps_before

if TYPE_CHECKING:
    import pyarrow as pa

    from fastgen.engine import Example, Rows
    from fastgen.transforms import Step

COLUMNS = ("prompt", "completion")


# Reference


def render(example: Example, config: Config) -> tuple[str, str]:
    """Prompt and completion of an example: the definition of both. Trainers join them as they are."""
    grammar = config.grammar
    prompt, completion = (
        " ".join(said(item, example, config) for item in places) for places in (grammar.prompt, grammar.completion)
    )
    return grammar.preamble + prompt, " " + completion


def said(item: Item, example: Example, config: Config) -> str:
    """What stands at a place of a template."""
    grammar = config.grammar
    between_parts = f" {grammar.words[BETWEEN_PARTS]} "
    match item.field:
        case "x":
            return " ".join(map(grammar.number, example.x))
        case "y":
            return " ".join(map(grammar.number, example.y))
        case "chain":
            return between_parts.join(map(grammar.head, example.chain))
        case "trace":
            starts = [steps_before(depth, len(example.x)) for depth in range(len(example.chain) + 1)]
            parts = zip(example.chain, starts, starts[1:], strict=False)
            return between_parts.join(_part(head, example.steps[start:stop], grammar) for head, start, stop in parts)
        case "depth":
            return grammar.number(len(example.chain))
        case "k":
            return grammar.number(config.k)
        case _:
            return grammar.words[item.word]


def _part(head: str, steps: Sequence[Step], grammar: Grammar) -> str:
    """A transformation in a trace: its head, then of each step what is shown."""
    if not grammar.step:
        return grammar.head(head)
    shown = [dict(zip(STEP, operands, strict=True)) for _, *operands in steps]
    said = [" ".join(grammar.number(fields[name]) for name in grammar.step) for fields in shown]
    between = f" {grammar.words[BETWEEN_STEPS]} " if len(grammar.step) > 1 else " "
    return f"{grammar.head(head)} {between.join(said)}"


# Kernel


class Texts:
    """Buffers for up to `capacity` rows, filled by `fill` and reused; of the columns, those that the config asks for.

    columns: name -> (offsets: int32[row + 1], text: uint8[byte]), row r in UTF-8 from offsets[r] on. In no column may
    `capacity` rows of `most(config)` bytes come to 2^31.
    """

    def __init__(self, config: Config, capacity: int) -> None:
        self.columns = {
            name: (np.zeros(capacity + 1, np.int32), np.empty(capacity * size + SLACK, np.uint8))
            for name, size in most(config).items()
        }


SLACK = 1 + (LONGEST_WORD + 1) + 8
"""What may be written past the last row: its blank, a comma with its own, and a piece that is empty."""


def fill(texts: Texts, config: Config, rows: Rows) -> None:
    """Put the text of the filled `rows` into `texts`. Releases the GIL."""
    for name, (offsets, text) in texts.columns.items():
        _render(name, config, rows, 0, rows.count, offsets, text)


def prompts(config: Config, rows: Rows, first: int, last: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Prompts of the rows first..last-1, as a column of `Texts`, whether or not the config asks for them."""
    asking = replace(config, columns=("prompt",))
    offsets, text = Texts(asking, last - first).columns["prompt"]
    _render("prompt", asking, rows, first, last, offsets, text)
    return offsets, text


def strings(offsets: np.ndarray[Any, Any], text: np.ndarray[Any, Any]) -> pa.Array:
    """A column of `Texts` as an Arrow array over the same memory, as many rows as there are offsets for."""
    import pyarrow as pa  # which who renders one example does without

    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]]))


def _render(name: str, config: Config, rows: Rows, first: int, last: int, offsets: Any, text: Any) -> None:
    program, places = _program(config)
    _fill(
        rows.chain_id[first:last],
        rows.offsets[first:],
        rows.trace_offsets[first:],
        rows.x,
        rows.y,
        rows.trace,
        *program,
        places[name],
        offsets,
        text,
    )


@lru_cache(maxsize=8)
def most(config: Config) -> dict[str, int]:
    """Of each column that the config asks for, the most bytes of a row, whatever numbers its trace holds."""
    grammar = config.grammar
    number = max(map(len, _numbers(config)))

    def size(item: Item, chain: Chain) -> int:
        """Of what stands at a place, with its blank."""
        heads = sum(map(len, _heads(chain, grammar)))
        steps = int(steps_before(len(chain), config.longest))
        match item.field:
            case "x" | "y":
                return number * config.longest
            case "depth":
                return number
            case "chain":
                return heads
            case "trace" if grammar.step:
                return heads + number * len(grammar.step) * steps + len(_comma(grammar)) * (steps - len(chain))
            case "trace":
                return heads
            case _:
                return len(_word(item, config))

    return {
        name: len(before) - 1 + max(sum(size(item, chain) for item in places) for chain in config.chains)
        for name, (before, places) in _templates(config).items()
    }


class Program(NamedTuple):
    """The tables as compiled code reads them. In a table, all texts have as many pieces; some of these are empty."""

    pieces: np.ndarray[Any, Any]
    """uint64[piece], of all tables: the size in the highest byte, the text from the lowest byte up."""
    width: int
    """Pieces of a number. The number v has those from v * width on, or at the end of a step, where a comma follows,
    from `lasts` + v * width on."""
    lasts: int
    pairs: int
    """The numbers a and b together have the piece `pairs` + (a | b << 8); 0 where they don't fit. -1: no such table."""
    heads: int
    """The head t has the `head_width` pieces from `heads` + t * head_width on."""
    head_width: int
    starts: np.ndarray[Any, Any]
    """int64[chain + 1]: of chain c, the heads starts[c] up to starts[c + 1]."""
    shifts: np.ndarray[Any, Any]
    """uint64[field]: where in a step code the fields begin that are shown."""
    comma: int
    """Bytes of a comma with its blank; 0 where steps show one number, and only the blank stands between them."""


WORD, X, Y, DEPTH, CHAIN, TRACE = range(6)
"""What a place can be."""

_FIELDS = {"x": X, "y": Y, "depth": DEPTH, "chain": CHAIN, "trace": TRACE}


@lru_cache(maxsize=8)
def _program(config: Config) -> tuple[Program, dict[str, np.ndarray[Any, Any]]]:
    """The tables, and of each column that the config asks for its places.

    Places are int64[place, 3]: what stands there, of WORD, X, ...; of a word, its first piece and how many there are.
    """
    grammar, numbers, comma = config.grammar, _numbers(config), _comma(config.grammar)
    lasts = [number + comma for number in numbers]
    heads = [head for chain in config.chains for head in _heads(chain, grammar)]
    width, bits = _width(lasts), _bits(config)
    paired = grammar.step == STEP and bits == 8 and 2 * max(map(len, numbers[: grammar.count])) <= PIECE

    tables = [_pieces(numbers, width)]

    def laid(table: np.ndarray[Any, Any]) -> int:
        """Where a table begins that is put behind the others."""
        tables.append(table)
        return sum(map(len, tables[:-1]))

    def place(item: Item) -> tuple[int, int, int]:
        return (_FIELDS[item.field], 0, 0) if item.field in _FIELDS else word(_word(item, config))

    def word(text: bytes) -> tuple[int, int, int]:
        return WORD, laid(_pieces([text], _width([text]))), _width([text])

    places = {
        name: np.array([word(before), *map(place, items)], np.int64)
        for name, (before, items) in _templates(config).items()
    }
    program = Program(
        width=width,
        lasts=laid(_pieces(lasts, width)),
        pairs=laid(_pairs(tables[0])) if paired else -1,
        heads=laid(_pieces(heads, _width(heads))),
        head_width=_width(heads),
        starts=np.cumsum([0, *map(len, config.chains)], dtype=np.int64),
        shifts=np.array([bits * (1 + STEP.index(name)) for name in grammar.step], np.uint64),
        comma=len(comma),
        pieces=np.concatenate(tables),
    )
    return program, places


def _templates(config: Config) -> dict[str, tuple[bytes, tuple[Item, ...]]]:
    """Of each column that the config asks for, what stands before the first place, and the places."""
    grammar = config.grammar
    templates = {"prompt": (grammar.preamble.encode(), grammar.prompt), "completion": (b" ", grammar.completion)}
    return {name: template for name, template in templates.items() if name in config.columns}


def _word(item: Item, config: Config) -> bytes:
    """A word of a template, or k, which is the same in all rows; with its blank."""
    grammar = config.grammar
    return f"{grammar.number(config.k) if item.field else grammar.words[item.word]} ".encode()


def _numbers(config: Config) -> list[bytes]:
    """Every number that a field of a step code can hold, and so all that there can be, with their blanks."""
    return [f"{config.grammar.number(value)} ".encode() for value in range(1 << _bits(config))]


def _bits(config: Config) -> int:
    """Of a field of a step code."""
    return code_dtype(config.k, config.longest).itemsize * 2


def _comma(grammar: Grammar) -> bytes:
    """What stands between the steps of a transformation, with its blank; nothing where they show one number each."""
    return f"{grammar.words[BETWEEN_STEPS]} ".encode() if len(grammar.step) > 1 else b""


def _heads(chain: Chain, grammar: Grammar) -> list[bytes]:
    """The heads of a chain with their blanks; before each but the first, what stands between transformations."""
    between = f"{grammar.words[BETWEEN_PARTS]} "
    return [f"{between if depth else ''}{grammar.head(head)} ".encode() for depth, head in enumerate(chain.heads)]


PIECE = 7
"""Bytes of text in a piece; the eighth is its size."""

_SIZE = np.uint64(8 * PIECE)
"""By how much a piece is shifted for that."""


def _width(texts: Sequence[bytes]) -> int:
    """How many pieces the longest of them has."""
    return -(-max(map(len, texts)) // PIECE)


def _pieces(texts: Sequence[bytes], width: int) -> np.ndarray[Any, Any]:
    """uint64[text * width]: the pieces of texts, `width` of each."""
    words = np.zeros((len(texts), width, PIECE + 1), np.uint8)
    laid_out = b"".join(text.ljust(PIECE * width, b"\0") for text in texts)
    words[..., :PIECE] = np.frombuffer(laid_out, np.uint8).reshape(len(texts), width, PIECE)
    sizes = np.array([[len(text)] for text in texts])
    words[..., PIECE] = (sizes - PIECE * np.arange(width)).clip(0, PIECE)
    return words.view("<u8").astype(np.uint64).ravel()


def _pairs(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint64[2^16]: at a | b << 8 the piece of the numbers a and b; 0 where they don't fit. `numbers`: their pieces."""
    a, b = (numbers[values] for values in (np.arange(2**16) & 255, np.arange(2**16) >> 8))
    sizes = (a >> _SIZE) + (b >> _SIZE)
    text = a & ((np.uint64(1) << _SIZE) - np.uint64(1)) | b << np.uint64(8) * (a >> _SIZE)
    text &= (np.uint64(1) << _SIZE) - np.uint64(1)
    return np.where(sizes <= PIECE, text | sizes << _SIZE, np.uint64(0))


@jit
def _fill(
    chain_id,
    offsets,
    trace_offsets,
    x,
    y,
    trace,
    pieces,
    width,
    lasts,
    pairs,
    heads,
    head_width,
    starts,
    shifts,
    comma,
    places,
    text_offsets,
    text,
):
    p = np.int64(0)
    for r in range(chain_id.size):
        first, last = starts[chain_id[r]], starts[chain_id[r] + 1]
        for place in range(places.shape[0]):
            kind = places[place, 0]
            if kind == WORD:
                p = _write(pieces, places[place, 1], places[place, 2], text, p)
            elif kind == X:
                if width == 1:
                    p = _write_vector(pieces, x, offsets[r], offsets[r + 1], width, text, p)
                else:
                    p = _write_wide_vector(pieces, x, offsets[r], offsets[r + 1], width, text, p)
            elif kind == Y:
                if width == 1:
                    p = _write_vector(pieces, y, offsets[r], offsets[r + 1], width, text, p)
                else:
                    p = _write_wide_vector(pieces, y, offsets[r], offsets[r + 1], width, text, p)
            elif kind == DEPTH:
                p = _write(pieces, (last - first) * width, width, text, p)
            elif kind == CHAIN:
                for t in range(first, last):
                    p = _write(pieces, heads + t * head_width, head_width, text, p)
            else:
                length = np.int64(offsets[r + 1] - offsets[r])
                for t in range(first, last):
                    p = _write(pieces, heads + t * head_width, head_width, text, p)
                    if shifts.size:
                        start = trace_offsets[r] + steps_before(t - first, length)
                        stop = trace_offsets[r] + steps_before(t - first + 1, length)
                        if pairs >= 0:
                            p = _write_pairs(pieces, trace, start, stop, lasts, pairs, text, p) - comma
                        else:
                            p = _write_steps(pieces, trace, start, stop, shifts, width, lasts, text, p) - comma
        p -= 1
        text_offsets[r + 1] = p


@jit
def _write(pieces, first, count, text, p):
    """Write `count` pieces at p; return where they end."""
    for i in range(np.uint64(first), np.uint64(first + count)):
        p = _write_piece(pieces[i], text, p)
    return p


@jit
def _write_piece(piece, text, p):
    store_word(text, p, piece)
    return p + np.int64(piece >> _SIZE)


@jit
def _write_vector(pieces, vector, start, stop, width, text, p):
    for i in range(np.uint64(start), np.uint64(stop)):
        p = _write_piece(pieces[np.uint64(vector[i])], text, p)
    return p


@jit
def _write_wide_vector(pieces, vector, start, stop, width, text, p):
    for i in range(np.uint64(start), np.uint64(stop)):
        p = _write(pieces, np.int64(vector[i]) * width, width, text, p)
    return p


@jit
def _write_pairs(pieces, trace, start, stop, lasts, pairs, text, p):
    """Steps of a, b and r."""
    lasts, pairs = np.uint64(lasts), np.uint64(pairs)
    for s in range(np.uint64(start), np.uint64(stop)):
        code = np.uint64(trace[s])
        pair = pieces[pairs + (code >> np.uint64(8) & np.uint64(0xFFFF))]
        if pair:
            p = _write_piece(pair, text, p)
        else:
            p = _write_piece(pieces[code >> np.uint64(8) & np.uint64(0xFF)], text, p)
            p = _write_piece(pieces[code >> np.uint64(16) & np.uint64(0xFF)], text, p)
        p = _write_piece(pieces[lasts + (code >> np.uint64(24))], text, p)
    return p


@jit
def _write_steps(pieces, trace, start, stop, shifts, width, lasts, text, p):
    """Steps of whatever fields."""
    mask = np.uint64((1 << 2 * trace.itemsize) - 1)
    final = shifts.size - 1
    for s in range(np.uint64(start), np.uint64(stop)):
        code = np.uint64(trace[s])
        for field in range(final):
            p = _write(pieces, np.int64(code >> shifts[field] & mask) * width, width, text, p)
        p = _write(pieces, lasts + np.int64(code >> shifts[final] & mask) * width, width, text, p)
    return p
