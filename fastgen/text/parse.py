"""Text back to steps: of whatever a model wrote, the transformations, their steps, and the faults with their places.

What is a token, on bytes: the longest word of punctuation alone that begins here (`,` in `1,`); else all up to the next
blank, or to where such a word begins. What a token is follows from the grammar: a word, a number, a head, or unknown.

Then the template is walked, place by place. A field ends at the word behind it. Within {trace} and {chain}:
- A transformation begins with a head. Where none stands, its code is 0, and its steps are read all the same.
- A step has the numbers of `text.step`; those that are not there are MISSING. A token that is no number spoils its
  step: the rest of it, up to the next separator, is skipped. Where a step is one number there are no separators: then
  such a token, if it is unknown, stands for a number that is MISSING.
- Numbers past the last of a step: if all of them fill whole steps, separators are missing; else they are dropped.
- A second separator in a row, an end where a transformation belongs, a word from elsewhere: misplaced, and dropped.
A text that ends before its last word is truncated, and what is unfinished then is no fault of its own. Faults are in
the order of their tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, BLANKS, Grammar, Item, glued
from fastgen.trace import steps_before

MISSING = -1
"""A number that is not there."""

MOST_FAULTS = 64
"""Faults of one text that are kept; more are only counted."""

LARGEST = 2**31 - 1
"""Numbers above it are read as this one."""

FAULTS = (
    "",
    "unknown token",
    "misplaced token",
    "number out of range",
    "unknown transformation",
    "too few numbers",
    "too many numbers",
    "too few steps",
    "too many steps",
    "missing separator",
    "truncated",
    "trailing text",
    "empty",
    "prompt",
)
"""Kinds of faults; the place is the code in a `Batch`. `prompt`: the prompt that was given is none of this grammar."""

# int64 of NumPy rather than int: Numba would compile what takes one once for each of them.
_, UNKNOWN, MISPLACED, RANGE, TRANSFORMATION, FEW_NUMBERS, MANY_NUMBERS, *_rest = np.arange(len(FAULTS))
FEW_STEPS, MANY_STEPS, SEPARATOR, TRUNCATED, TRAILING, EMPTY, PROMPT = _rest


class Fault(NamedTuple):
    """A place where a text leaves the grammar."""

    kind: str
    """One of FAULTS."""
    token: int
    """Which token it is, from 0; behind the last where something is missing there."""
    character: int
    """Where that begins; in bytes that are not UTF-8, every byte but 0x80-0xBF counts."""
    depth: int | None
    """In which transformation of the chain."""
    step: int | None
    """In which of its steps."""


class Segment(NamedTuple):
    """A transformation as it was written, with its steps."""

    op: int
    """Its code; 0 where it has no head that is known."""
    argument: int | None
    head: str
    """As it is called elsewhere; empty where it is not known."""
    steps: tuple[tuple[int, ...], ...]
    """The fields of `text.step`, or MISSING."""


@dataclass(frozen=True)
class Parsed:
    """What a text says. Fields that neither text nor prompt has are None."""

    x: tuple[int, ...] | None
    y: tuple[int, ...] | None
    depth: int | None
    k: int | None
    chain: tuple[str, ...] | None
    """Heads, empty where unknown."""
    segments: tuple[Segment, ...]
    faults: tuple[Fault, ...]
    """At most MOST_FAULTS, in the order of their tokens."""
    fault_count: int
    blanks: int
    """Places where not exactly the blanks of the grammar stand."""

    @property
    def whole(self) -> bool:
        """Whether the text keeps to the grammar, but for blanks."""
        return not self.fault_count


# The reference


def parse(text: str | bytes, config: Config, prompt: str | bytes | None = None, chat: bool = False) -> Parsed:
    """What a completion says, whatever it holds; nothing is raised. `prompt` gives x, y, ... and the number of steps.

    How many steps a transformation has is asked of the prompt's x, else of the config if all its vectors have one
    length, else of the first transformation. With `chat`, what a chat model puts around its answer is skipped: the
    prompt repeated, at the beginning or behind the line of a first ```; where the completion begins with a head, all
    before the first one; and all behind the last word. (An answer before the first ``` is not found.)
    """
    return parse_places(text, config, prompt, chat)[0]


class Places(NamedTuple):
    """Where in a text that was parsed stands what, in bytes."""

    tokens: tuple[tuple[int, int], ...]
    """Start and stop of each."""
    steps: dict[tuple[int, int], tuple[int, int]]
    """(depth, step) -> start and stop. Step HEAD is the head; depth ANSWER and a place in y an element of it."""


HEAD = ANSWER = -1


def parse_places(
    text: str | bytes, config: Config, prompt: str | bytes | None = None, chat: bool = False
) -> tuple[Parsed, Places]:
    """`parse`, and where it stands.

    >>> from fastgen.doors import compose
    >>> text = " sort 0 1 1 , 1 3 1 , 2 0 3 , 3 2 4 ; add3 1 3 4 , 1 3 4 , 3 3 6 , 4 3 7 ."
    >>> parsed, places = parse_places(text, compose("length=4"), "3 1 4 1 -> 4 4 6 7 :")
    >>> parsed.segments[1].steps[2], text[slice(*places.steps[1, 2])], text[slice(*places.steps[1, HEAD])]
    ((3, 3, 6), '3 3 6', 'add3')
    """
    grammar = config.grammar
    given = None if prompt is None else _read(_bytes(prompt), _prompt_start(_bytes(prompt), grammar), grammar, "prompt")
    known = given.fields if given and not given.faults else {}
    length = len(known["x"]) if "x" in known else one_length(config)
    data = _bytes(text)
    start = _answer_start(data, b"" if prompt is None else _bytes(prompt), grammar) if chat else 0
    read = _read(data, start, grammar, "completion", length, chat)
    if given and given.faults:
        first = min(given.faults[:MOST_FAULTS], key=lambda fault: fault.token)
        read.faults.insert(0, first._replace(kind=FAULTS[PROMPT], depth=None, step=None))
        read.count += 1
    fields = {**known, **read.fields}
    chain = fields.get("chain")
    edges = tuple((token.start, token.stop) for token in read.tokens)
    places = Places(edges, {key: (edges[a][0], edges[b - 1][1]) for key, (a, b) in read.where.items()})
    parsed = Parsed(
        x=fields.get("x"),
        y=fields.get("y"),
        depth=fields.get("depth"),
        k=fields.get("k"),
        chain=None if chain is None else tuple(segment.head for segment in chain),
        segments=fields.get("trace", ()),
        faults=tuple(sorted(read.faults[:MOST_FAULTS], key=lambda fault: (fault.kind != FAULTS[PROMPT], fault.token))),
        fault_count=read.count,
        blanks=read.blanks(b" ", chat),
    )
    return parsed, places


class _Token(NamedTuple):
    kind: str
    """word, number, head, unknown"""
    value: Any
    """The word as templates have it; the number; (op, argument, head); None."""
    start: int
    stop: int


@lru_cache(maxsize=8)
def _pattern(grammar: Grammar) -> re.Pattern[bytes]:
    signs = sorted((word.encode() for word in grammar.words.values() if glued(word)), key=len, reverse=True)
    any_sign = b"|".join(map(re.escape, signs))
    blanks = re.escape(BLANKS.encode())
    return re.compile(b"%s|(?:%s[^%s])+" % (any_sign or b"(?!)", b"(?!%s)" % any_sign if signs else b"", blanks))


def tokens_of(text: bytes, grammar: Grammar) -> list[_Token]:
    """The tokens of a text, with their places in it."""
    spelled = spellings(grammar)
    return [read_token(match[0], match.start(), spelled) for match in _pattern(grammar).finditer(text)]


class Spellings(NamedTuple):
    """By their spelling: the words, the numbers (None: decimal), the records."""

    words: dict[bytes, str]
    numbers: dict[bytes, int] | None
    records: dict[bytes, Any]


@lru_cache(maxsize=8)
def spellings(grammar: Grammar) -> Spellings:
    """Those of a grammar."""
    from fastgen.transforms import RECORDS

    numbers = None
    if grammar.number_words is not None:
        numbers = {grammar.number(value).encode(): value for value in range(len(grammar.number_words))}
    words = {spelling.encode(): word for word, spelling in grammar.words.items()}
    return Spellings(words, numbers, {spelling.encode(): RECORDS[name] for name, spelling in grammar.names.items()})


_DECIMAL = re.compile(rb"0|[1-9][0-9]*")
_ARGUMENT = re.compile(rb"(.*[^0-9])(0|[1-9][0-9]{0,17})?", re.DOTALL)


def read_token(text: bytes, start: int, spelled: Spellings) -> _Token:
    """What the token `text` is, which begins at `start`."""
    words, numbers, records = spelled
    stop = start + len(text)
    if text in words:
        return _Token("word", words[text], start, stop)
    if numbers is not None and text in numbers:
        return _Token("number", numbers[text], start, stop)
    if numbers is None and _DECIMAL.fullmatch(text):
        return _Token("number", min(int(text[:11]), LARGEST), start, stop)
    match = _ARGUMENT.fullmatch(text)
    record = records.get(match[1]) if match else None
    if match and record and (record.argument is None) == (match[2] is None):
        argument = None if match[2] is None else int(match[2])
        return _Token("head", (record.code, argument, record.name + (match[2] or b"").decode()), start, stop)
    return _Token("unknown", None, start, stop)


def _begins_a_token(text: bytes, spelled: Spellings) -> bool:
    """Whether more of the text could make an unknown token one that is known."""
    words, numbers, records = spelled
    longer = any(word.startswith(text) and word != text for word in (*words, *(numbers or ()), *records))
    return longer or (text in records and records[text].argument is not None)


class _Reader:
    """The tokens of a text from `start` on, the place in them, and the faults so far."""

    def __init__(self, text: bytes, start: int, grammar: Grammar, length: int | None) -> None:
        self.text, self.start, self.grammar = text, start, grammar
        found, spelled = _pattern(grammar).finditer(text, start), spellings(grammar)
        self.tokens = [read_token(match[0], match.start(), spelled) for match in found]
        self.cut = len(text)
        if self.tokens and self.tokens[-1].kind == "unknown" and self.tokens[-1].stop == len(text):
            if _begins_a_token(text[self.tokens[-1].start :], spelled):
                self.cut = self.tokens.pop().start
        self.length = length
        self.steps = None if length is None else int(steps_before(1, length))
        self.fields: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.count = self.place = 0
        self.depth: int | None = None
        self.step: int | None = None
        self.where: dict[tuple[int, int], tuple[int, int]] = {}
        """As in Places, but tokens: the first, and the one behind the last."""

    @property
    def token(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def fault(self, kind: Any, place: int | None = None) -> None:
        """Add a fault at the token at `place`, or at the present one."""
        if self.count < MOST_FAULTS:
            place = self.place if place is None else place
            start = self.tokens[place].start if place < len(self.tokens) else self.cut
            before = self.text[:start].translate(None, delete=bytes(range(0x80, 0xC0)))
            self.faults.append(Fault(FAULTS[kind], place, len(before), self.depth, self.step))
        self.count += 1

    def mark(self, step: int, first: int, stop: int) -> None:
        """Say at which tokens a step stands."""
        if self.depth is not None:
            self.where[self.depth, step] = first, stop

    def bad(self) -> None:
        """The fault of a token that does not belong here, whatever does."""
        self.fault(UNKNOWN if self.tokens[self.place].kind == "unknown" else MISPLACED)

    def number(self) -> int:
        """The number that the present token is."""
        value = int(self.tokens[self.place].value)
        if value >= self.grammar.count:
            self.fault(RANGE)
        return value

    def blanks(self, first: bytes, chat: bool) -> int:
        """Gaps before the tokens that were read, and behind the last if it was read, that are not as they should be."""
        edges = [self.start, *(edge for token in self.tokens[: self.place] for edge in (token.start, token.stop))]
        gaps = [self.text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=False)]
        count = sum(gap != (b" " if i else first) for i, gap in enumerate(gaps))
        if chat or not self.tokens or self.place < len(self.tokens):
            return count
        behind = self.text[self.tokens[-1].stop : self.cut]
        return count + (behind != (b"" if self.cut == len(self.text) else b" "))


def _read(
    text: bytes, start: int, grammar: Grammar, template: str, length: int | None = None, chat: bool = False
) -> _Reader:
    """Walk the places of a template over a text."""
    places: Sequence[Item] = getattr(grammar, template)
    reader = _Reader(text, start, grammar, length)
    if not reader.tokens and reader.cut == len(text):
        reader.fault(EMPTY)
        return reader
    place = 0
    while place < len(places):
        field, word = places[place]
        rest = [item.word for item in places[place + 1 :]]
        if field:
            reader.fields[field] = FIELD_READERS[field](reader, [other for other in rest if other])
            if reader.token is None:
                break
            reader.depth = reader.step = None
            place += 1 + rest.index(reader.token.value)
            if reader.token.value != rest[0]:
                reader.fault(SEPARATOR)
            reader.place += 1
        else:
            if reader.token is None:
                break
            _find(reader, word)
        place += 1
    if place < len(places) - (not places[-1].word):
        reader.fault(TRUNCATED, len(reader.tokens))
    elif reader.token is not None and not chat:
        reader.fault(TRAILING)
    return reader


def _find(reader: _Reader, word: str) -> None:
    """Pass a word of the template that no field ends at; what stands before it does not belong there."""
    ahead = range(reader.place, len(reader.tokens))
    found = next((i for i in ahead if reader.tokens[i][:2] == ("word", word)), None)
    if found is None:
        reader.fault(SEPARATOR)
        return
    if found > reader.place:
        reader.bad()
    reader.place = found + 1


def _ends(token: _Token | None, ends: Sequence[str]) -> bool:
    """Whether a field ends here: at the end of the text, or at a word that stands behind it in the template."""
    return token is None or (token.kind == "word" and token.value in ends)


def _numbers(reader: _Reader, ends: Sequence[str], expected: int | None) -> tuple[int, ...]:
    """A vector, or one number."""
    values: list[int] = []
    over, right = None, True
    while not _ends(token := reader.token, ends):
        assert token
        if token.kind == "number":
            over = reader.place if len(values) == expected else over
            values.append(reader.number())
        else:
            reader.bad()
            right = False
            values += [MISSING] if token.kind == "unknown" else []
        reader.place += 1
    if right and over is not None:
        reader.fault(MANY_NUMBERS, over)
    elif right and reader.token and len(values) < (expected or 1):
        reader.fault(FEW_NUMBERS)
    return tuple(values)


def _answer(reader: _Reader, ends: Sequence[str]) -> tuple[int, ...]:
    """The vector y."""
    first = reader.place
    values = _numbers(reader, ends, reader.length)
    said = [i for i in range(first, reader.place) if reader.tokens[i].kind in ("number", "unknown")]
    reader.where |= {(ANSWER, element): (i, i + 1) for element, i in enumerate(said)}
    return values


def _one_number(reader: _Reader, ends: Sequence[str]) -> int:
    return next(iter(_numbers(reader, ends, 1)), MISSING)


def _segments(reader: _Reader, ends: Sequence[str], width: int) -> tuple[Segment, ...]:
    """A trace, of `width` numbers per step, or a chain, of none."""
    segments: list[Segment] = []
    ends = [word for word in ends if word not in (BETWEEN_STEPS, BETWEEN_PARTS)]
    while True:
        reader.depth, reader.step = len(segments), None
        token = reader.token
        if token is None:
            break
        reader.mark(HEAD, reader.place, reader.place + 1)
        if _ends(token, ends):
            reader.fault(MISPLACED)
            break
        if token.kind == "word":
            reader.fault(MISPLACED)
            reader.place += 1
            continue
        if token.kind == "number":
            reader.fault(MISPLACED)
            reader.place += width == 0
        if token.kind == "unknown":
            reader.fault(TRANSFORMATION)
            reader.place += 1
            token = reader.token if reader.token and reader.token.kind == "head" else token
        op, argument, head = token.value if token.kind == "head" else (0, None, "")
        reader.place += token.kind == "head"
        segments.append(Segment(op, argument, head, _steps(reader, ends, width)))
        token = reader.token
        if _ends(token, ends):
            break
        assert token
        if token.kind == "word":
            reader.place += 1
        else:
            reader.depth, reader.step = len(segments), None
            reader.fault(SEPARATOR)
    return tuple(segments)


def _steps(reader: _Reader, ends: Sequence[str], width: int) -> tuple[tuple[int, ...], ...]:
    """The steps of one transformation, up to the separator behind it, the next head, or an end."""
    reader.step = 0 if width else None
    if width == 0:
        _no_steps(reader, ends)
        return ()
    steps, over = (_short_steps if width == 1 else _long_steps)(reader, ends, width)
    if reader.steps is not None and len(steps) > reader.steps:
        reader.step = reader.steps
        reader.fault(MANY_STEPS, over)
    elif reader.token and len(steps) < (reader.steps or 1):
        reader.step = len(steps)
        reader.fault(FEW_STEPS)
    elif reader.token and reader.steps is None:
        reader.steps = len(steps)
    return tuple(steps)


def _segment_ends(token: _Token | None, ends: Sequence[str]) -> bool:
    return _ends(token, (*ends, BETWEEN_PARTS)) or (token is not None and token.kind == "head")


def _no_steps(reader: _Reader, ends: Sequence[str]) -> None:
    """What stands behind a head that should stand alone: one fault, however much it is."""
    if not _segment_ends(reader.token, ends):
        reader.bad()
    while not _segment_ends(reader.token, ends):
        reader.place += 1


def _short_steps(reader: _Reader, ends: Sequence[str], width: int) -> tuple[list[tuple[int, ...]], int]:
    """Steps of one number, and at which token they become too many."""
    steps: list[tuple[int, ...]] = []
    over = 0
    while not _segment_ends(token := reader.token, ends):
        assert token
        reader.step = len(steps)
        if token.kind != "word":
            over = reader.place if len(steps) == reader.steps else over
            reader.mark(len(steps), reader.place, reader.place + 1)
            steps.append((reader.number() if token.kind == "number" else MISSING,))
        if token.kind != "number":
            reader.bad()
        reader.place += 1
    return steps, over


def _long_steps(reader: _Reader, ends: Sequence[str], width: int) -> tuple[list[tuple[int, ...]], int]:
    """Steps of several numbers, and at which token they become too many."""
    steps: list[tuple[int, ...]] = []
    over, due = 0, False
    while True:
        reader.step, first = len(steps), reader.place
        numbers, spoiled = _step_numbers(reader, ends)
        ended = _segment_ends(reader.token, ends)
        if reader.place == first:
            if reader.token and (due or not ended):
                reader.fault(MISPLACED)
        else:
            if spoiled:
                numbers = numbers[:width] or [MISSING]
            elif len(numbers) < width and reader.token:
                reader.fault(FEW_NUMBERS)
            elif len(numbers) > width:
                whole = len(numbers) % width == 0
                reader.fault(SEPARATOR if whole else MANY_NUMBERS, first + width)
                numbers = numbers if whole else numbers[:width]
            numbers += [MISSING] * (-len(numbers) % width)
            for i in range(0, len(numbers), width):
                over = first + i if len(steps) == reader.steps else over
                reader.mark(len(steps), first + i, reader.place if spoiled else min(first + i + width, reader.place))
                steps.append(tuple(numbers[i : i + width]))
        if ended:
            return steps, over
        reader.place += 1
        due = True


def _step_numbers(reader: _Reader, ends: Sequence[str]) -> tuple[list[int], bool]:
    """The numbers up to the next separator, or to what spoils them, and whether something does."""
    numbers: list[int] = []
    spoiled = False
    while not _segment_ends(token := reader.token, (*ends, BETWEEN_STEPS)):
        assert token
        if token.kind != "number" and not spoiled:
            reader.bad()
            spoiled = True
        elif not spoiled:
            numbers.append(reader.number())
        reader.place += 1
    return numbers, spoiled


FIELD_READERS: dict[str, Callable[[_Reader, Sequence[str]], Any]] = {
    "x": lambda reader, ends: _numbers(reader, ends, reader.length),
    "y": _answer,
    "chain": lambda reader, ends: _segments(reader, ends, 0),
    "trace": lambda reader, ends: _segments(reader, ends, len(reader.grammar.step)),
    "depth": _one_number,
    "k": _one_number,
}
"""field -> what reads it, up to one of the words that stand behind it"""


# Where to begin


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def one_length(config: Config) -> int | None:
    """The length of every vector of the config, if it is one."""
    lengths = {length for split in config.splits for length in (split.length.min, split.length.max)}
    return lengths.pop() if len(lengths) == 1 else None


def _prompt_start(prompt: bytes, grammar: Grammar) -> int:
    """Behind the preamble, if it stands there."""
    preamble = grammar.preamble.encode()
    return len(preamble) if prompt.startswith(preamble) else 0


def _answer_start(text: bytes, prompt: bytes, grammar: Grammar) -> int:
    """Behind what a chat model puts before its answer; where nothing of the answer is found, behind all the rest."""
    start = _behind(text, prompt, 0)
    if start is None and (fence := text.find(b"```")) >= 0:
        line = text.find(b"\n", fence) + 1 or len(text)
        start = _behind(text, prompt, line) or line
    start = start or 0
    if grammar.completion[0].field in ("trace", "chain"):
        for match in _pattern(grammar).finditer(text, start):
            if read_token(match[0], match.start(), spellings(grammar)).kind == "head":
                return max(start, match.start() - text.startswith(b" ", max(0, match.start() - 1)))
    return start


def _behind(text: bytes, prompt: bytes, start: int) -> int | None:
    """Behind the prompt, if it stands at `start`, blanks aside."""
    start = len(text) - len(text[start:].lstrip(BLANKS.encode()))
    return start + len(prompt) if prompt and text.startswith(prompt, start) else None
