"""The walk of `parse` over many rows, compiled: function by function what its reference does in fastgen/text/parse.py.

Its state is a record, the reader, which functions are given by address. What is just as rendered is read without it:
`_regular_head`, `_regular_steps` and `_regular_numbers` go on as long as they can, and leave the rest to the walk over
single tokens.

A reader of something begins where the token before it ends, and ends with the token behind it: that is the present one
then, which `_next` has read.
"""

from __future__ import annotations

import numpy as np

from fastgen.jit import jit
from fastgen.lanes import (
    byte_at,
    half_word_at,
    int32_at,
    int64_at,
    lowest_bit,
    set_int32,
    set_int64,
    within_at,
    word_at,
)
from fastgen.text.lexicon import (
    BLANK,
    DIGIT,
    END,
    FIELD_CHAIN,
    FIELD_DEPTH,
    FIELD_TRACE,
    FIELD_X,
    FIELD_Y,
    HASH,
    HASH_LONG,
    HEAD,
    LETTER,
    NAME,
    NONE,
    NUMBER,
    SIGN,
    SINGLE,
    SLOT_BITS,
    SLOTS,
    WORD,
)
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
)
from fastgen.trace import steps_before

# Compiled: a row


@jit
def walk_rows(row, readers, starts, begins, stops, lengths, wrong, edges, said):
    """Rows from `row` on, up to the end or to one for which an array may be too short; returns which that is.

    starts, begins, stops: int64[row]; lengths: int64[row], of the vectors, or MISSING, or int64[1] if they are alike;
    wrong: int64[row, 2], token and character at which the prompt is, or MISSING, or int64[0, 2] if none is. Fills
    edges: int64[row + 1, 6], which of FOUND are a row's, and said: int32[row, 5], SAID.
    """
    r = readers[0]
    for i in range(row, starts.size):
        most = stops[i] - starts[i] + 1
        room = min(r.segments_room - r.segments_used, r.numbers_room - r.numbers_used, r.x_room - r.x_used)
        room = min(room, r.y_room - r.y_used, r.chain_room - r.chain_used)
        if room < most or r.faults_room - r.faults_used < MOST_FAULTS:
            return i
        r.origin, r.at, r.stop = starts[i], begins[i], stops[i]
        r.length = lengths[min(i, lengths.size - 1)]
        r.depth_said, r.k_said, r.seen, r.count, r.blanks = MISSING, MISSING, 0, 0, 0
        r.kind, r.token, r.wanted, r.cut, r.depth, r.step = NONE, MISSING, r.first_gap, 0, MISSING, MISSING
        r.expected = MISSING if r.length < 0 else steps_before(1, r.length)
        if wrong.size > 0 and wrong[i, 0] >= 0:
            _fault_at(r, PROMPT, wrong[i, 0], r.origin + wrong[i, 1])
        _walk_row(r)
        if r.count > 0:
            _to_characters(r)
            r.faults_used += min(r.count, MOST_FAULTS)
        edges[i + 1, 0], edges[i + 1, 1], edges[i + 1, 2] = r.segments_used, r.numbers_used, r.x_used
        edges[i + 1, 3], edges[i + 1, 4], edges[i + 1, 5] = r.y_used, r.chain_used, r.faults_used
        said[i, 0], said[i, 1], said[i, 2], said[i, 3], said[i, 4] = r.depth_said, r.k_said, r.seen, r.count, r.blanks
    return starts.size


@jit
def _walk_row(r):
    """Walk the places of the template, and see what is behind them."""
    place = 0
    while place < r.places:
        row = r.template + 8 * r.columns * place
        r.field, r.ends = int64_at(row, 0), row + 16
        if r.field == 0:
            _find(r, int64_at(row, 1))
        else:
            r.seen |= 1 << (r.field - 1)
            if r.field == FIELD_CHAIN or r.field == FIELD_TRACE:
                _segments(r)
            else:
                _numbers(r)
        if r.kind == END:
            break
        place += 1
        if r.field > 0:
            r.depth, r.step = MISSING, MISSING
            if int64_at(r.ends, r.value) != place:
                _fault(r, SEPARATOR)
            place = int64_at(r.ends, r.value) + 1
    if place == r.places:
        if r.at < r.stop:
            _next(r)
            if r.kind != END:
                r.blanks -= r.odd
                if r.chat == 0:
                    _fault(r, TRAILING)
    elif r.token == 0 and r.cut == 0:
        r.depth, r.step, r.seen = MISSING, MISSING, 0
        _fault(r, EMPTY)
    elif place < r.places - 1 or r.field == 0:
        _fault(r, TRUNCATED)


