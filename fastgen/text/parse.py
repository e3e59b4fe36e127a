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

from fastgen.jit import jit
from fastgen.lanes import byte_at, int32_at, int64_at, set_int32, set_int64
from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, BLANKS, FIELDS, Grammar, Item, glued
from fastgen.trace import steps_before

MISSING = -1
"""A number that is not there."""

MOST_FAULTS = 100
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
    grammar = config.grammar
    given = None if prompt is None else _read(_bytes(prompt), _prompt_start(_bytes(prompt), grammar), grammar, "prompt")
    known = given.fields if given and not given.faults else {}
    length = len(known["x"]) if "x" in known else _one_length(config)
    data = _bytes(text)
    start = _answer_start(data, b"" if prompt is None else _bytes(prompt), grammar) if chat else 0
    read = _read(data, start, grammar, "completion", length, chat)
    if given and given.faults:
        first = min(given.faults[:MOST_FAULTS], key=lambda fault: fault.token)
        read.faults.insert(0, first._replace(kind=FAULTS[PROMPT], depth=None, step=None))
        read.count += 1
    fields = {**known, **read.fields}
    chain = fields.get("chain")
    return Parsed(
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


class _Spelled(NamedTuple):
    """By their spelling: the words, the numbers (None: decimal), the records."""

    words: dict[bytes, str]
    numbers: dict[bytes, int] | None
    records: dict[bytes, Any]


@lru_cache(maxsize=8)
def _spelled(grammar: Grammar) -> _Spelled:
    from fastgen.transforms import RECORDS

    numbers = None
    if grammar.number_words is not None:
        numbers = {grammar.number(value).encode(): value for value in range(len(grammar.number_words))}
    words = {spelling.encode(): word for word, spelling in grammar.words.items()}
    return _Spelled(words, numbers, {spelling.encode(): RECORDS[name] for name, spelling in grammar.names.items()})


_DECIMAL = re.compile(rb"0|[1-9][0-9]*")
_ARGUMENT = re.compile(rb"(.*[^0-9])(0|[1-9][0-9]{0,17})?", re.DOTALL)


def _token(text: bytes, start: int, spelled: _Spelled) -> _Token:
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


def _begins_a_token(text: bytes, spelled: _Spelled) -> bool:
    """Whether more of the text could make an unknown token one that is known."""
    words, numbers, records = spelled
    longer = any(word.startswith(text) and word != text for word in (*words, *(numbers or ()), *records))
    return longer or (text in records and records[text].argument is not None)


class _Reader:
    """The tokens of a text from `start` on, the place in them, and the faults so far."""

    def __init__(self, text: bytes, start: int, grammar: Grammar, length: int | None) -> None:
        self.text, self.start, self.grammar = text, start, grammar
        found, spelled = _pattern(grammar).finditer(text, start), _spelled(grammar)
        self.tokens = [_token(match[0], match.start(), spelled) for match in found]
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
    "y": lambda reader, ends: _numbers(reader, ends, reader.length),
    "chain": lambda reader, ends: _segments(reader, ends, 0),
    "trace": lambda reader, ends: _segments(reader, ends, len(reader.grammar.step)),
    "depth": _one_number,
    "k": _one_number,
}
"""field -> what reads it, up to one of the words that stand behind it"""


# Where to begin


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _one_length(config: Config) -> int | None:
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
            if _token(match[0], match.start(), _spelled(grammar)).kind == "head":
                return max(start, match.start() - text.startswith(b" ", max(0, match.start() - 1)))
    return start


def _behind(text: bytes, prompt: bytes, start: int) -> int | None:
    """Behind the prompt, if it stands at `start`, blanks aside."""
    start = len(text) - len(text[start:].lstrip(BLANKS.encode()))
    return start + len(prompt) if prompt and text.startswith(prompt, start) else None


# The kernel: the same walk as one loop over the tokens, whose state says what is read at present


