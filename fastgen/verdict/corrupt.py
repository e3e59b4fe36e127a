"""Traces with one error of a chosen kind at a known place: to test an evaluation, and to train critics."""

from __future__ import annotations

from dataclasses import replace

from fastgen.engine import Example
from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, Item
from fastgen.text.render import said
from fastgen.trace import steps_before
from fastgen.transforms import RECORDS, Record, Step, Transformation
from fastgen.transforms.base import split_head
from fastgen.verdict.kinds import KINDS, UNREDUCED
from fastgen.verdict.reference import by_value, other_results

MADE = tuple(kind for kind in KINDS[1:] if kind not in ("disobeyed", "other transformation", "forced", "wrong chain"))
"""Kinds that are an error of one step."""


def corrupt(example: Example, config: Config, kind: str, depth: int, step: int, consistent: bool = False) -> str:
    """The completion of an example with one error, which `verify` names `kind` at `(depth, step)`.

    What follows stays as it was, or with `consistent` is right for the wrong state. Raises ValueError for a kind that
    is none of MADE, a place that the example does not have, text that does not show a, b and r, and where this step
    cannot have that error or it could not be told from another: `unstable` without equal elements, `skipped` of a step
    whose operands are those of the one before.

    >>> from fastgen.doors import compose
    >>> drawn = Example(0, 0, ("add3",), [3, 1, 4], [6, 4, 7], [(1, 3, 3, 6), (1, 1, 3, 4), (1, 4, 3, 7)])
    >>> corrupt(drawn, compose("length=3"), "off by one", 0, 1)
    ' add3 3 3 6 , 1 3 5 , 4 3 7 .'
    """
    length, k = len(example.x), config.k
    if kind not in MADE:
        raise ValueError(f"kind={kind}: there are {', '.join(MADE)}")
    if not (0 <= depth < len(example.chain) and 0 <= step < length):
        raise ValueError(f"depth={depth} step={step}: the example has {len(example.chain)} transformations of {length}")
    if set(config.grammar.step) != {"a", "b", "r"}:
        raise ValueError(
            f"text.step={list(config.grammar.step)}: only a text that shows a, b and r has room for errors"
        )
    segments = [
        example.steps[steps_before(at, length) : steps_before(at + 1, length)] for at in range(len(example.chain))
    ]
    state = [logged[3] for logged in segments[depth - 1]] if depth else example.x
    record = RECORDS[(split_head(example.chain[depth]) or ("", None))[0]]
    right = segments[depth]
    at = step - (kind == "repeated")
    changed = None if at < 0 else _changed(record, kind, right, at, state, k)
    if changed is None:
        raise ValueError(f"kind={kind}: step {step} of {example.chain[depth]} cannot have it, or it would not show")
    if kind == "skipped":
        segments[depth] = right[:at] + right[at + 1 :]
    elif kind == "repeated":
        segments[depth] = right[: at + 1] + right[at:]
    else:
        segments[depth] = [*right[:at], changed, *right[at + 1 :]]
    if consistent:
        _continue(example, record, segments, depth, step, k, kind)
    return _written(replace(example, steps=[]), segments, config)


def _changed(record: Record, kind: str, steps: list[Step], at: int, state: list[int], k: int) -> Step | None:
    """The step with the error; None where it can't have it."""
    op, a, b, r = steps[at]
    operands = (a, b)
    length = len(state)

    def operand(role: str, value: int, result: int | None = None) -> Step | None:
        if role not in record.roles or value == operands[record.roles.index(role)]:
            return None
        new = [value if each == role else old for each, old in zip(record.roles, operands, strict=False)]
        if result is None:
            result = record.of_operands(new[0], new[1], k) if record.of_operands else r
        return (op, new[0], new[1], result)

    def of(role: str) -> int:
        return operands[record.roles.index(role)] if role in record.roles else 0

    match kind:
        case "format":
            return (op, a, b, -1)
        case "position":
            return operand("position", (at + 1) % length)
        case "argument":
            return operand("constant", (of("constant") + 1) % k)
        case "operand":
            if "element" not in record.roles:
                return None
            place = record.roles.index("element")
            new = [(value + 1) % k if i == place else value for i, value in enumerate(operands)]
            return (op, new[0], new[1], record.of_operands(new[0], new[1], k)) if record.of_operands else None
        case "copy":
            if "source" in record.roles:
                return (op, a, b, (r + 1) % k)
            return operand("previous result", (of("previous result") + 1) % k)
        case "source" | "unstable":
            if "source" not in record.roles or not by_value(record):
                return None
            equal = [i for i in range(length) if i != of("source") and (state[i] == r) == (kind == "unstable")]
            return operand("source", equal[0], state[equal[0]]) if equal else None
        case "count":
            return operand("count", of("count") + 1)
        case "skipped" | "repeated":
            neighbour = at - 1 if kind == "skipped" else at + 1
            roles = [i for i in range(2) if record.roles[i] != "previous result"]
            same = 0 <= neighbour < length and all(steps[neighbour][1 + i] == operands[i] for i in roles)
            return None if same or length == 1 else steps[at]
    if record.of_operands is None:
        return None
    unreduced, others = record.of_operands(a, b, UNREDUCED), other_results(a, b, k)
    near = {r, (r + 1) % k, (r - 1) % k}
    choices = {
        "off by one": [(r + 1) % k],
        "no modulo": [unreduced] if k <= unreduced < UNREDUCED // 2 else [],
        "other operation": [value for value in others if value not in near],
        "wrong result": [value for value in range(k) if value not in near and value not in others],
    }[kind]
    return (op, a, b, choices[0]) if choices else None


def _continue(
    example: Example, record: Record, segments: list[list[Step]], depth: int, step: int, k: int, kind: str
) -> None:
    """What follows a step as it is right for the state that was written."""
    steps, length = segments[depth], len(example.x)
    if "previous result" in record.roles and record.of_operands:
        for i in range(step + (kind not in ("skipped", "repeated")), len(steps)):
            if i and 0 <= steps[i - 1][3] < k:
                op, a, b, _ = steps[i]
                a, b = (
                    steps[i - 1][3] if role == "previous result" else value
                    for role, value in zip(record.roles, (a, b), strict=False)
                )
                steps[i] = (op, a, b, record.of_operands(a, b, k))
    state = [logged[3] for logged in steps]
    if kind == "repeated":
        del state[step]
    true = example.steps[steps_before(depth, length) : steps_before(depth + 1, length)]
    if kind == "skipped":
        state.insert(step, true[step][3])
    state = [value if 0 <= value < k else was[3] for value, was in zip(state, true, strict=True)]
    for at in range(depth + 1, len(segments)):
        name, argument = split_head(example.chain[at]) or ("", None)
        segments[at] = []
        state = Transformation(RECORDS[name], argument)(state, k, segments[at])


def _written(example: Example, segments: list[list[Step]], config: Config) -> str:
    """The completion with these steps."""
    grammar = config.grammar

    def part(head: str, steps: list[Step]) -> str:
        shown = (
            " ".join(
                grammar.number(value) if value >= 0 else "?"
                for value in (dict(zip("abr", logged[1:], strict=True))[field] for field in grammar.step)
            )
            for logged in steps
        )
        return f"{grammar.head(head)} " + f" {grammar.words[BETWEEN_STEPS]} ".join(shown)

    def place(item: Item) -> str:
        if item.field != "trace":
            return said(item, example, config)
        parts = (part(head, steps) for head, steps in zip(example.chain, segments, strict=True))
        return f" {grammar.words[BETWEEN_PARTS]} ".join(parts)

    return " " + " ".join(map(place, grammar.completion))