@jit
def _find(r, word):
    """Pass a word of the template that no field ends at; where it is not there, stay."""
    at, before, blanks, wanted = r.at, r.token, r.blanks, r.wanted
    _next(r)
    if r.kind == END:
        return
    token, start, unknown = r.token, r.start, r.kind == NONE
    while r.kind != END and not (r.kind == WORD and r.value == word):
        _next(r)
    if r.kind == END:
        r.at, r.token, r.blanks, r.wanted, r.kind, r.cut = at, before, blanks, wanted, NONE, 0
        _fault_at(r, SEPARATOR, token, start)
    elif r.token > token:
        _fault_at(r, UNKNOWN if unknown else MISPLACED, token, start)


@jit
def _ends(r):
    """Whether the field ends here."""
    return r.kind == END or (r.kind == WORD and int64_at(r.ends, r.value) >= 0)


@jit
def _numbers(r):
    """A vector, or one number."""
    if r.field == FIELD_X:
        r.x_used += _vector(r, r.x + 4 * r.x_used, r.length)
    elif r.field == FIELD_Y:
        r.y_used += _vector(r, r.y + 4 * r.y_used, r.length)
    else:
        r.alone = MISSING
        _vector(r, 0, 1)
        if r.field == FIELD_DEPTH:
            r.depth_said = r.alone
        else:
            r.k_said = r.alone


@jit
def _vector(r, numbers, expected):
    """Read numbers to an address; of one that should stand alone, 0, only the first is kept. Returns how many."""
    values, right = 0, True
    r.over = MISSING
    while True:
        if numbers != 0 and r.decimal != 0:
            values = _regular_numbers(r, numbers, values, expected)
        _next(r)
        if _ends(r):
            break
        if r.kind == NUMBER:
            if values == expected:
                r.over, r.over_start = r.token, r.start
            if r.value >= r.most:
                _fault(r, RANGE)
        else:
            _bad(r)
            right = False
        if r.kind == NUMBER or r.kind == NONE:
            value = r.value if r.kind == NUMBER else MISSING
            if numbers != 0:
                set_int32(numbers, values, value)
            elif values == 0:
                r.alone = value
            values += 1
    if right and r.over >= 0:
        _fault_at(r, MANY_NUMBERS, r.over, r.over_start)
    elif right and r.kind != END and values < max(1, expected):
        _fault(r, FEW_NUMBERS)
    return values


@jit
def _segments(r):
    """A trace, or a chain, whose transformations have no steps."""
    width = r.width if r.field == FIELD_TRACE else 0
    regular = width > 0 and r.regular != 0
    depth, present = 0, False
    while True:
        r.steps, r.full = MISSING, 0
        if regular and not present and _follows(r, LETTER):
            depth = _regular_segments(r, depth)
        if r.steps < 0:
            r.depth, r.step = depth, MISSING
            if not present:
                _next(r)
            present = False
            while r.kind == WORD:
                _fault(r, MISPLACED)
                if int64_at(r.ends, r.value) >= 0:
                    return
                _next(r)
            if r.kind == END:
                return
            if r.kind == NUMBER:
                _fault(r, MISPLACED)
                present = width > 0
            elif r.kind == NONE:
                _fault(r, TRANSFORMATION)
                _next(r)
                present = r.kind != HEAD
            if r.kind == HEAD:
                _open(r, r.value, r.argument)
            else:
                _open(r, np.int64(0), np.int64(MISSING))
            r.steps = 0
        r.depth = depth
        if width == 0:
            _no_steps(r, present)
        else:
            _steps(r, width, regular, present)
        depth += 1
        if _ends(r):
            return
        present = r.kind == HEAD
        if present:
            r.depth, r.step = depth, MISSING
            _fault(r, SEPARATOR)