class Batch(NamedTuple):
    """What many texts say, as arrays. Row r's segments are segments[r]..segments[r + 1] - 1, and so on."""

    segments: np.ndarray[Any, Any]
    """int64[row + 1]"""
    op: np.ndarray[Any, Any]
    """uint8[segment]; 0 where no head is known"""
    argument: np.ndarray[Any, Any]
    """int64[segment]; MISSING where there is none"""
    steps: np.ndarray[Any, Any]
    """int64[segment + 1]: where its steps begin"""
    numbers: np.ndarray[Any, Any]
    """int32[step, field of text.step], or MISSING"""
    x_offsets: np.ndarray[Any, Any]
    """int64[row + 1]"""
    x: np.ndarray[Any, Any]
    """int32[element]"""
    y_offsets: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    chain: np.ndarray[Any, Any]
    """int64[row + 1]"""
    chain_op: np.ndarray[Any, Any]
    """uint8[transformation]"""
    chain_argument: np.ndarray[Any, Any]
    """int64[transformation]"""
    depth: np.ndarray[Any, Any]
    """int32[row], or MISSING; so is `k`"""
    k: np.ndarray[Any, Any]
    seen: np.ndarray[Any, Any]
    """uint8[row]: bit i is set where text or prompt has the field grammar.FIELDS[i]"""
    faults: np.ndarray[Any, Any]
    """int64[row + 1]"""
    kind: np.ndarray[Any, Any]
    """uint8[fault]: the place in FAULTS"""
    place: np.ndarray[Any, Any]
    """int32[fault, 4]: token, character, depth, step; MISSING where there is none"""
    fault_count: np.ndarray[Any, Any]
    """int32[row]"""
    blanks: np.ndarray[Any, Any]
    """int32[row]"""

    def row(self, r: int) -> Parsed:
        """One of them as `parse` gives it."""
        from fastgen.transforms import RECORDS

        names = {record.code: record.name for record in RECORDS.values()}

        def head(op: int, argument: int) -> str:
            return names.get(op, "") + ("" if argument == MISSING else str(argument))

        def field(name: str, value: Any) -> Any:
            return value if self.seen[r] >> FIELDS.index(name) & 1 else None

        def vector(values: Any, offsets: Any) -> tuple[int, ...]:
            return tuple(values[offsets[r] : offsets[r + 1]].tolist())

        segments = tuple(
            Segment(
                int(self.op[i]),
                None if self.argument[i] == MISSING else int(self.argument[i]),
                head(int(self.op[i]), int(self.argument[i])),
                tuple(map(tuple, self.numbers[self.steps[i] : self.steps[i + 1]].tolist())),
            )
            for i in range(self.segments[r], self.segments[r + 1])
        )
        chain = range(self.chain[r], self.chain[r + 1])
        faults = []
        for i in range(self.faults[r], self.faults[r + 1]):
            token, character, depth, step = self.place[i].tolist()
            where = (None if number == MISSING else number for number in (depth, step))
            faults.append(Fault(FAULTS[self.kind[i]], token, character, *where))
        return Parsed(
            x=field("x", vector(self.x, self.x_offsets)),
            y=field("y", vector(self.y, self.y_offsets)),
            depth=field("depth", int(self.depth[r])),
            k=field("k", int(self.k[r])),
            chain=field("chain", tuple(head(int(self.chain_op[i]), int(self.chain_argument[i])) for i in chain)),
            segments=segments,
            faults=tuple(faults),
            fault_count=int(self.fault_count[r]),
            blanks=int(self.blanks[r]),
        )


def parse_batch(texts: Any, config: Config, prompts: Any = None, chat: bool = False) -> Batch:
    """`parse` for every text of an Arrow array of strings or bytes, chunked or not. Releases the GIL.

    A null text is an empty one, a null prompt is none. Raises TypeError for arrays of anything else, ValueError where
    there are not as many prompts as texts. Memory follows the text, however malformed: at most some 70 bytes for each
    of its bytes, twice that while an array grows, and 2 kB per row for its faults.
    """
    grammar = config.grammar
    text = _buffers(texts, "texts")
    given = _Texts(text.data, text.starts, text.starts, text.there) if prompts is None else _buffers(prompts, "prompts")
    if given.starts.size != text.starts.size:
        raise ValueError(f"prompts: there are {given.starts.size}, and {text.starts.size} texts; give one for each")
    one = _one_length(config)
    lengths = np.full(text.starts.size, MISSING if one is None else one, np.int64)
    wrong = np.full((text.starts.size, 2), MISSING, np.int64)
    begins = _answer_starts(text, given, grammar) if chat else text.starts
    if prompts is None:
        return _walk(grammar, "completion", text, begins, lengths, wrong, chat)

    unknown = np.full(text.starts.size, MISSING, np.int64)
    prompt = _walk(grammar, "prompt", given, _behind_preambles(given, grammar), unknown, wrong, False)
    right = given.there & (prompt.fault_count == 0)
    wrong[given.there & ~right] = prompt.place[prompt.faults[:-1][given.there & ~right], :2]
    lengths = np.where(right, np.diff(prompt.x_offsets), lengths)
    read = _walk(grammar, "completion", text, begins, lengths, wrong, chat)
    merged = {name: getattr(prompt, name) for item in grammar.prompt for name in _ARRAYS.get(item.field, ())}
    return read._replace(seen=np.where(right, prompt.seen, 0) | read.seen, **merged)


