"""What compiled code knows of a grammar: its words and templates as tables, and the state of the walk over a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, BLANKS, FIELDS, Grammar, Item, glued
from fastgen.text.parse import MISSING, read_token, spellings

END, WORD, NUMBER, HEAD, NONE, NAME = range(6)
"""Kinds of tokens: the end of the text, a word, a number, a head, none of them, a name that lacks its argument."""

LETTER, DIGIT, BLANK, SIGN, SINGLE = range(5)
"""Classes of bytes: a word of punctuation may begin with a SIGN, and is one from SINGLE on: then it is the word whose
place is behind that. Where numbers are words, digits are letters."""

FIELD_X, FIELD_Y, FIELD_CHAIN, FIELD_TRACE, FIELD_DEPTH, FIELD_K = range(1, 1 + len(FIELDS))

SLOT_BITS = 8
"""Of a place among the slots for up to sixteen heads of a graph."""

SLOTS = 1 << SLOT_BITS

HASH, HASH_LONG = 0x9E3779B97F4A7C15 - 2**64, 0xC2B2AE3D27D4EB4F - 2**64
"""Odd, and otherwise arbitrary; see `_entry`. Of a product the highest bits count: where words differ only at the end,
which stands at the upper end, all lower bits are the same."""


class Lexicon(NamedTuple):
    """All that compiled code knows of the words of a grammar."""

    classes: np.ndarray[Any, Any]
    """int64[byte]"""
    signs: np.ndarray[Any, Any]
    """int64[sign, 3], the longest first: which word, first of its letters, the one behind the last"""
    slots: np.ndarray[Any, Any]
    """int64[slot]: a hash table, at most half full, of rows of `entries`"""
    entries: np.ndarray[Any, Any]
    """int64[entry, 7], words, names, heads of the graph and number words in the order of their bytes: kind, value,
    argument, the first eight bytes and the eight behind them as `_first_bytes` gives them, letters as in `signs`"""
    letters: np.ndarray[Any, Any]
    """uint8[letter]"""
    heads: np.ndarray[Any, Any]
    """int64[slot, 5], of the graph's heads, each in a slot of its own: the first bytes, op, argument, size"""
    multiplier: int
    """What these bytes are hashed with, see `_head_at`."""


def _lexicon(grammar: Grammar) -> Lexicon:
    """The tables of a grammar."""
    spelled, places = spellings(grammar), {word: i for i, word in enumerate(grammar.words)}
    meanings = {text: (WORD, places[word], MISSING) for text, word in spelled.words.items()}
    meanings |= {text: (NUMBER, value, MISSING) for text, value in (spelled.numbers or {}).items()}
    for text, record in spelled.records.items():
        meanings[text] = NAME if record.argument else HEAD, record.code, MISSING
    heads = {}
    for text in (grammar.head(head).encode() for head in grammar.heads):
        if (token := read_token(text, 0, spelled)).kind == "head":
            op, argument, _ = token.value
            heads[text] = op, MISSING if argument is None else argument
            meanings[text] = HEAD, *heads[text]
    texts = sorted(meanings)
    signs = sorted((text for text in spelled.words if glued(text.decode())), key=len, reverse=True)
    letters = b"".join([*signs, *texts])
    edges = np.cumsum([0, *map(len, [*signs, *texts])]).tolist()

    classes = np.full(256, LETTER, np.int64)
    classes[list(BLANKS.encode())] = BLANK
    if spelled.numbers is None:
        classes[list(b"0123456789")] = DIGIT
    for text in signs:
        alone = len(text) == 1 and sum(other.startswith(text) for other in signs) == 1
        classes[text[0]] = SINGLE + places[spelled.words[text]] if alone else SIGN

    bits = (2 * len(texts)).bit_length()
    entries, slots = [], np.full(1 << bits, MISSING, np.int64)
    for i, text in enumerate(texts):
        low, high = _first_words(text)
        slot = (low + high * HASH_LONG) * HASH % 2**64 >> 64 - bits
        while slots[slot] != MISSING:
            slot = (slot + 1) % len(slots)
        slots[slot] = i
        at = edges[len(signs) + i :]
        entries.append((*meanings[text], *np.array([low, high], np.uint64).astype(np.int64), *at[:2]))
    sign_rows = [(places[spelled.words[text]], *edges[i : i + 2]) for i, text in enumerate(signs)]
    in_slots, multiplier = _in_slots(heads)
    return Lexicon(
        classes=classes,
        signs=np.array(sign_rows, np.int64),
        slots=slots,
        entries=np.array(entries, np.int64),
        letters=np.frombuffer(letters, np.uint8),
        heads=in_slots,
        multiplier=multiplier,
    )


def _first_words(text: bytes) -> tuple[int, int]:
    """The first eight bytes and the next eight, as `_first_bytes` gives them."""
    low, high = text[:8], text[8:16]
    return int.from_bytes(low.rjust(8, b"\0"), "little"), int.from_bytes(high.rjust(8, b"\0"), "little")