@jit
def _open(r, op, argument):
    """Begin a transformation."""
    if r.field == FIELD_CHAIN:
        set_int64(r.chain, 2 * r.chain_used, op)
        set_int64(r.chain, 2 * r.chain_used + 1, argument)
        r.chain_used += 1
    else:
        set_int64(r.segments, 3 * r.segments_used, op)
        set_int64(r.segments, 3 * r.segments_used + 1, argument)
        set_int64(r.segments, 3 * r.segments_used + 2, r.numbers_used)
        r.segments_used += 1


@jit
def _steps(r, width, regular, present):
    """The steps of one transformation, up to the separator behind it, the next head, or an end."""
    r.step = 0
    steps = _short_steps(r, present) if width == 1 else _long_steps(r, width, regular, present)
    if 0 <= r.expected < steps:
        r.step = r.expected
        _fault_at(r, MANY_STEPS, r.over, r.over_start)
    elif r.kind != END and steps < max(1, r.expected):
        r.step = steps
        _fault(r, FEW_STEPS)
    elif r.kind != END and r.expected < 0:
        r.expected = steps
    r.numbers_used += steps


@jit
def _segment_ends(r):
    if r.kind == WORD:
        return r.value == r.parts_word or int64_at(r.ends, r.value) >= 0
    return r.kind == HEAD or r.kind == END


@jit
def _no_steps(r, present):
    """What stands behind a head that should stand alone: one fault, however much it is."""
    if not present:
        _next(r)
    if not _segment_ends(r):
        _bad(r)
    while not _segment_ends(r):
        _next(r)


@jit
def _short_steps(r, present):
    """Steps of one number."""
    steps = 0
    while True:
        if not present:
            _next(r)
        present = False
        if _segment_ends(r):
            return steps
        r.step = steps
        if r.kind != WORD:
            if steps == r.expected:
                r.over, r.over_start = r.token, r.start
            set_int32(r.numbers, r.numbers_used + steps, r.value if r.kind == NUMBER else MISSING)
            steps += 1
        if r.kind != NUMBER:
            _bad(r)
        elif r.value >= r.most:
            _fault(r, RANGE)


@jit
def _long_steps(r, width, regular, present):
    """Steps of several numbers. Behind one that has a fault, the next is hardly regular: it is read token by token."""
    steps, full, due, count = r.steps, r.full, False, r.count
    while True:
        if regular and full == 0 and not present and r.count == count and _follows(r, DIGIT):
            steps = _regular_steps(r, steps)
            if r.full < 0:
                return steps
            full = r.full
        if not present:
            r.step = steps
            _next(r)
        present, column, bad, surplus, surplus_start, count = False, 0, False, 0, 0, r.count
        at = width * (r.numbers_used + steps + full)
        ended = _segment_ends(r)
        while not ended and not (r.kind == WORD and r.value == r.steps_word):
            if not bad:
                if column == 0 and steps + full == r.expected:
                    r.over, r.over_start = r.token, r.start
                if r.kind == NUMBER:
                    if r.value >= r.most:
                        _fault(r, RANGE)
                    if full == 1 and column == 0:
                        surplus, surplus_start = r.token, r.start
                    set_int32(r.numbers, at + column, r.value)
                    column += 1
                    if column == width:
                        full, column, at = full + 1, 0, at + width
                else:
                    _bad(r)
                    bad = True
            _next(r)
            ended = _segment_ends(r)
        if full == 0 and column == 0 and not bad:
            if r.kind != END and (due or steps > 0 or not ended):
                _fault(r, MISPLACED)
        else:
            if full == 0:
                if not bad and r.kind != END:
                    _fault(r, FEW_NUMBERS)
                for i in range(column, width):
                    set_int32(r.numbers, at + i, MISSING)
                full = 1
            elif bad:
                full = 1
            elif column > 0:
                _fault_at(r, MANY_NUMBERS, surplus, surplus_start)
                full = 1
            elif full > 1:
                _fault_at(r, SEPARATOR, surplus, surplus_start)
            steps += full
        if ended:
            return steps
        full, due = 0, True


# Compiled: faults


@jit
def _fault(r, kind):
    """Add a fault at the present token."""
    _fault_at(r, kind, r.token, r.start)


@jit
def _bad(r):
    """The fault of a token that does not belong here, whatever does."""
    _fault_at(r, UNKNOWN if r.kind == NONE else MISPLACED, r.token, r.start)