_ARRAYS = {
    "x": ("x_offsets", "x"),
    "y": ("y_offsets", "y"),
    "chain": ("chain", "chain_op", "chain_argument"),
    "depth": ("depth",),
    "k": ("k",),
}
"""field -> where a batch holds it"""


class _Texts(NamedTuple):
    """Rows of bytes in a buffer: data[starts[r]:stops[r]]."""

    data: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    stops: np.ndarray[Any, Any]
    there: np.ndarray[Any, Any]
    """bool[row]: not null"""


def _buffers(array: Any, name: str) -> _Texts:
    """The memory of an Arrow array, without a copy if it is one chunk of strings or bytes."""
    import pyarrow as pa

    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view())
    if not isinstance(array, pa.Array | pa.ChunkedArray) or array.type not in (*kinds, pa.null()):
        kind = getattr(array, "type", type(array).__name__)
        raise TypeError(f"{name}: must be an Arrow array of strings or bytes, such as a table's column; is {kind}")
    if isinstance(array, pa.ChunkedArray):
        array = (
            array.chunk(0)
            if array.num_chunks == 1
            else pa.chunked_array(array.chunks, array.type).cast(pa.large_binary()).combine_chunks()
        )
    if isinstance(array, pa.ChunkedArray):  # of no chunks
        array = pa.array([], pa.large_binary())
    if array.type in (pa.string_view(), pa.binary_view(), pa.null()):
        array = array.cast(pa.large_binary())
    width = np.dtype(np.int32 if array.type in (pa.string(), pa.binary()) else np.int64)
    _, offsets, data = array.buffers()
    edges = np.zeros(1, np.int64)
    if len(array):
        edges = np.frombuffer(offsets, width, len(array) + 1, array.offset * width.itemsize).astype(np.int64)
    there = np.ones(len(array), np.bool_)
    if array.null_count:
        there = array.is_valid().to_numpy(zero_copy_only=False)
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    held.flags.writeable = False  # of one type for the kernel, whoever owns the memory
    if edges[0] < 0 or edges[-1] > held.size or (np.diff(edges) < 0).any():
        raise ValueError(f"{name}: its offsets do not fit its data")
    return _Texts(held, edges[:-1].copy(), np.where(there, edges[1:], edges[:-1]), there)


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
def _lexicon(grammar: Grammar) -> np.ndarray[Any, Any]:
    spelled = _spelled(grammar)
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


# Compiled


HASH, HASH_PRIME = 14695981039346656037, 1099511628211
"""FNV-1a, 64 bits (Fowler, Noll, Vo)."""


