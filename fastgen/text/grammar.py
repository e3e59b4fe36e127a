"""The grammar: which words there are, and in which order prompt and completion put them.

Three sections of the config make it. `text` says what of each step is shown, `task` gives the two templates, `spelling`
how the words are written. Everything else about text follows from a `Grammar`: rendering, parsing, vocabulary, roles.

A text is a sequence of tokens, one space between them; a completion begins with a space, because trainers put it right
behind the prompt. `ebnf` writes the rules down.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

FIELDS = ("x", "y", "chain", "trace", "depth", "k")
"""What a template may show: the vectors, the chain, its trace, its length, the modulus."""

STEP = ("a", "b", "r")
"""What of a step may be shown: its operands and its result."""

BETWEEN_STEPS, BETWEEN_PARTS = ",", ";"
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNKNOWN = range(len(SPECIALS))

BLANKS = " \t\n\r\v\f"
"""What may stand between tokens; a text of this grammar has one space."""

LONGEST_WORD = 64
"""Bytes of a word. With it a row of 16 transformations of 65,536 steps stays below 2^31 bytes."""

_FIELD = re.compile(r"\{(\w+)\}")


class Item(NamedTuple):
    """A place of a template: a field, or else a word."""

    field: str
    word: str


@dataclass(frozen=True)
class Grammar:
    """The words of a config and their order."""

    step: tuple[str, ...]
    """Fields of a step that are shown, of a, b, r. None: only heads are."""
    prompt: tuple[Item, ...]
    completion: tuple[Item, ...]
    names: Mapping[str, str] = field(hash=False)
    """Every transformation there is -> how its name is spelled."""
    words: Mapping[str, str] = field(hash=False)
    """Every other word that is no number -> how it is spelled: of the templates, then `,` and `;`."""
    heads: tuple[str, ...]
    """Those of the graph, by label, each once; as they are written elsewhere."""
    count: int
    """Numbers are 0..count-1."""
    number_words: tuple[str, ...] | None = field(hash=False)
    """How they are spelled; None: decimal."""
    preamble: str = ""
    """Stands before every prompt, with what sets it off; or nothing."""

    def number(self, value: int) -> str:
        """A number as it is written: past the last of `number_words`, decimal."""
        if self.number_words is not None and value < len(self.number_words):
            return self.number_words[value]
        return str(value)

    def head(self, head: str) -> str:
        """A head as it is written: the spelling of its name, with the argument glued on."""
        name = head.rstrip(string.digits)
        return self.names[name] + head[len(name) :]

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every token; the place is its id: specials, heads, words, numbers in order, then words of the preamble."""
        tokens = [*SPECIALS, *map(self.head, self.heads), *self.words.values(), *map(self.number, range(self.count))]
        return tuple(dict.fromkeys([*tokens, *self.preamble.split()]))

    @property
    def first_word(self) -> int:
        """The id of the first of `words`."""
        return len(SPECIALS) + len(self.heads)

    @property
    def first_number(self) -> int:
        """The id of the number 0; that of the number v is v more."""
        return self.first_word + len(self.words)


def glued(word: str) -> bool:
    """Whether a word is a token even where no blank stands around it: punctuation alone, such as `,` in `1,`."""
    return all(character in string.punctuation for character in word)