@jit
def _fault_at(r, kind, token, start):
    """Add a fault, in the order of tokens; its place is in bytes until the row is done.

    One that is found late stands behind those of its own transformation at most, so each of these is moved once.
    """
    if r.count < MOST_FAULTS:
        _keep_fault(r, kind, token, start)
    r.count += 1


@jit
def _keep_fault(r, kind, token, start):
    first = r.faults + 20 * r.faults_used
    at = 5 * r.count
    while at > 0 and int32_at(first, at - 4) > token and int32_at(first, at - 5) != PROMPT:
        for i in range(at, at + 5):
            set_int32(first, i, int32_at(first, i - 5))
        at -= 5
    set_int32(first, at, kind)
    set_int32(first, at + 1, token)
    set_int32(first, at + 2, start - r.origin)
    set_int32(first, at + 3, r.depth)
    set_int32(first, at + 4, r.step)


@jit
def _to_characters(r):
    """Positions of the row's faults from bytes to characters, but for that of a prompt that is wrong."""
    if _is_ascii(r):
        return
    first = r.faults + 20 * r.faults_used
    characters, place = 0, r.origin
    for fault in range(min(r.count, MOST_FAULTS)):
        if int32_at(first, 5 * fault) != PROMPT:
            stop = r.origin + int32_at(first, 5 * fault + 2)
            for i in range(place, stop):
                characters += (byte_at(r.text, i) & 0xC0) != 0x80
            place = max(place, stop)
            set_int32(first, 5 * fault + 2, characters)


@jit
def _is_ascii(r):
    """Whether every byte of the row is a character."""
    place, high = r.origin, 0
    while place + 8 <= r.stop:
        high |= word_at(r.text, place)
        place += 8
    for i in range(place, r.stop):
        high |= byte_at(r.text, i)
    return high & ASCII == 0


ASCII = 0x8080808080808080 - 2**64
"""The bits that are 0."""


# Compiled: tokens


@jit
def _next(r):
    """Read the next token, and count the blanks before it if there are others than should be."""
    gap, stop = r.at, r.stop
    start, kind = gap, BLANK
    while start < stop:
        kind = int64_at(r.classes, byte_at(r.text, start))
        if kind != BLANK:
            break
        start += 1
    odd = start - gap != r.wanted or (start > gap and byte_at(r.text, gap) != 32)
    r.odd, r.wanted, r.start, r.token = odd, 1, start, r.token + 1
    if kind >= SINGLE:
        r.kind, r.value, r.at = WORD, kind - SINGLE, start + 1
        r.blanks += odd
    elif start < stop:
        if kind == LETTER:
            if r.regular == 0 or not _head_at(r, start):
                _lex_letters(r, start)
        else:
            _lex(r, start, kind)
        if r.kind != NONE or r.at < stop or not _begins_a_token(r, start):
            r.blanks += odd
        else:
            _end(r, odd)
            r.cut = 1
    else:
        _end(r, start != gap)


@jit
def _end(r, odd):
    """Make the end of the text the present token."""
    r.kind = END
    if r.token > 0 and r.chat == 0:
        r.blanks += odd


@jit
def _lex(r, start, first):
    """Read the token at `start`, which begins with a byte of the class `first`, no blank."""
    if first >= SINGLE:
        r.kind, r.value, r.at = WORD, first - SINGLE, start + 1
        return
    if first == DIGIT:
        value, behind = byte_at(r.text, start) - 48, start + 1
        while behind < r.stop and int64_at(r.classes, byte_at(r.text, behind)) == DIGIT:
            value = min(10 * value + byte_at(r.text, behind) - 48, LARGEST)
            behind += 1
        if _at_boundary(r, behind):
            right = behind == start + 1 or byte_at(r.text, start) != 48
            r.kind, r.value, r.at = NUMBER if right else NONE, value, behind
            return
    elif first == SIGN:
        sign = _sign(r, start)
        if sign != 0:
            size = int64_at(sign, 2) - int64_at(sign, 1)
            r.kind, r.value, r.at = WORD, int64_at(sign, 0), start + size
            return
    _lex_letters(r, start)