def _walk(
    grammar: Grammar,
    template: str,
    texts: _Texts,
    begins: np.ndarray[Any, Any],
    lengths: np.ndarray[Any, Any],
    wrong: np.ndarray[Any, Any],
    chat: bool,
) -> Batch:
    """Walk a template over every row, from `begins[r]` on: where a row may not fit, the arrays grow first."""
    width, first_gap = len(grammar.step), int(template == "completion")
    sizes = texts.stops - texts.starts
    most, total, rows = int(sizes.max(initial=0)) + 1, int(sizes.sum()), sizes.size
    found: list[np.ndarray[Any, Any]] = [
        np.empty((total // 16 + most, 3), np.int64),  # segments: op, argument, first step
        np.empty(width * (total // 8 + most), np.int32),  # numbers of steps
        *(np.empty(total // 8 + most, np.int32) for _ in "xy"),
        np.empty((total // 16 + most, 2), np.int64),  # chain: op, argument
        np.empty((2 * MOST_FAULTS, 5), np.int32),  # faults: kind, token, character, depth, step
    ]
    edges = np.zeros((rows + 1, len(_Edges._fields)), np.int64)
    said = np.zeros((rows, len(_Said._fields)), np.int32)
    lexicon, table = _lexicon(grammar), _template(grammar, template)
    tables = (lexicon.ctypes.data, table.ctypes.data, *table.shape, first_gap)
    places = np.stack([texts.starts, begins, texts.stops], axis=1)
    asked = np.column_stack([lengths, wrong])
    row = 0
    while True:
        rooms = [len(array) for array in found]
        rooms[1] = rooms[1] // width if width else most
        held = np.array([array.ctypes.data for array in found] + rooms, np.int64)
        addresses = [array.ctypes.data for array in (texts.data, places, asked)]
        ours = [array.ctypes.data for array in (held, edges, said)]
        row = _walk_rows(row, rows, *addresses, chat, *tables, *ours)
        if row == rows:
            break
        need = int(sizes[row]) + 1
        units = (1, max(1, width), 1, 1, 1, 1)
        needs = (need, need, need, need, need, MOST_FAULTS)
        for i, (array, unit, more) in enumerate(zip(found, units, needs, strict=True)):
            used = int(edges[row, i]) * unit
            if len(array) - used < more * unit:
                found[i] = _grown(array, used, more * unit)
    last = _Edges(*edges[-1].tolist())
    each, of = _Edges(*edges.T), _Said(*said.T)
    segments, numbers, x, y, chain, faults = found
    return Batch(
        segments=each.segments,
        op=segments[: last.segments, 0],
        argument=segments[: last.segments, 1],
        steps=np.append(segments[: last.segments, 2], last.steps),
        numbers=numbers[: last.steps * width].reshape(last.steps, width),
        x_offsets=each.x,
        x=x[: last.x],
        y_offsets=each.y,
        y=y[: last.y],
        chain=each.chain,
        chain_op=chain[: last.chain, 0],
        chain_argument=chain[: last.chain, 1],
        depth=of.depth,
        k=of.k,
        seen=of.seen,
        faults=each.faults,
        kind=faults[: last.faults, 0],
        place=faults[: last.faults, 1:],
        fault_count=of.fault_count,
        blanks=of.blanks,
    )


class _Edges(NamedTuple):
    """How much of each there is before a row."""

    segments: Any
    steps: Any
    x: Any
    y: Any
    chain: Any
    faults: Any


class _Said(NamedTuple):
    """What there is one of per row."""

    depth: Any
    k: Any
    seen: Any
    fault_count: Any
    blanks: Any


def _grown(array: np.ndarray[Any, Any], used: int, need: int) -> np.ndarray[Any, Any]:
    """A copy of what is used that is twice as long, and has room for `need` more."""
    longer = np.empty((2 * len(array) + need, *array.shape[1:]), array.dtype)
    longer[:used] = array[:used]
    return longer


@jit
def _walk_rows(
    row, rows, data, places, lengths, chat, lexicon, template, items, columns, first_gap, found, edges, said
):
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


def _behind_preambles(prompts: _Texts, grammar: Grammar) -> np.ndarray[Any, Any]:
    """int64[row]: where each prompt begins, its preamble aside."""
    preamble = np.frombuffer(grammar.preamble.encode() or b" ", np.uint8)
    size = len(grammar.preamble.encode())
    begins: np.ndarray[Any, Any] = _pass(
        prompts.data.ctypes.data, prompts.starts, prompts.stops, preamble.ctypes.data, size
    )
    return begins


def _answer_starts(texts: _Texts, prompts: _Texts, grammar: Grammar) -> np.ndarray[Any, Any]:
    """int64[row]: where the answer in each text begins; see `_answer_start`."""
    lexicon = _lexicon(grammar)
    begins: np.ndarray[Any, Any] = _pass_chat(
        *(texts.data.ctypes.data, texts.starts, texts.stops),
        *(prompts.data.ctypes.data, prompts.starts, prompts.stops),
        *(lexicon.ctypes.data, grammar.completion[0].field in ("trace", "chain")),
    )
    return begins


@jit
def _pass(data, starts, stops, preamble, size):
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
def _pass_chat(data, starts, stops, prompts, prompt_starts, prompt_stops, lexicon, begins_with_head):
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
