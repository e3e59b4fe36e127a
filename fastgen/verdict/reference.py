"""What a model's text got right, and where it goes wrong: every step judged by executing it.

Each step is judged against the state that the text itself wrote so far: the prompt's x, then the results of the
transformation before. What is missing or no element there counts as what would have been right. A `previous result` is
the one that the text wrote; a result is judged by the operands as they were written. Only the fields that `text.step`
shows are judged. A head that the graph does not have is executed all the same.

Written and expected steps are aligned one to one. Where there are d steps too few or too many, one gap of d steps is
put where the most operands agree: at the first such place, where the step behind it is `skipped`, or at the last, where
the d are `repeated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from fastgen.settings import Config
from fastgen.text.parse import MISSING, Parsed, Segment
from fastgen.transforms import RECORDS, Record, Transformation
from fastgen.transforms.base import UNREDUCED, split_head
from fastgen.verdict.kinds import Step, Verdict


def verify_one(parsed: Parsed, config: Config, intended: int | None = None) -> Verdict:
    """Judge one text, in plain Python: the definition. `parsed` is of a text with its prompt; nothing is raised.

    >>> from fastgen.doors import compose
    >>> from fastgen.text.parse import parse
    >>> config = compose()
    >>> def error(prompt, text):
    ...     found = verify_one(parse(text, config, prompt), config)
    ...     return found.error, found.error_depth, found.error_step
    >>> x = "3 1 4 1 5 9 2 6 -> "
    >>> error(x + "6 4 7 4 8 1 5 9 :", " add3 3 3 6 , 1 3 4 , 4 3 7 , 1 3 4 , 5 3 8 , 9 3 1 , 2 3 5 , 6 3 9 .")
    (None, None, None)
    >>> error(x + "6 4 7 4 8 1 5 9 :", " add3 3 3 6 , 1 3 5 , 4 3 7 , 1 3 4 , 5 3 8 , 9 3 1 , 2 3 5 , 6 3 9 .")
    ('off by one', 0, 1)
    """
    if parsed.x is None:
        return _unread(parsed, None if intended is None else False)
    grammar, k, x = config.grammar, config.k, list(parsed.x)
    given, asked = ({item.field for item in places} for places in (grammar.prompt, grammar.completion))
    obeyed = parsed.chain
    worked = tuple(segment.head for segment in parsed.segments)
    written = (parsed.chain or ()) if "chain" in asked else worked
    named = _run(written, x, k)
    target = parsed.y if "y" in given else (_run(obeyed or (), x, k) or [None])[-1]

    steps: list[Step] = []
    gaps: list[tuple[int, int, str]] = []
    start = state = x
    last: tuple[int, ...] | list[int] = ()
    for depth, segment in enumerate(parsed.segments if grammar.step else ()):
        start = state
        judged, state, last, gap = _judge(segment, depth, start, config)
        if gap is not None:
            gaps.append((depth, gap, "skipped"))
        if any(step.kind for step in judged):
            if other := _other_transformation(segment, start, config):
                judged = [
                    step._replace(kind="other transformation" if step.kind else "", other=other if step.kind else 0)
                    for step in judged
                ]
        if obeyed is not None and segment.op and (depth >= len(obeyed) or segment.head != obeyed[depth]):
            judged[:1] = [step._replace(kind="disobeyed") for step in judged[:1]]
        steps += judged
    if grammar.step and parsed.segments:
        vector: Sequence[int] | None = last
    else:
        vector = named[-1] if named and written else None
    answered = parsed.y if "y" in asked else vector
    answer = answered is not None and target is not None and list(answered) == list(target)

    end = len(parsed.segments) - 1
    forced = False
    if answer and "y" in given and grammar.step and parsed.segments:
        segment = parsed.segments[end]
        follows = (_run([segment.head], start, k) or [None])[-1]
        forced = follows != list(target or ())
        if forced and follows and len(steps) >= len(x) and len(segment.steps) == len(x):
            at = len(steps) - len(x)
            for i, right in enumerate(follows):
                step = steps[at + i]
                if step.kind in ("copy", "off by one", "other operation", "wrong result") and step.r != right:
                    steps[at + i] = step._replace(kind="forced")
    errors = [(step.depth, step.step, 1, step.kind) for step in steps if step.kind]
    errors += [(depth, step, 1, kind) for depth, step, kind in gaps if _lies_inside(parsed, depth)]
    errors += _fault_errors(parsed, {step.kind for step in steps} | {gap[2] for gap in gaps})
    valid = not errors and parsed.whole
    if valid and "y" in asked:
        shown = "trace" in asked and bool(grammar.step)
        compared = vector if shown else target
        if compared is not None and list(answered or ()) != list(compared):
            valid = False
            kind = "copy" if shown else "wrong result"
            errors.append((*_first_difference(answered or (), compared, len(obeyed or parsed.segments)), 2, kind))
    if valid and not answer:
        errors.append((len(written), 0, 2, "wrong chain"))
    valid = valid and (answer or bool(grammar.step and "trace" in asked))
    first = min(errors, default=None)
    if first:
        steps = _after(steps, first, named if worked == written else _run(worked, x, k), config, parsed)
    chain_id, owner = _owner(written, config)
    gives = bool(named and target is not None and written and named[-1] == list(target))
    exact = None
    if intended is not None:
        obeys = "trace" not in asked or obeyed is None or worked == obeyed
        exact = valid and answer and obeys and (chain_id == intended or not {"chain", "trace"} & asked)
    error = first[3] if first else None
    place = first[:2] if first and error != "wrong chain" else None
    return Verdict(
        parsed=parsed.whole,
        fault=parsed.faults[0].kind if parsed.faults else None,
        faults=parsed.fault_count,
        chain=written,
        chain_id=chain_id,
        owner=owner,
        whose=_whose(written, chain_id, intended, gives, config),
        valid=valid,
        answer=answer,
        exact=exact,
        forced=forced,
        error=error,
        error_depth=place[0] if place else None,
        error_step=place[1] if place else None,
        error_head=_head(written, place[0] if place else None),
        steps=tuple(steps),
    )


def _unread(parsed: Parsed, exact: bool | None) -> Verdict:
    """The verdict on a text whose prompt gives no x: nothing can be executed."""
    fault = parsed.faults[0] if parsed.faults else None
    chain = tuple(segment.head for segment in parsed.segments)
    kind = "format" if fault else None
    place = (fault.depth, fault.step) if fault else (None, None)
    return Verdict(
        *(parsed.whole, fault.kind if fault else None, parsed.fault_count, chain, None, None, "none", False, False),
        *(exact, False, kind, *place, _head(chain, place[0]), ()),
    )


def _head(chain: Sequence[str], depth: int | None) -> str | None:
    return (chain[depth] or None) if depth is not None and depth < len(chain) else None


def _transformation(head: str, k: int, length: int) -> Transformation | None:
    """What a head says, its argument reduced; None where there is no such transformation."""
    name, argument = split_head(head) or ("", None)
    record = RECORDS.get(name)
    if record is None or (record.argument is None) != (argument is None):
        return None
    if argument is not None:
        argument %= k if record.argument == "modulus" else max(length, 1)
    return Transformation(record, argument)


def _run(heads: Sequence[str], x: list[int], k: int) -> list[Any] | None:
    """x and the vector behind every transformation; None where one is unknown or x is no vector."""
    if not x or not all(0 <= value < k for value in x):
        return None
    states = [x]
    for head in heads:
        transformation = _transformation(head, k, len(x))
        if transformation is None:
            return None
        states.append(transformation(states[-1], k, []))
    return states


def _aligned(
    written: Sequence[tuple[int, ...]], expected: Sequence[tuple[int, ...]], shown: Sequence[tuple[int, int]]
) -> int:
    """At which written step the gap is: where the most operands agree before and behind it."""

    def agree(one: tuple[int, ...], other: tuple[int, ...]) -> int:
        return sum(one[place] == other[field] for place, field in shown)

    few = min(len(written), len(expected))
    before = [0, *accumulate(agree(written[i], expected[i]) for i in range(few))]
    behind = [0, *accumulate(agree(written[-1 - i], expected[-1 - i]) for i in range(few))]
    last = len(written) > len(expected)
    return max(range(few + 1), key=lambda i: (before[i] + behind[few - i], i if last else -i))


def _judge(
    segment: Segment, depth: int, state: list[int], config: Config
) -> tuple[list[Step], list[int], list[int], int | None]:
    """The steps of a transformation, the state behind it as right as can be, its results, and the gap.

    The results are as they were written; where they are not shown, they are that state. The gap is given where steps
    are left out at the end, where no step is behind it.
    """
    k, shown, length = config.k, config.grammar.step, len(state)
    places = {field: place for place, field in enumerate(shown)}
    transformation = _transformation(segment.head, k, length) if segment.op else None

    def number(step: tuple[int, ...], field: str) -> int:
        return step[places[field]] if field in places else MISSING

    unknown = (MISSING, MISSING, MISSING, 0)
    results = [number(step, "r") for step in segment.steps]
    if transformation is None or not state or not all(0 <= value < k for value in state):
        steps = [
            Step("format", "", segment.op, depth, i, number(s, "a"), number(s, "b"), number(s, "r"), *unknown)
            for i, s in enumerate(segment.steps)
        ]
        padded = results[:length] + state[len(results) :]
        new = [r if 0 <= r < k else old for r, old in zip(padded, state, strict=True)]
        return steps, new, results, None

    record = transformation.record
    logged: list[Any] = []
    right = transformation(state, k, logged)
    expected = [step[1:] for step in logged]
    state_roles = [i for i in range(2) if record.roles[i] != "previous result" and "ab"[i] in places]
    many, gap = len(segment.steps) - length, len(segment.steps)
    if many:
        columns = [(places["ab"[i]], i) for i in state_roles]
        columns = columns or [(place, "abr".index(field)) for field, place in places.items() if field == "r"]
        columns = columns or [(place, "abr".index(field)) for field, place in places.items()]
        gap = _aligned(segment.steps, expected, columns)
    steps, new = [], list(right)
    previous: int | None = None
    for i, written in enumerate(segment.steps):
        a, b, r = (number(written, field) for field in "abr")
        at = i if i < gap else i - many
        if many > 0 and gap <= i < gap + many:
            steps.append(Step("repeated", "", segment.op, depth, i, a, b, r, *unknown))
            previous = r if 0 <= r < k else previous
            continue
        due = list(expected[at])
        if previous is not None:
            due = [
                previous if role == "previous result" else value for role, value in zip(record.roles, due, strict=True)
            ]
            if record.of_operands:
                due[2] = record.of_operands(due[0], due[1], k)
        kind, value, other = _kind(record, (a, b, r), due, state, shown, config)
        if many < 0 and i == gap:
            kind = "skipped"
        steps.append(Step(kind, "", segment.op, depth, i, a, b, r, due[0], due[1], value, other))
        previous = new[at] = r if 0 <= r < k else value if 0 <= value < k else due[2]
    return steps, new, results if "r" in places else new, gap if many < 0 and gap == len(segment.steps) else None


def _kind(
    record: Record,
    written: tuple[int, int, int],
    due: Sequence[int],
    state: list[int],
    shown: Sequence[str],
    config: Config,
) -> tuple[str, int, int]:
    """The kind of one step, the right result, and which other operation gives the one that was written."""
    k, r = config.k, written[2]
    operands = [written[i] if "ab"[i] in shown else due[i] for i in range(2)]
    if any(not 0 <= written["abr".index(field)] < config.grammar.count for field in shown if field != "r"):
        return "format", due[2], 0
    value = due[2]
    if "source" in record.roles:
        source = operands[record.roles.index("source")]
        value = state[source] if source < len(state) else due[2]
    elif record.of_operands:
        value = record.of_operands(operands[0], operands[1], k)
    if "r" in shown and r == MISSING:
        return "format", value, 0
    for role, is_, should in zip(record.roles[:2], operands, due, strict=False):
        if is_ != should:
            return OPERAND.get(role) or _source(record, is_, should, state), value, 0
    if "r" not in shown or r == value:
        return "", value, 0
    if not {"a", "b"} <= set(shown):
        return ("format" if r >= config.grammar.count else "wrong result"), value, 0
    if "source" in record.roles:
        return ("format" if r >= config.grammar.count else "copy"), value, 0
    if record.of_operands:
        if r >= k and r == record.of_operands(operands[0], operands[1], UNREDUCED):
            return "no modulo", value, 0
        if r < k and (r - value) % k in (1, k - 1):
            return "off by one", value, 0
        if r in (others := other_results(operands[0], operands[1], k)):
            return "other operation", value, others[r]
    return ("format" if r >= config.grammar.count else "wrong result"), value, 0


def other_results(a: int, b: int, k: int) -> dict[int, int]:
    """What every operation on elements gives for these operands -> the code of the first record that has it."""
    found: dict[int, int] = {}
    for record in RECORDS.values():
        if record.of_operands and computes(record):
            found.setdefault(record.of_operands(a, b, k), record.code)
    return found


def computes(record: Record) -> bool:
    """Whether it is an operation on elements, which another could be taken for."""
    return record.of_operands is not None and "element" in record.roles and "count" not in record.roles


OPERAND = {
    "position": "position",
    "constant": "argument",
    "element": "operand",
    "previous result": "copy",
    "count": "count",
}
"""The role of an operand -> the kind where it is wrong; that of a source depends on more"""


def _source(record: Record, source: int, due: int, state: list[int]) -> str:
    """The kind of a wrong source."""
    if not by_value(record):
        return "position"
    return "unstable" if source < len(state) and state[source] == state[due] else "source"


@lru_cache(maxsize=256)
def by_value(record: Record) -> bool:
    """Whether its sources depend on the values: then a wrong one is an error of order."""
    place, found = record.roles.index("source"), set()
    for x in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 0, 0]):
        steps: list[Any] = []
        record(x, 3, steps, *(() if record.argument is None else (1,)))
        found.add(tuple(step[1 + place] for step in steps))
    return len(found) > 1


def _other_transformation(segment: Segment, state: list[int], config: Config) -> int:
    """The code of another transformation of the graph whose steps these all are, else 0."""
    if not segment.op or len(segment.steps) != len(state) or not all(0 <= value < config.k for value in state):
        return 0
    fields = ["abr".index(field) for field in config.grammar.step]
    for head in config.grammar.heads:
        other = _transformation(head, config.k, len(state))
        if other is None or head == segment.head:
            continue
        logged: list[Any] = []
        other(state, config.k, logged)
        if all(
            step == tuple(right[1 + field] for field in fields)
            for step, right in zip(segment.steps, logged, strict=True)
        ):
            return other.record.code
    return 0


def _lies_inside(parsed: Parsed, depth: int) -> bool:
    """Whether steps that lack at a transformation's end were left out, and not cut off."""
    return depth < len(parsed.segments) - 1 or not any(fault.kind == "truncated" for fault in parsed.faults)


