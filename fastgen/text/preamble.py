"""The instruction before every prompt, for models that follow some: made from the grammar and the records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, STEP, Grammar, Item

if TYPE_CHECKING:
    from fastgen.graph import Graph
    from fastgen.transforms import Transformation

MEANINGS = {
    "x": "the input vector",
    "y": "the output vector",
    "chain": "the names of the transformations, in their order",
    "trace": "the transformations, in their order, with their working",
    "depth": "the number of transformations",
    "k": "the modulus",
}
"""What the fields of a template are."""


def none(grammar: Grammar, graph: Graph, shortest: int, longest: int, k: int) -> str:
    """No instruction."""
    return ""


def short(grammar: Grammar, graph: Graph, shortest: int, longest: int, k: int) -> str:
    """What is given and what is asked, in a paragraph."""
    return f"{_setting(shortest, longest, k)} {_asked(grammar)}\n\n"


def full(grammar: Grammar, graph: Graph, shortest: int, longest: int, k: int) -> str:
    """That, the definition of every transformation of the graph, and the form of the answer."""
    working = grammar.step == STEP
    vertices = {vertex.head: vertex for vertex in graph.vertices}
    definitions = [f"- {grammar.head(head)} : {_definition(vertex, working)}" for head, vertex in vertices.items()]
    form = [
        f"Question: {_form(grammar, grammar.prompt)}",
        f"Answer: {_form(grammar, grammar.completion)}",
        *(f"{item.field} is {MEANINGS[item.field]}." for item in (*grammar.prompt, *grammar.completion) if item.field),
        *_working(grammar),
    ]
    lines = [_setting(shortest, longest, k), _asked(grammar), "", "Transformations:", *definitions, "", *form]
    return "\n".join(lines) + "\n\n"


PREAMBLES: dict[str, Callable[[Grammar, Graph, int, int, int], str]] = {"none": none, "short": short, "full": full}
"""name -> the text for a grammar without preamble, a graph, the fewest and the most transformations of a chain, k."""


def _setting(shortest: int, longest: int, k: int) -> str:
    count = str(longest) if shortest == longest else f"{shortest} to {longest}"
    return (
        f"A vector of integers modulo k = {k} goes through a chain of {count} transformations; the result is a vector "
        "of the same length."
    )


def _asked(grammar: Grammar) -> str:
    given, asked = (
        " and ".join(MEANINGS[item.field] for item in places if item.field)
        for places in (grammar.prompt, grammar.completion)
    )
    return f"Given are {given}. Write {asked}."


def _definition(vertex: Transformation, working: bool) -> str:
    """The record's docstring up to its doctest, which says what the transformation does and what a step is."""
    text = " ".join((vertex.record.__doc__ or "").partition(">>>")[0].split())
    text = text if working else text.partition(" A step is ")[0]
    return text if vertex.argument is None else f"{text} Here c = {vertex.argument}."


def _form(grammar: Grammar, places: Sequence[Item]) -> str:
    return " ".join(item.field or grammar.words[item.word] for item in places)


def _working(grammar: Grammar) -> list[str]:
    """How a trace is written."""
    fields = {item.field for item in (*grammar.prompt, *grammar.completion)}
    steps, parts = grammar.words[BETWEEN_STEPS], grammar.words[BETWEEN_PARTS]
    lines = []
    if "trace" in fields and len(grammar.step) > 1:
        shown = " ".join(grammar.step)
        lines.append(
            f"After the name of a transformation stand its steps {shown} for i = 0, 1, ..., with {steps} between"
        )
    if "trace" in fields and len(grammar.step) == 1:
        lines.append(f"After the name of a transformation stands {grammar.step[0]} of its steps for i = 0, 1, ...")
    if {"trace", "chain"} & fields:
        lines.append(f"Between two transformations stands {parts}")
    if grammar.number_words is not None:
        words = " ".join(map(grammar.number, range(grammar.count)))
        lines.append(f"The numbers 0 to {grammar.count - 1} are written {words}")
    return lines