@jit
def _lex_letters(r, start):
    """Read a token where neither a decimal number nor a word of punctuation begins, or none that ends there."""
    behind = start + 1
    while not _at_boundary(r, behind):
        behind += 1
    r.kind, r.at = NONE, behind
    entry = _entry(r, start, behind)
    if entry != 0 and int64_at(entry, 0) != NAME:
        r.kind, r.value, r.argument = int64_at(entry, 0), int64_at(entry, 1), int64_at(entry, 2)
        return
    base = behind
    while base > start and 48 <= byte_at(r.text, base - 1) <= 57:
        base -= 1
    if start < base < behind <= base + 18 and (behind == base + 1 or byte_at(r.text, base) != 48):
        entry = _entry(r, start, base)
        if entry != 0 and int64_at(entry, 0) == NAME:
            argument = 0
            for i in range(base, behind):
                argument = 10 * argument + byte_at(r.text, i) - 48
            r.kind, r.value, r.argument = HEAD, int64_at(entry, 1), argument


@jit
def _sign(r, start):
    """The address of the longest word of punctuation that begins at `start`, or 0."""
    for i in range(r.sign_count):
        sign = r.signs + 24 * i
        if _spells(r, start, r.stop, int64_at(sign, 1), int64_at(sign, 2)):
            return sign
    return 0


@jit
def _at_boundary(r, place):
    """Whether no token that began before goes on at `place`."""
    if place == r.stop:
        return True
    kind = int64_at(r.classes, byte_at(r.text, place))
    return kind >= BLANK and (kind != SIGN or _sign(r, place) != 0)


@jit
def _spells(r, start, stop, first, last):
    """Whether the text from `start` on, before `stop`, begins with the letters first..last - 1."""
    if last - first > stop - start:
        return False
    for i in range(last - first):
        if byte_at(r.text, start + i) != byte_at(r.letters, first + i):
            return False
    return True


@jit
def _entry(r, start, stop):
    """The address of the entry of a token, or 0."""
    size = stop - start
    low, high = _first_bytes(r, start, size)
    slot = (low + high * HASH_LONG) * HASH >> r.shift & r.mask
    while True:
        row = int64_at(r.slots, slot)
        if row < 0:
            return 0
        entry = r.entries + 56 * row
        if (int64_at(entry, 3) ^ low) | (int64_at(entry, 4) ^ high) == 0:
            first, last = int64_at(entry, 5), int64_at(entry, 6)
            if last - first == size and (size <= 16 or _spells(r, start, stop, first, last)):
                return entry
        slot = (slot + 1) & r.mask


@jit
def _first_bytes(r, start, size):
    """The first sixteen bytes of a token as two words; a word that it does not fill has its bytes at the upper end."""
    low, high = 0, 0
    if start + 16 <= r.limit:
        low, high = word_at(r.text, start), word_at(r.text, start + 8)
    else:
        for i in range(min(size, 16)):
            if i < 8:
                low |= byte_at(r.text, start + i) << 8 * i
            else:
                high |= byte_at(r.text, start + i) << 8 * (i - 8)
    return _cut(low, high, size)


@jit
def _cut(low, high, size):
    """Of two words, the first `size` bytes, at the upper ends."""
    return low << 8 * max(0, 8 - size), (high << (8 * max(0, 16 - size) & 63)) & -(size > 8)


@jit
def _begins_a_token(r, start):
    """Whether the text from `start` on is the beginning of a known token: entries are in the order of bytes."""
    low, high = 0, r.entry_count
    while low < high:
        middle = (low + high) // 2
        entry = r.entries + 56 * middle
        if _compare(r, start, int64_at(entry, 5), int64_at(entry, 6)) > 0:
            low = middle + 1
        else:
            high = middle
    size = r.stop - start
    for i in range(low, min(low + 2, r.entry_count)):  # the token itself may come first
        entry = r.entries + 56 * i
        first, last = int64_at(entry, 5), int64_at(entry, 6)
        longer = last - first > size or int64_at(entry, 0) == NAME
        if longer and last - first >= size and _spells(r, start, r.stop, first, first + size):
            return True
    return False


@jit
def _compare(r, start, first, last):
    """Below, at, or above 0, as the text from `start` on comes before, is, or comes behind letters first..last - 1."""
    for i in range(min(r.stop - start, last - first)):
        difference = byte_at(r.text, start + i) - byte_at(r.letters, first + i)
        if difference != 0:
            return difference
    return (r.stop - start) - (last - first)