def ebnf(grammar: Grammar, with_argument: Container[str]) -> str:
    """The texts of a grammar in EBNF (ISO/IEC 14977). `with_argument`: the names that have an argument glued on."""
    steps, parts = (grammar.words[word] for word in (BETWEEN_STEPS, BETWEEN_PARTS))
    step, between = ' , " " , '.join(["number"] * len(grammar.step)), f'" {steps} "' if len(grammar.step) > 1 else '" "'
    heads = [f'"{name}"' + (" , decimal" if key in with_argument else "") for key, name in grammar.names.items()]
    numbers = " | ".join(f'"{word}"' for word in (grammar.number_words or ())[: grammar.count])
    rules = {
        "prompt": ("preamble , " if grammar.preamble else "") + _terms("", grammar, grammar.prompt),
        "completion": _terms(" ", grammar, grammar.completion),
        "preamble": "? the instruction, text.preamble ?",
        "x": 'number , { " " , number }',
        "y": 'number , { " " , number }',
        "chain": f'head , {{ " {parts} " , head }}',
        "trace": f'part , {{ " {parts} " , part }}',
        "part": f'head , " " , step , {{ {between} , step }}' if grammar.step else "head",
        "step": step,
        "head": " | ".join(heads),
        "depth": "number",
        "k": "number",
        "number": numbers or f"decimal (* below {grammar.count} *)",
        "decimal": '"0" | nonzero , { "0" | nonzero }',
        "nonzero": " | ".join(f'"{digit}"' for digit in range(1, 10)),
    }
    reached = ["prompt", "completion"]
    for name in reached:  # grows
        reached += [word for word in re.findall(r'"[^"]*"|(\w+)', rules[name]) if word in rules and word not in reached]
    return "\n".join(f"{name:10} = {rule} ;" for name, rule in rules.items() if name in reached)


def _terms(start: str, grammar: Grammar, places: Sequence[Item]) -> str:
    """Fields and words as a sequence of terms, the blanks with the words: x , " -> " , y , " :"."""
    terms, text = [], start
    for place, following in zip(places, [*places[1:], None], strict=True):
        space = " " if following else ""
        if place.field:
            terms += [f'"{text}"', place.field] if text else [place.field]
            text = space
        else:
            text += grammar.words[place.word] + space
    return " , ".join([*terms, f'"{text}"'] if text else terms)


# What the config says, as places and words. ValueError where it is malformed.


def template(text: str) -> tuple[Item, ...]:
    """The places of a template.

    >>> template("{x} -> {y} :")
    (Item(field='x', word=''), Item(field='', word='->'), Item(field='y', word=''), Item(field='', word=':'))
    """
    places = []
    for word in text.split(" "):
        match = _FIELD.fullmatch(word)
        if match and match[1] not in FIELDS:
            raise ValueError(f"{word} is no field; known: {', '.join(f'{{{name}}}' for name in FIELDS)}")
        if not match and (not word or "{" in word or "}" in word):
            raise ValueError("must be fields such as {x} and words, with one space between any two: '{x} -> {y} :'")
        places.append(Item(match[1], "") if match else Item("", word_of(word)))
    return tuple(places)


def word_of(word: object) -> str:
    """A word as it is given."""
    if not isinstance(word, str) or not word:
        raise ValueError("must be a word; digits need quotes of their own")
    if not word.isprintable() or any(character.isspace() for character in word):
        raise ValueError(f"{word!r} holds a blank, or what can't be printed; a word is one token")
    if len(word.encode(errors="replace")) > LONGEST_WORD:
        raise ValueError(f"{word[:20]}... is longer than {LONGEST_WORD} bytes")
    return word


def words_of(*templates: Sequence[Item]) -> tuple[str, ...]:
    """The words of templates and of the trace, each once."""
    said = [item.word for places in templates for item in places if not item.field]
    return tuple(dict.fromkeys([*said, BETWEEN_STEPS, BETWEEN_PARTS]))


def count_of(prompt: Sequence[Item], completion: Sequence[Item], k: int, longest: int, most: int) -> int:
    """How many numbers the text needs. `longest`: of the vectors; `most`: transformations in a chain."""
    fields = {item.field for item in (*prompt, *completion)}
    return max(k, longest, k + 1 if "k" in fields else 0, most + 1 if "depth" in fields else 0)


# Rules about how they go together. Each gives (key, fault).