def _in_slots(meanings: dict[bytes, tuple[int, int]]) -> tuple[np.ndarray[Any, Any], int]:
    """`heads` of a Lexicon, and the multiplier that keeps them apart; one that finds no slot is left to `entries`."""
    heads, multiplier = np.zeros((SLOTS, 5), np.int64), 1
    for multiplier in range(HASH % 2**64, HASH % 2**64 + 2000, 2):
        slots = {sum(_first_words(text)) * multiplier % 2**64 >> 64 - SLOT_BITS: text for text in meanings}
        if len(slots) == len(meanings):
            break
    for slot, text in slots.items():
        if len(text) <= 16:
            heads[slot] = *np.array(_first_words(text), np.uint64).astype(np.int64), *meanings[text], len(text)
    return heads, multiplier - 2**64


def _template(grammar: Grammar, template: str) -> np.ndarray[Any, Any]:
    """int64[place, 2 + word]: which field, or 0 for a word; that word, or MISSING; where a field ends at each word.

    Fields count from 1; a field that meets a word ends at that place, or, at MISSING, does not.
    """
    places: Sequence[Item] = getattr(grammar, template)
    words = list(grammar.words)
    table = np.full((len(places), 2 + len(words)), MISSING, np.int64)
    for i, item in enumerate(places):
        table[i, 0] = 1 + FIELDS.index(item.field) if item.field else 0
        table[i, 1] = words.index(item.word) if item.word else MISSING
        for j in reversed(range(i + 1, len(places))):
            inside = item.field in ("trace", "chain") and places[j].word in (BETWEEN_STEPS, BETWEEN_PARTS)
            if item.field and places[j].word and not inside:
                table[i, 2 + words.index(places[j].word)] = j
    return table


FOUND = ("segments", "numbers", "x", "y", "chain", "faults")
"""What there are several of per row. In a reader, by these names, the addresses of the arrays that take them: int64
[segment, 3] (op, argument, first step), int32[step, width], int32[element] twice, int64[transformation, 2] (op,
argument), int32[fault, 5] (kind, token, character, depth, step)."""

ROOMS = tuple(f"{name}_room" for name in FOUND)
"""How many each of these holds, steps for numbers."""

USED = tuple(f"{name}_used" for name in FOUND)
"""How many there are so far."""

SAID = ("depth_said", "k_said", "seen", "count", "blanks")
"""What there is one of per row: two numbers, which fields (bit i for FIELDS[i]), how many faults, how many blanks."""

_GRAMMAR = (
    *("classes", "signs", "sign_count", "slots", "mask", "shift"),  # a Lexicon: addresses and sizes
    *("entries", "entry_count", "letters", "heads", "multiplier"),
    *("template", "places", "columns", "first_gap"),  # a table, its shape, and how many blanks a text begins with
    *("most", "width", "decimal"),  # numbers are below `most`; so many are a step; whether they have digits
    *("steps_word", "parts_word"),
    *("regular", "comma", "part"),  # whether steps are three numbers, decimal, between these bytes
)
_TEXT = (
    *("text", "limit"),  # its address and all its bytes
    *("origin", "stop", "chat"),  # where a row starts and stops
)
_PLACE = (
    *("at", "wanted"),  # behind the present token; how many blanks are due there
    *("token", "start", "kind", "value", "argument"),  # the present one
    *("odd", "cut"),  # whether other blanks stand before it; whether it is the beginning of one
    *("depth", "step"),
    *("field", "ends"),  # that is read, and the words at which it ends
    *("length", "expected"),  # of vectors; of the steps of a transformation
    *("over", "over_start"),  # the token with which they become too many
    "alone",  # a number that should stand alone
    *("steps", "full"),  # of a transformation that is read in part, see `_regular_steps`
)
READER = np.dtype([(name, np.int64) for name in (*_GRAMMAR, *_TEXT, *_PLACE, *FOUND, *ROOMS, *USED, *SAID)])


class Tables(NamedTuple):
    """All that compiled code knows of a grammar and one of its templates."""

    lexicon: Lexicon
    template: np.ndarray[Any, Any]
    reader: np.ndarray[Any, Any]
    """READER[1], to be copied: it holds addresses in the others, which have to live as long."""


@lru_cache(maxsize=16)
def tables(grammar: Grammar, template: str) -> Tables:
    """Those of `prompt` or `completion`."""
    known, table, words = _lexicon(grammar), _template(grammar, template), list(grammar.words)
    between = [grammar.words[word].encode() for word in (BETWEEN_STEPS, BETWEEN_PARTS)]
    places = [words.index(word) for word in (BETWEEN_STEPS, BETWEEN_PARTS)]
    made = np.zeros(1, READER)
    values = {
        **{name: value if name == "multiplier" else value.ctypes.data for name, value in known._asdict().items()},
        "sign_count": len(known.signs),
        "mask": len(known.slots) - 1,
        "shift": 65 - len(known.slots).bit_length(),
        "entry_count": len(known.entries),
        "template": table.ctypes.data,
        "places": len(table),
        "columns": table.shape[1],
        "first_gap": template == "completion",
        "most": grammar.count,
        "width": len(grammar.step),
        "decimal": grammar.number_words is None,
        "steps_word": places[0],
        "parts_word": places[1],
        "regular": len(grammar.step) == 3
        and grammar.number_words is None
        and all(known.classes[word[0]] == SINGLE + place for word, place in zip(between, places, strict=True)),
        "comma": between[0][0],
        "part": between[1][0],
    }
    for name, value in values.items():
        made[name] = value
    return Tables(known, table, made)