# Compiled: what is just as rendered


@jit
def _follows(r, kind):
    """Whether a byte of a class is next, behind one more, and some behind it."""
    return r.at + 8 <= r.stop and int64_at(r.classes, byte_at(r.text, r.at + 1)) == kind


@jit
def _regular_segments(r, depth):
    """Read transformations; returns how many there are now.

    If one more has begun, `steps` and `full` say how much of it is read; else `steps` is MISSING.
    """
    while _regular_head(r):
        _open(r, r.value, r.argument)
        r.steps = _regular_steps(r, np.int64(0))
        if r.full >= 0:
            return depth
        if r.expected < 0:
            r.expected = r.steps
        elif r.steps < r.expected:
            r.depth, r.step = depth, r.steps
            _fault(r, FEW_STEPS)
        r.numbers_used += r.steps
        depth += 1
    r.steps, r.full = MISSING, 0
    return depth


@jit
def _regular_head(r):
    """Read a head of the graph between two blanks, if one is next."""
    start = r.at + 1
    if start > r.limit or byte_at(r.text, r.at) != 32 or not _head_at(r, start):
        return False
    r.token, r.start, r.odd, r.wanted = r.token + 1, start, 0, 1
    return True


@jit
def _head_at(r, start):
    """Read the head of the graph that begins at `start`, if there is one, and a blank behind it."""
    if start + 16 > r.limit:
        return False
    size = lowest_bit(within_at(r.text, start, 32, 32) | 1 << 16)
    if size == 0 or size == 16 or start + size >= r.stop:
        return False
    low, high = _cut(word_at(r.text, start), word_at(r.text, start + 8), size)
    head = r.heads + 40 * ((low + high) * r.multiplier >> 64 - SLOT_BITS & SLOTS - 1)
    if (int64_at(head, 0) ^ low) | (int64_at(head, 1) ^ high) | (int64_at(head, 4) ^ size) != 0:
        return False
    r.kind, r.value, r.argument, r.at = HEAD, int64_at(head, 2), int64_at(head, 3), start + size
    return True


ONE_DIGIT = int.from_bytes(b" 0 0 0 \0", "little")
"""A step of three numbers of one digit, from the blank before to the one behind it."""
SEPARATED = int.from_bytes(b"\xff\xf0\xff\xf0\xff\xf0\xff\0", "little")
"""Which bits of it are always the same."""


@jit
def _regular_steps(r, steps):
    """Read steps of three numbers of up to three digits, as long as they are just as rendered, and as many as expected.

    Returns how many steps there are now. `full` says whether in the one behind them the three numbers are read (1) or
    not (0), or is MISSING where the transformation has ended: the separator behind it is the present token.
    """
    text, at, stop, limit, most, expected = r.text, r.at, r.stop, r.limit, r.most, r.expected
    token, numbers = r.token, r.numbers + 12 * r.numbers_used
    more = (16 - min(most, 10)) * 0x010001000100
    full = 0
    while steps != expected and at + 8 <= stop:
        digits = word_at(text, at) ^ ONE_DIGIT
        if (digits | (digits + more)) & SEPARATED == 0:
            a, b, c, behind = digits >> 8 & 15, digits >> 24 & 15, digits >> 40 & 15, at + 6
        else:
            if at + 16 > limit or at < 2:
                break
            blanks, digits, zeros = (
                within_at(text, at, 32, 32),
                within_at(text, at, 48, 57),
                within_at(text, at, 48, 48),
            )
            second = blanks & (blanks - 1)
            third = second & (second - 1)
            fourth = third & (third - 1)
            i, j, behind = lowest_bit(second), lowest_bit(third), lowest_bit(fourth)
            wrong = ~(blanks | digits) | blanks & blanks << 1 | digits & digits << 1 & digits << 2 & digits << 3
            wrong |= zeros & blanks << 1 & digits >> 1
            if fourth == 0 or blanks & 1 == 0 or wrong & ((2 << behind) - 1) != 0:
                break
            behind += at
            a, b, c = _digits(text, at + i), _digits(text, at + j), _digits(text, behind)
            if a >= most or b >= most or c >= most or behind + 1 >= stop:
                break
        set_int32(numbers, 3 * steps, a)
        set_int32(numbers, 3 * steps + 1, b)
        set_int32(numbers, 3 * steps + 2, c)
        following = byte_at(text, behind + 1)
        if following == r.comma:
            at, token, steps = behind + 2, token + 4, steps + 1
        elif following == r.part:
            at, token, steps, full = behind + 2, token + 4, steps + 1, MISSING
            r.kind, r.value, r.start = WORD, r.parts_word, behind + 1
            break
        else:
            at, token, full = behind, token + 3, 1
            break
    r.at, r.token, r.full = at, token, full
    return steps