def refuse_task(step: Sequence[str], prompt: Sequence[Item], completion: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """Templates that show the answer, lack what is needed, or could not be parsed back."""
    given, asked = ([item.field for item in places if item.field] for places in (prompt, completion))
    for key, fields in (("prompt", given), ("completion", asked)):
        for name, times in Counter(fields).items():
            if times > 1:
                yield key, f"{{{name}}} stands twice; once is enough"
    if "trace" in given:
        yield "prompt", "{trace} shows the answer; it belongs into the completion"
    for name in sorted({"chain", "y", "depth"} & set(given) & set(asked)):
        yield "completion", f"{{{name}}} stands in the prompt, which shows the answer; remove it from one of them"
    if not step and "chain" in given and "trace" in asked and "y" not in asked:
        yield "completion", "{trace} without steps is the {chain} that the prompt shows; ask for {y} too, or text=full"
    if "x" not in given:
        yield "prompt", "lacks {x}, from which everything follows"
    elif not {"y", "chain"} & set(given):
        yield "prompt", "lacks {y} and {chain}: without one of them nothing determines the answer"
    for name in sorted({"x", "k"} & set(asked)):
        yield "completion", f"{{{name}}} belongs into the prompt"
    if not {"trace", "chain", "y"} & set(asked):
        yield "completion", "asks for nothing; it needs {trace}, {chain} or {y}"
    if completion[-1].field:
        yield "completion", "must end in a word, as in ' {trace} .': else nobody could tell a text that is cut off"
    for key, places in (("prompt", prompt), ("completion", completion)):
        for place, following in pairwise(places):
            if place.field and following.field:
                yield key, f"{{{place.field}}} {{{following.field}}} can't be told apart; put a word between them"
            if place.field in ("trace", "chain") and following.word in (BETWEEN_STEPS, BETWEEN_PARTS):
                yield key, f"{following.word} after {{{place.field}}} would be read as part of it; take another word"


def refuse_spelling(grammar: Grammar, with_argument: Container[str]) -> Iterator[tuple[str, str]]:
    """Words that could be taken for each other. `with_argument`: the names that have an argument glued on."""
    if grammar.number_words is not None and len(grammar.number_words) < grammar.count:
        rule = f"has {len(grammar.number_words)} words, and k and length need {grammar.count}; spelling=numbers has all"
        yield "numbers", rule
        return
    numbers = () if grammar.number_words is None else grammar.number_words
    meanings = [
        *((token, "a special token") for token in SPECIALS),
        *((spelling, f"the transformation {name}") for name, spelling in grammar.names.items()),
        *((spelling, word) for word, spelling in grammar.words.items()),
        *((word, f"the number {value}") for value, word in enumerate(numbers)),
    ]
    known: dict[str, str] = {}
    for token, meaning in meanings:
        if inside := [special for special in SPECIALS if special in token and special != token]:
            yield "words", f"{token}, {meaning}, holds {inside[0]}, which tokenizers find in any word; take another"
        if token in known:
            yield "words", f"{token} would be {known[token]} and {meaning}; spell one of them differently"
        known.setdefault(token, meaning)
    signs = [spelling for spelling in grammar.words.values() if glued(spelling)]
    for token, meaning in meanings:
        word = token in grammar.words.values()
        if grammar.number_words is None and re.fullmatch("[0-9]+", token):
            yield "words", f"{token}, {meaning}, is a number; take another word"
        elif not word and glued(token):
            yield "words", f"{token}, {meaning}, is punctuation alone, which only words between others can be"
        elif inside := [sign for sign in signs if sign in token and not glued(token) and token not in SPECIALS]:
            yield "words", f"{token}, {meaning}, holds {inside[0]}, a word of its own; spell one of them differently"
    for name, spelling in grammar.names.items():
        if spelling[-1] in string.digits:
            yield "words", f"{spelling}, the transformation {name}, ends in a digit, where an argument would begin"
        same = re.compile(f"{re.escape(spelling)}[0-9]+")
        taken = [each for each in meanings if name in with_argument and same.fullmatch(each[0])]
        for token, meaning in taken:
            yield "words", f"{token}, {meaning}, could be {name} with an argument; spell one of them differently"
