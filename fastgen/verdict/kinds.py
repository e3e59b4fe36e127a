"""Kinds of errors, and what is said of a text and of each of its steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Kind(NamedTuple):
    """A kind of error."""

    name: str
    group: str
    """Its class, one of CLASSES."""
    definition: str


RECORD_OF_KINDS = (
    Kind("format", "format", "the parser found a fault here: a number is missing or out of range, a head is unknown"),
    Kind("position", "control", "the position, or a source that does not depend on values, is not the one due"),
    Kind("skipped", "control", "the steps due before this one were left out"),
    Kind("repeated", "control", "a step more than there are"),
    Kind("argument", "control", "the constant operand is not the head's argument"),
    Kind("operand", "operand", "a wrong element: the step shows no position, so it is control or retrieval"),
    Kind("copy", "retrieval", "the right place, the wrong value: a previous result, the element at a source, or y"),
    Kind("source", "order", "the source is not the one that the order asks for"),
    Kind("unstable", "order", "the source has an equal element, and it was not its turn"),
    Kind("count", "order", "the number of elements that come before is wrong"),
    Kind("off by one", "computation", "the result is one more or one less than the operands give, modulo k"),
    Kind("no modulo", "computation", "the result is k or more: what the operands give before it is reduced"),
    Kind("other operation", "computation", "the result is what another operation gives for these operands"),
    Kind(
        "wrong result", "computation", "any other result that the operands do not give, and every result without them"
    ),
    Kind("disobeyed", "transformation", "the head is not the one that the chain, given or planned, has here"),
    Kind("other transformation", "transformation", "all steps are those of another transformation of the graph"),
    Kind("forced", "forced", "the result is y's and the last vector is y, but the text's own state gives another"),
    Kind("wrong chain", "chain", "every step is right, and the chain does not lead to y"),
)
"""In the order of their codes, from 1. The first that fits is an error's kind, but for the last four."""

KINDS = ("", *(kind.name for kind in RECORD_OF_KINDS))
"""Kinds of errors; the place is the code. The first is none."""

FORMAT, POSITION, SKIPPED, REPEATED, ARGUMENT, OPERAND, COPY, SOURCE, UNSTABLE, COUNT, *_rest = np.arange(1, len(KINDS))
OFF_BY_ONE, NO_MODULO, OTHER_OPERATION, WRONG_RESULT, DISOBEYED, OTHER_TRANSFORMATION, FORCED, WRONG_CHAIN = _rest
"""Their codes for compiled code: of an int it would compile what is called with it once more, for each."""

CLASSES = tuple(dict.fromkeys(kind.group for kind in RECORD_OF_KINDS))
"""What the kinds are grouped by. `operand` is control or retrieval."""

CLASS_OF = {kind.name: kind.group for kind in RECORD_OF_KINDS}

AFTER = ("", "propagated", "restored", "new error")
"""What a step behind the first error is: right for the text's own state, as in the true run again, or wrong itself."""

WHOSE = ("none", "intended", "same function", "explains", "illegal")
"""Whose chain was written: of the graph, without giving y; the intended one; equal to it on all vectors; another that
gives y; no path of the graph."""


class Step(NamedTuple):
    """A step as it was written, judged. Numbers that are not there are MISSING."""

    kind: str
    after: str
    op: int
    depth: int
    step: int
    a: int
    b: int
    r: int
    due_a: int
    """The operands that were due in the text's own state; a previous result is as the text wrote it."""
    due_b: int
    expected: int
    """The right r: of the operands where they are written, else of the text's own state."""
    other: int
    """The code of the other operation or transformation; 0 where there is none."""


class Verdict(NamedTuple):
    """What `verify_one` says of one text."""

    parsed: bool
    """It keeps to the grammar, but for blanks."""
    fault: str | None
    """The kind of the parser's first fault."""
    faults: int
    chain: tuple[str, ...]
    """Heads as written, empty where unknown."""
    chain_id: int | None
    owner: str | None
    """The split whose chain that is."""
    whose: str
    """One of WHOSE."""
    valid: bool
    """Parsed, and every step right; without steps: parsed, and the answer right."""
    answer: bool
    """The last vector is y."""
    exact: bool | None
    """It is the intended text; None where that is not known."""
    forced: bool
    """The answer is right, y stands in the prompt, and it does not follow from the text's own last state."""
    error: str | None
    """The kind of the first error, one of KINDS; None where there is none."""
    error_depth: int | None
    error_step: int | None
    error_head: str | None
    steps: tuple[Step, ...]

    @property
    def depth(self) -> int:
        """How many transformations were written."""
        return len(self.chain)