@jit
def _digits(text, behind):
    """The number of one to three digits between a blank and the place `behind` it.

    The low half of a blank is 0, as if of a digit that is not there. What stands before that blank is no digit of it.
    """
    digits = half_word_at(text, behind - 4)
    hundreds = (digits >> 8 & 15) * (digits >> 20 & 1)
    return 100 * hundreds + 10 * (digits >> 16 & 15) + (digits >> 24 & 15)


@jit
def _regular_numbers(r, numbers, values, expected):
    """Read numbers of up to three digits between blanks, as many as expected; returns how many values there are."""
    text, at, stop, most, before = r.text, r.at, r.stop, r.most, values
    while values != expected:
        value, behind = _between_blanks(text, at, stop)
        if value >= most:
            break
        set_int32(numbers, values, value)
        at, values = behind, values + 1
    r.at, r.token = at, r.token + values - before
    return values


@jit
def _between_blanks(text, place, stop):
    """The number of up to three digits between the blank at `place` and the next, and where that is; else LARGEST."""
    if place + 2 >= stop or byte_at(text, place) != 32:
        return LARGEST, stop
    value, following = byte_at(text, place + 1) - 48, byte_at(text, place + 2)
    if not 0 <= value <= 9:
        return LARGEST, stop
    if following == 32:
        return value, place + 2
    if value == 0 or not 48 <= following <= 57 or place + 3 >= stop:
        return LARGEST, stop
    value, following = 10 * value + following - 48, byte_at(text, place + 3)
    if following == 32:
        return value, place + 3
    if not 48 <= following <= 57 or place + 4 >= stop or byte_at(text, place + 4) != 32:
        return LARGEST, stop
    return 10 * value + following - 48, place + 4


# Compiled: where texts begin


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
def pass_chat(readers, starts, stops, prompts, prompt_starts, prompt_stops, begins_with_head):
    """Where the answer in each text begins, see `parse`."""
    r, begins = readers[0], starts.copy()
    for i in range(starts.size):
        r.stop = stops[i]
        prompt, size = prompts + prompt_starts[i], prompt_stops[i] - prompt_starts[i]
        begin = _behind_prompt(r, starts[i], prompt, size)
        if begin < 0:
            begin = starts[i]
            fence = _fence(r, begin)
            if fence >= 0:
                behind = _behind_prompt(r, fence, prompt, size)
                begin = fence if behind < 0 else behind
        begins[i] = begin
        while begins_with_head:
            while begin < r.stop and int64_at(r.classes, byte_at(r.text, begin)) == BLANK:
                begin += 1
            if begin == r.stop:
                break
            _lex(r, begin, int64_at(r.classes, byte_at(r.text, begin)))
            if r.kind == HEAD:
                begins[i] = max(begins[i], begin - (begin > starts[i] and byte_at(r.text, begin - 1) == 32))
                break
            begin = r.at
    return begins


@jit
def _behind_prompt(r, start, prompt, size):
    """Behind the prompt, if it stands at `start`, blanks aside; else MISSING."""
    while start < r.stop and int64_at(r.classes, byte_at(r.text, start)) == BLANK:
        start += 1
    return start + size if size > 0 and _begins_with(r.text, start, r.stop, prompt, size) else MISSING


@jit
def _fence(r, start):
    """Behind the line of the first ```; MISSING where there is none."""
    while start + 3 <= r.stop:
        if byte_at(r.text, start) == 96 and byte_at(r.text, start + 1) == 96 and byte_at(r.text, start + 2) == 96:
            while start < r.stop and byte_at(r.text, start) != 10:
                start += 1
            return min(start + 1, r.stop)
        start += 1
    return MISSING