def _fault_errors(parsed: Parsed, kinds: set[str]) -> list[tuple[int, int, int, str]]:
    """The parser's faults as errors, but for those that a step's kind says already."""
    said = {"too few steps": "skipped", "too many steps": "repeated", "number out of range": "no modulo"}
    return [
        (
            len(parsed.segments) if fault.depth is None and fault.kind != "prompt" else fault.depth or 0,
            fault.step or 0,
            0,
            "format",
        )
        for fault in parsed.faults
        if said.get(fault.kind) not in kinds
    ]


def _first_difference(one: Sequence[int], other: Sequence[int], depth: int) -> tuple[int, int]:
    pairs = enumerate(zip(one, other, strict=False))
    return depth, next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _after(
    steps: list[Step], first: tuple[int, int, int, str], true: Any, config: Config, parsed: Parsed
) -> list[Step]:
    """The steps with what those behind the first error are."""
    fields = ["abr".index(field) for field in config.grammar.step]
    runs: list[list[Any]] = []
    if true is not None:
        for state, segment in zip(true, parsed.segments, strict=False):
            runs.append([])
            transformation = _transformation(segment.head, config.k, len(state))
            if transformation:
                transformation(state, config.k, runs[-1])
    found = []
    for step in steps:
        after = ""
        if (step.depth, step.step) > first[:2]:
            run = runs[step.depth] if step.depth < len(runs) else []
            as_true = step.step < len(run) and all(
                (step.a, step.b, step.r)[field] == run[step.step][1 + field] for field in fields
            )
            after = "new error" if step.kind else "restored" if as_true else "propagated"
        found.append(step._replace(after=after))
    return found


@lru_cache(maxsize=8)
def _ids(config: Config) -> dict[tuple[str, ...], int]:
    """Heads -> chain id."""
    return {chain.heads: chain_id for chain_id, chain in enumerate(config.chains)}


def _owner(written: tuple[str, ...], config: Config) -> tuple[int | None, str | None]:
    chain_id = _ids(config).get(written)
    return chain_id, None if chain_id is None else config.owners.get(chain_id)


def _whose(written: tuple[str, ...], chain_id: int | None, intended: int | None, gives: bool, config: Config) -> str:
    if chain_id is None:
        return "illegal" if written else "none"
    if intended is not None and chain_id == intended:
        return "intended"
    if intended is not None and gives and _same(chain_id, intended, config):
        return "same function"
    return "explains" if gives else "none"


def _same(one: int, other: int, config: Config) -> bool:
    number = config.classes.number
    return number[one] == number[other]
