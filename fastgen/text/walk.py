"""The walk of `parse` over many rows, compiled, and the tables it knows a grammar by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fastgen.jit import jit
from fastgen.lanes import byte_at, int32_at, int64_at, set_int32, set_int64
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, BLANKS, FIELDS, Grammar, Item, glued
from fastgen.text.parse import (
    EMPTY,
    FEW_NUMBERS,
    FEW_STEPS,
    LARGEST,
    MANY_NUMBERS,
    MANY_STEPS,
    MISPLACED,
    MISSING,
    MOST_FAULTS,
    PROMPT,
    RANGE,
    SEPARATOR,
    TRAILING,
    TRANSFORMATION,
    TRUNCATED,
    UNKNOWN,
    spellings,
)
from fastgen.trace import steps_before

# Tables


BLANK, SIGN = 1, 2
END, WORD, NUMBER, HEAD, NONE, NAME = range(6)
"""Kinds of tokens: the end of the text, a word, a number, a head, none of them, a name that lacks its argument."""

# A lexicon is all that compiled code knows of a grammar, as one int64 array (of a tuple of arrays, each look-up would
# count references): class of each byte (BLANK, SIGN where a word of punctuation may begin, or 0); the word that a byte
# alone is, if no longer one begins with it; then, from SIZES on, sizes and where the tables below begin.
SINGLE, SIZES = 256, 512
COUNT, DECIMAL, COMMA, PART, WIDTH, STEPS_WORD, PARTS_WORD, SIGNS, SIGN_AT, MASK, SLOT_AT, ENTRIES, ENTRY_AT, HEADER = (
    range(SIZES, SIZES + 14)
)
"""COMMA, PART: the bytes that `,` and `;` are spelled with, where `_regular` can read; else MISSING. SIGN_AT: of words
of punctuation, the longest first: word, first byte, last. SLOT_AT: a hash table, half empty: entry, hash. ENTRY_AT:
every word, name and number word, in the order of their bytes: kind, value, first byte, last."""


@lru_cache(maxsize=8)
def lexicon(grammar: Grammar) -> np.ndarray[Any, Any]:
    """int64[...]: the words of a grammar, see SINGLE."""
    spelled = spellings(grammar)
    places = {word: i for i, word in enumerate(grammar.words)}
    entries = [(text, WORD, places[word]) for text, word in spelled.words.items()]
    entries += [(text, NUMBER, value) for text, value in (spelled.numbers or {}).items()]
    entries += [(text, NAME if record.argument else HEAD, record.code) for text, record in spelled.records.items()]
    entries.sort()
    size = 1 << (2 * len(entries)).bit_length()
    slots = np.full((size, 2), MISSING, np.int64)
    for i, (text, _, _) in enumerate(entries):
        hashed = HASH
        for byte in text:
            hashed = (hashed ^ byte) * HASH_PRIME % 2**64
        slot = hashed % size
        while slots[slot, 0] != MISSING:
            slot = (slot + 1) % size
        slots[slot] = i, np.uint64(hashed).astype(np.int64)
    signs = [(text, places[word]) for text, word in spelled.words.items() if glued(text.decode())]
    signs.sort(key=lambda sign: -len(sign[0]))
    head = np.full(HEADER, MISSING, np.int64)
    head[:SINGLE] = 0
    head[list(BLANKS.encode())] = BLANK
    for text, word in signs:
        head[text[0]] = SIGN
        if sum(other.startswith(text[:1]) for other, _ in signs) == len(text) == 1:
            head[SINGLE + text[0]] = word
    between = [grammar.words[word].encode()[0] for word in (BETWEEN_STEPS, BETWEEN_PARTS)]
    regular = spelled.numbers is None and len(grammar.step) == 3
    regular &= [head[SINGLE + byte] for byte in between] == [places[BETWEEN_STEPS], places[BETWEEN_PARTS]]
    sign_at, slot_at = HEADER, HEADER + 3 * len(signs)
    entry_at = slot_at + 2 * size
    letters = [text for text, _ in signs] + [text for text, _, _ in entries]
    edges = np.cumsum([entry_at + 4 * len(entries), *map(len, letters)])
    sign_rows = [(word, *edges[i : i + 2]) for i, (_, word) in enumerate(signs)]
    entry_rows = [(kind, value, *edges[i : i + 2]) for i, (_, kind, value) in enumerate(entries, len(signs))]
    head[COUNT:] = [
        *(grammar.count, spelled.numbers is None, *(between if regular else (MISSING, MISSING)), len(grammar.step)),
        *(places[BETWEEN_STEPS], places[BETWEEN_PARTS], len(signs), sign_at, size - 1, slot_at, len(entries), entry_at),
    ]
    tables = (np.array(rows, np.int64).ravel() for rows in (sign_rows, slots, entry_rows))
    return np.concatenate([head, *tables, np.frombuffer(b"".join(letters), np.uint8).astype(np.int64)])


@lru_cache(maxsize=16)
def template_table(grammar: Grammar, template: str) -> np.ndarray[Any, Any]:
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


# Compiled


HASH, HASH_PRIME = 14695981039346656037, 1099511628211
"""FNV-1a, 64 bits (Fowler, Noll, Vo)."""


@jit
def walk_rows(row, rows, data, places, lengths, chat, lexicon, template, items, columns, first_gap, found, edges, said):
    """Rows from `row` on, up to the end or to one for which an array may be too short; returns which that is.

    data, places: int64[row, 3] (where the row starts, where to begin, where it stops), lengths: int64[row, 3] (of the
    vectors, or MISSING; token and character at which the prompt is wrong), lexicon, template: int64[items, columns],
    found: int64[12] (addresses of the six arrays that grow, and how much each holds), edges and said are addresses.
    """
    for r in range(row, rows):
        start, begin, stop = int64_at(places, 3 * r), int64_at(places, 3 * r + 1), int64_at(places, 3 * r + 2)
        before, behind = edges + 48 * r, edges + 48 * (r + 1)
        for i in range(6):
            if int64_at(found, 6 + i) - int64_at(before, i) < (stop - start + 1 if i < 5 else MOST_FAULTS):
                return r
            set_int64(behind, i, int64_at(before, i))
        _walk_row(
            *(data, start, begin, stop, lengths + 24 * r, chat, lexicon, template, items, columns, first_gap),
            *(found, behind, said + 20 * r),
        )
        _to_characters(data, start, int64_at(found, 5), int64_at(before, 5), int64_at(behind, 5))
    return rows


@jit
def _to_characters(data, start, faults, first, last):
    """Positions of faults from bytes of `data` to characters of the row that begins at `start`."""
    characters, place = 0, start
    for fault in range(first, last):
        if int32_at(faults, 5 * fault) != PROMPT:
            stop = start + int32_at(faults, 5 * fault + 2)
            for i in range(place, stop):
                characters += (byte_at(data, i) & 0xC0) != 0x80
            place = max(place, stop)
            set_int32(faults, 5 * fault + 2, characters)


# What a row is being read for: a word of the template, a word further on, a vector, a head, a head after what is none,
# steps of several numbers, steps of one, nothing behind a head, the end.
IN_WORD, IN_SEARCH, IN_VECTOR, IN_HEAD, IN_RETRY, IN_LONG, IN_SHORT, IN_BARE, IN_END = range(9)
FIELD_X, FIELD_Y, FIELD_CHAIN, FIELD_TRACE, FIELD_DEPTH, FIELD_K = range(1, 1 + len(FIELDS))


@jit
def _state(template, places, columns, at):
    """What the place `at` of the template is read as."""
    if at == places:
        return IN_END
    field = int64_at(template, at * columns)
    if field == 0:
        return IN_WORD
    return IN_HEAD if field == FIELD_CHAIN or field == FIELD_TRACE else IN_VECTOR


@jit
def _add(faults, first, count, kind, token, start, depth, step):
    """Add a fault to those of a row, which begin at `first`, in the order of tokens; returns how many there are."""
    if count < MOST_FAULTS:
        at = 5 * (first + count)
        while at > 5 * first and int32_at(faults, at - 5) != PROMPT and int32_at(faults, at - 4) > token:
            for i in range(at, at + 5):
                set_int32(faults, i, int32_at(faults, i - 5))
            at -= 5
        set_int32(faults, at, kind)
        set_int32(faults, at + 1, token)
        set_int32(faults, at + 2, start)
        set_int32(faults, at + 3, depth)
        set_int32(faults, at + 4, step)
    return count + 1


@jit
def _walk_row(
    data, origin, begin, stop, asked, chat, lexicon, template, places, columns, first_gap, found, edges, said
):
    """One row, `data[begin:stop]`. `edges` come as they are before it and leave as they are behind it.

    Positions of faults are bytes from `origin` on here, but for that of a prompt that is wrong.
    """
    segments, numbers, xs = int64_at(found, 0), int64_at(found, 1), int64_at(found, 2)
    ys, chain, faults = int64_at(found, 3), int64_at(found, 4), int64_at(found, 5)
    length, wrong = int64_at(asked, 0), int64_at(asked, 1)
    segment, steps, n_x = int64_at(edges, 0), int64_at(edges, 1), int64_at(edges, 2)
    n_y, n_chain, first = int64_at(edges, 3), int64_at(edges, 4), int64_at(edges, 5)
    set_int32(said, 0, MISSING)
    set_int32(said, 1, MISSING)
    expected = MISSING if length < 0 else steps_before(1, length)
    count = 0 if wrong < 0 else _add(faults, first, 0, PROMPT, wrong, int64_at(asked, 2), MISSING, MISSING)
    at, seen, blanks, depth, step = 0, 0, 0, MISSING, MISSING
    field, width, chained, values, right = 0, 0, 0, 0, True  # of the field
    taken, bad, due, longer, over, over_start = 0, False, False, 0, MISSING, 0  # of the segment, or of the vector
    surplus, surplus_start = 0, 0
    token, kind, value, argument, place, start = MISSING, END, 0, MISSING, begin, begin
    saved = (0, 0, 0, 0, 0, 0, 0, False)
    state, enter, fetch, cut, odd = IN_WORD, True, True, False, False
    regular = int64_at(lexicon, COMMA) >= 0
    while True:
        if enter:
            state, enter = _state(template, places, columns, at), False
            if state in (IN_VECTOR, IN_HEAD):
                field = int64_at(template, at * columns)
                width = int64_at(lexicon, WIDTH) if field == FIELD_TRACE else 0
                seen |= 1 << (field - 1)
                chained, values, right, over = 0, 0, True, MISSING
        if fetch:
            at_step = state == IN_LONG and taken == 0 and not bad
            if regular and (at_step or (state == IN_HEAD and field == FIELD_TRACE)) and place + 1 < stop:
                following = byte_at(data, place + 1)
                digit = 48 <= following <= 57
                if byte_at(data, place) == 32 and (
                    digit if at_step else int64_at(lexicon, following) == 0 and not digit
                ):
                    opened = segment
                    place, tokens, segment, steps, longer, taken, expected = _regular(
                        *(data, place, stop, lexicon, expected, segments, numbers, segment, steps, longer, at_step)
                    )
                    token += tokens
                    if segment > opened or at_step:
                        chained += segment - opened - (not at_step)
                        state = IN_LONG if longer >= 0 else IN_HEAD
                        chained += longer < 0
                        longer = max(0, longer)
                        depth, step, due, bad = chained, longer, longer > 0, False
                        over = over if at_step and segment == opened else MISSING
            gap = place
            while place < stop and int64_at(lexicon, byte_at(data, place)) == BLANK:
                place += 1
            start, token = place, token + 1
            if place == stop:
                kind = END
            else:
                value = int64_at(lexicon, SINGLE + byte_at(data, place))
                if value >= 0:
                    kind, place = WORD, place + 1
                else:
                    kind, value, argument, place = _lex(data, place, stop, lexicon)
                if kind == NONE and place == stop and _begins_a_word(data, start, stop, lexicon):
                    kind, cut = END, True
            wanted = first_gap if token == 0 else 1
            odd = start - gap != wanted or (wanted == 1 and byte_at(data, gap) != 32)
            if kind != END:
                blanks += odd
            elif token == 0 and not cut:
                count = _add(faults, first, count, EMPTY, 0, start - origin, MISSING, MISSING)
                seen = 0
                break
            elif token > 0 and not chat:
                blanks += odd if cut else start != gap
        fetch = True
        end = int64_at(template, at * columns + 2 + value) if kind == WORD and state != IN_END else MISSING

        if state == IN_END:
            if kind != END:
                blanks -= odd
                if not chat:
                    count = _add(faults, first, count, TRAILING, token, start - origin, MISSING, MISSING)
            break

        if state == IN_WORD:
            if kind == END:
                break
            if kind == WORD and value == int64_at(template, at * columns + 1):
                at, enter = at + 1, True
            else:
                saved = (token, start, place, kind, value, argument, blanks, odd)
                state = IN_SEARCH
            continue

        if state == IN_SEARCH:
            if kind == WORD and value == int64_at(template, at * columns + 1):
                fault = UNKNOWN if saved[3] == NONE else MISPLACED
                count = _add(faults, first, count, fault, saved[0], saved[1] - origin, depth, step)
                at, enter = at + 1, True
            elif kind == END:
                token, start, place, kind, value, argument, blanks, odd = saved
                count = _add(faults, first, count, SEPARATOR, token, start - origin, depth, step)
                cut, fetch, at, enter = False, False, at + 1, True
            continue

        if state == IN_VECTOR:
            if kind != END and end < 0:
                if kind == WORD or kind == HEAD:
                    count = _add(faults, first, count, MISPLACED, token, start - origin, depth, step)
                    right = False
                    continue
                if kind == NONE:
                    count = _add(faults, first, count, UNKNOWN, token, start - origin, depth, step)
                    right, value = False, MISSING
                else:
                    if values == (length if field in (FIELD_X, FIELD_Y) else 1):
                        over, over_start = token, start
                    if value >= int64_at(lexicon, COUNT):
                        count = _add(faults, first, count, RANGE, token, start - origin, depth, step)
                if field == FIELD_X:
                    set_int32(xs, n_x, value)
                    n_x += 1
                elif field == FIELD_Y:
                    set_int32(ys, n_y, value)
                    n_y += 1
                elif values == 0:
                    set_int32(said, 0 if field == FIELD_DEPTH else 1, value)
                values += 1
                continue
            if right and over >= 0:
                count = _add(faults, first, count, MANY_NUMBERS, over, over_start - origin, depth, step)
            elif right and kind != END and values < (max(1, length) if field in (FIELD_X, FIELD_Y) else 1):
                count = _add(faults, first, count, FEW_NUMBERS, token, start - origin, depth, step)

        opens, op, given = False, 0, MISSING
        if state == IN_HEAD:
            depth, step = chained, MISSING
            if kind == HEAD:
                opens, op, given = True, value, argument
            elif kind == NUMBER:
                count = _add(faults, first, count, MISPLACED, token, start - origin, depth, step)
                opens, fetch = True, width == 0
            elif kind == NONE:
                count = _add(faults, first, count, TRANSFORMATION, token, start - origin, depth, step)
                state = IN_RETRY
                continue
            elif kind == WORD:
                count = _add(faults, first, count, MISPLACED, token, start - origin, depth, step)
                if end < 0:
                    continue
        elif state == IN_RETRY:
            opens, fetch = True, kind == HEAD
            if kind == HEAD:
                op, given = value, argument
        if opens:
            if field == FIELD_CHAIN:
                set_int64(chain, 2 * n_chain, op)
                set_int64(chain, 2 * n_chain + 1, given)
                n_chain += 1
            else:
                set_int64(segments, 3 * segment, op)
                set_int64(segments, 3 * segment + 1, given)
                set_int64(segments, 3 * segment + 2, steps)
                segment += 1
            taken, bad, due, longer, over = 0, False, False, 0, MISSING
            step = 0 if width > 0 else MISSING
            state = IN_BARE if width == 0 else IN_SHORT if width == 1 else IN_LONG
            continue

        closes = kind == END or end >= 0 or kind == HEAD or (kind == WORD and value == int64_at(lexicon, PARTS_WORD))
        if state == IN_LONG:
            if not closes and not (kind == WORD and value == int64_at(lexicon, STEPS_WORD)):
                if taken == 0 and not bad and longer == expected:
                    over, over_start = token, start
                if kind == NUMBER and not bad:
                    if value >= int64_at(lexicon, COUNT):
                        count = _add(faults, first, count, RANGE, token, start - origin, depth, step)
                    if taken == width:
                        surplus, surplus_start = token, start
                    if taken > 0 and taken % width == 0 and longer + taken // width == expected:
                        over, over_start = token, start
                    set_int32(numbers, width * (steps + longer) + taken, value)
                    taken += 1
                elif kind != NUMBER and not bad:
                    fault = UNKNOWN if kind == NONE else MISPLACED
                    count = _add(faults, first, count, fault, token, start - origin, depth, step)
                    bad = True
                continue
            if taken == 0 and not bad:
                if kind != END and (due or not closes):
                    count = _add(faults, first, count, MISPLACED, token, start - origin, depth, step)
            else:
                if bad:
                    taken = min(taken, width)
                elif taken < width and kind != END:
                    count = _add(faults, first, count, FEW_NUMBERS, token, start - origin, depth, step)
                elif taken > width:
                    fault = SEPARATOR if taken % width == 0 else MANY_NUMBERS
                    count = _add(faults, first, count, fault, surplus, surplus_start - origin, depth, step)
                    taken = taken if taken % width == 0 else width
                while taken == 0 or taken % width != 0:
                    set_int32(numbers, width * (steps + longer) + taken, MISSING)
                    taken += 1
                longer += taken // width
            taken, bad = 0, False
            if not closes:
                due, step = True, longer
                continue

        if state == IN_SHORT and not closes:
            step = longer
            if kind == WORD:
                count = _add(faults, first, count, MISPLACED, token, start - origin, depth, step)
                continue
            if longer == expected:
                over, over_start = token, start
            if kind == NONE:
                count = _add(faults, first, count, UNKNOWN, token, start - origin, depth, step)
                value = MISSING
            elif value >= int64_at(lexicon, COUNT):
                count = _add(faults, first, count, RANGE, token, start - origin, depth, step)
            set_int32(numbers, steps + longer, value)
            longer += 1
            continue

        if state == IN_BARE and not closes:
            if not bad:
                fault = UNKNOWN if kind == NONE else MISPLACED
                count = _add(faults, first, count, fault, token, start - origin, depth, step)
                bad = True
            continue

        if state in (IN_LONG, IN_SHORT, IN_BARE):
            if width > 0 and 0 <= expected < longer:
                step = expected
                count = _add(faults, first, count, MANY_STEPS, over, over_start - origin, depth, step)
            elif width > 0 and longer < max(1, expected) and kind != END:
                step = longer
                count = _add(faults, first, count, FEW_STEPS, token, start - origin, depth, step)
            elif width > 0 and expected < 0 and kind != END:
                expected = longer
            steps += longer
            chained += 1
            if kind != END and end < 0:
                state = IN_HEAD
                if kind == HEAD:
                    depth, step = chained, MISSING
                    count = _add(faults, first, count, SEPARATOR, token, start - origin, depth, step)
                    fetch = False
                continue

        if kind == END:
            break
        depth, step = MISSING, MISSING
        if end != at + 1:
            count = _add(faults, first, count, SEPARATOR, token, start - origin, depth, step)
        at, enter = end + 1, True

    if (token > 0 or cut) and at < places - (int64_at(template, (places - 1) * columns) != 0):
        count = _add(faults, first, count, TRUNCATED, token, start - origin, depth, step)
    set_int64(edges, 0, segment)
    set_int64(edges, 1, steps)
    set_int64(edges, 2, n_x)
    set_int64(edges, 3, n_y)
    set_int64(edges, 4, n_chain)
    set_int64(edges, 5, first + min(count, MOST_FAULTS))
    set_int32(said, 2, seen)
    set_int32(said, 3, count)
    set_int32(said, 4, blanks)


@jit
def _lex(text, start, stop, lexicon):
    """The token at `start`, which is no blank: (kind, value, argument, behind it)."""
    if int64_at(lexicon, byte_at(text, start)) == SIGN:
        word, behind = _sign(text, start, stop, lexicon)
        if behind > 0:
            return WORD, word, MISSING, behind
    place, value = start, 0
    if int64_at(lexicon, DECIMAL) == 1:
        while place < stop and 48 <= byte_at(text, place) <= 57:
            value = min(10 * value + byte_at(text, place) - 48, LARGEST)
            place += 1
        if place > start and _at_boundary(text, place, stop, lexicon):
            right = place == start + 1 or byte_at(text, start) != 48
            return (NUMBER if right else NONE), value, MISSING, place
    place, hashed = start, np.uint64(HASH)
    base, base_hashed = start, hashed
    while place < stop:
        if int64_at(lexicon, byte_at(text, place)) != 0 and _at_boundary(text, place, stop, lexicon):
            break
        hashed = (hashed ^ np.uint64(byte_at(text, place))) * np.uint64(HASH_PRIME)
        place += 1
        if not 48 <= byte_at(text, place - 1) <= 57:
            base, base_hashed = place, hashed
    entry = _entry(text, start, place, hashed, lexicon)
    if entry >= 0 and int64_at(lexicon, entry) != NAME:
        return int64_at(lexicon, entry), int64_at(lexicon, entry + 1), MISSING, place
    if start < base < place <= base + 18 and (place == base + 1 or byte_at(text, base) != 48):
        entry = _entry(text, start, base, base_hashed, lexicon)
        if entry >= 0 and int64_at(lexicon, entry) == NAME:
            argument = 0
            for i in range(base, place):
                argument = 10 * argument + byte_at(text, i) - 48
            return HEAD, int64_at(lexicon, entry + 1), argument, place
    return NONE, MISSING, MISSING, place


@jit
def _sign(text, start, stop, lexicon):
    """The longest word of punctuation that begins at `start`, and the place behind it; (MISSING, 0) where none does."""
    if int64_at(lexicon, SINGLE + byte_at(text, start)) >= 0:
        return int64_at(lexicon, SINGLE + byte_at(text, start)), start + 1
    for sign in range(int64_at(lexicon, SIGN_AT), int64_at(lexicon, SIGN_AT) + 3 * int64_at(lexicon, SIGNS), 3):
        if _spells(text, start, stop, lexicon, int64_at(lexicon, sign + 1), int64_at(lexicon, sign + 2)):
            return int64_at(lexicon, sign), start + int64_at(lexicon, sign + 2) - int64_at(lexicon, sign + 1)
    return MISSING, 0


@jit
def _at_boundary(text, place, stop, lexicon):
    """Whether no token that began before goes on at `place`."""
    if place == stop or int64_at(lexicon, byte_at(text, place)) == BLANK:
        return True
    return int64_at(lexicon, byte_at(text, place)) == SIGN and _sign(text, place, stop, lexicon)[1] > 0


@jit
def _spells(text, start, stop, lexicon, first, last):
    """Whether text[start:stop] begins with the letters lexicon[first:last]."""
    if last - first > stop - start:
        return False
    for i in range(last - first):
        if byte_at(text, start + i) != int64_at(lexicon, first + i):
            return False
    return True


@jit
def _entry(text, start, stop, hashed, lexicon):
    """Where in the lexicon the entry of these bytes is, or MISSING."""
    slot = np.int64(hashed) & int64_at(lexicon, MASK)
    while True:
        at = int64_at(lexicon, SLOT_AT) + 2 * slot
        if int64_at(lexicon, at) < 0:
            return MISSING
        entry = int64_at(lexicon, ENTRY_AT) + 4 * int64_at(lexicon, at)
        first, last = int64_at(lexicon, entry + 2), int64_at(lexicon, entry + 3)
        if int64_at(lexicon, at + 1) == np.int64(hashed) and last - first == stop - start:
            if _spells(text, start, stop, lexicon, first, last):
                return entry
        slot = (slot + 1) & int64_at(lexicon, MASK)


@jit
def _begins_a_word(text, start, stop, lexicon):
    """Whether the token that the text ends with is the beginning of a known one: entries are in the order of bytes."""
    low, high = 0, int64_at(lexicon, ENTRIES)
    while low < high:
        middle = (low + high) // 2
        entry = int64_at(lexicon, ENTRY_AT) + 4 * middle
        if _compare(text, start, stop, lexicon, int64_at(lexicon, entry + 2), int64_at(lexicon, entry + 3)) > 0:
            low = middle + 1
        else:
            high = middle
    for i in range(low, min(low + 2, int64_at(lexicon, ENTRIES))):  # the token itself may come first
        entry = int64_at(lexicon, ENTRY_AT) + 4 * i
        first, last = int64_at(lexicon, entry + 2), int64_at(lexicon, entry + 3)
        longer = last - first > stop - start or int64_at(lexicon, entry) == NAME
        if longer and last - first >= stop - start and _spells(text, start, stop, lexicon, first, first + stop - start):
            return True
    return False


@jit
def _compare(text, start, stop, lexicon, first, last):
    """Below, at, or above 0, as text[start:stop] comes before, is, or comes behind lexicon[first:last]."""
    for i in range(min(stop - start, last - first)):
        difference = byte_at(text, start + i) - int64_at(lexicon, first + i)
        if difference != 0:
            return difference
    return (stop - start) - (last - first)


@jit
def _regular(text, place, stop, lexicon, expected, segments, numbers, segment, steps, longer, at_step):
    """Read transformations and steps of three numbers as long as they are just as rendered, from the blank before one.

    Nothing is counted on the way, and no place kept but where the next token begins, which makes it seven times as fast
    as the walk over single tokens. Returns that place; how many tokens were read; then `segment`, `steps`, `longer`
    (MISSING: at a head), how many numbers of an unfinished step, and `expected`, all as they are there.
    """
    tokens = 0
    count, comma, part = int64_at(lexicon, COUNT), int64_at(lexicon, COMMA), int64_at(lexicon, PART)
    while True:
        if not at_step:
            if place + 1 >= stop or byte_at(text, place) != 32 or int64_at(lexicon, byte_at(text, place + 1)) != 0:
                return place, tokens, segment, steps, MISSING, 0, expected
            kind, op, argument, behind = _lex(text, place + 1, stop, lexicon)
            if kind != HEAD:
                return place, tokens, segment, steps, MISSING, 0, expected
            set_int64(segments, 3 * segment, op)
            set_int64(segments, 3 * segment + 1, argument)
            set_int64(segments, 3 * segment + 2, steps)
            place, tokens, segment, longer, at_step = behind, tokens + 1, segment + 1, 0, True
        if longer == expected:
            return place, tokens, segment, steps, longer, 0, expected
        a, behind = _short_number(text, place, stop)
        b, behind = _short_number(text, behind, stop)
        r, behind = _short_number(text, behind, stop)
        if behind == stop or a >= count or b >= count or r >= count:
            return place, tokens, segment, steps, longer, 0, expected
        at = 3 * (steps + longer)
        set_int32(numbers, at, a)
        set_int32(numbers, at + 1, b)
        set_int32(numbers, at + 2, r)
        following = byte_at(text, behind + 1) if behind + 1 < stop else 0
        if following == comma:
            place, tokens, longer = behind + 2, tokens + 4, longer + 1
        elif following == part and (expected < 0 or longer + 1 == expected):
            place, tokens, expected, at_step = behind + 2, tokens + 4, longer + 1, False
            steps += expected
        else:
            return behind, tokens + 3, segment, steps, longer, 3, expected


@jit
def _short_number(text, place, stop):
    """The number of up to three digits between the blank at `place` and the next, and where that is; else (0, stop).

    Branches rather than masks: nearly all numbers below 11 have one digit. (Eight bytes at a time, without branches,
    took 20 ns per step, this 9.)
    """
    if place + 2 >= stop or byte_at(text, place) != 32:
        return 0, stop
    value, following = byte_at(text, place + 1) - 48, byte_at(text, place + 2)
    if not 0 <= value <= 9:
        return 0, stop
    if following == 32:
        return value, place + 2
    if value == 0 or not 48 <= following <= 57 or place + 3 >= stop:
        return 0, stop
    value, following = 10 * value + following - 48, byte_at(text, place + 3)
    if following == 32:
        return value, place + 3
    if not 48 <= following <= 57 or place + 4 >= stop or byte_at(text, place + 4) != 32:
        return 0, stop
    return 10 * value + following - 48, place + 4


@jit
def pass_preambles(data, starts, stops, preamble, size):
    """Behind the `size` bytes of a preamble (at an address), where a text begins with it."""
    begins = starts.copy()
    for r in range(starts.size):
        if _begins_with(data, starts[r], stops[r], preamble, size):
            begins[r] += size
    return begins


@jit
def _begins_with(text, start, stop, other, size):
    """Whether the `size` bytes at the address `other` stand at text[start:stop]."""
    if size > stop - start:
        return False
    for i in range(size):
        if byte_at(text, start + i) != byte_at(other, i):
            return False
    return True


@jit
def pass_chat(data, starts, stops, prompts, prompt_starts, prompt_stops, lexicon, begins_with_head):
    """Where the answer in each text begins, see `parse`."""
    begins = starts.copy()
    for r in range(starts.size):
        prompt, size = prompts + prompt_starts[r], prompt_stops[r] - prompt_starts[r]
        begin = _behind_prompt(data, starts[r], stops[r], prompt, size, lexicon)
        if begin < 0:
            begin = starts[r]
            fence = _fence(data, starts[r], stops[r])
            if fence >= 0:
                behind = _behind_prompt(data, fence, stops[r], prompt, size, lexicon)
                begin = fence if behind < 0 else behind
        begins[r] = begin
        place = begin
        while begins_with_head:
            while place < stops[r] and int64_at(lexicon, byte_at(data, place)) == BLANK:
                place += 1
            if place == stops[r]:
                break
            kind, _, _, behind = _lex(data, place, stops[r], lexicon)
            if kind == HEAD:
                begins[r] = max(begin, place - (place > starts[r] and byte_at(data, place - 1) == 32))
                break
            place = behind
    return begins


@jit
def _behind_prompt(text, start, stop, prompt, size, lexicon):
    """Behind the prompt, if it stands at `start`, blanks aside; else MISSING."""
    while start < stop and int64_at(lexicon, byte_at(text, start)) == BLANK:
        start += 1
    return start + size if size > 0 and _begins_with(text, start, stop, prompt, size) else MISSING


@jit
def _fence(text, start, stop):
    """Behind the line of the first ```; MISSING where there is none."""
    while start + 3 <= stop:
        if byte_at(text, start) == 96 and byte_at(text, start + 1) == 96 and byte_at(text, start + 2) == 96:
            while start < stop and byte_at(text, start) != 10:
                start += 1
            return min(start + 1, stop)
        start += 1
    return MISSING
