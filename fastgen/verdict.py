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

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgen.right import right_chains
from fastgen.settings import Config
from fastgen.text.batch import parse_batch
from fastgen.text.parse import FAULTS, MISSING, Parsed, Segment
from fastgen.transforms import RECORDS, Record, Transformation
from fastgen.transforms.base import split_head

if TYPE_CHECKING:
    import pyarrow as pa

    from fastgen.text.batch import Batch


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

CLASSES = tuple(dict.fromkeys(kind.group for kind in RECORD_OF_KINDS))
"""What the kinds are grouped by. `operand` is control or retrieval."""

CLASS_OF = {kind.name: kind.group for kind in RECORD_OF_KINDS}

AFTER = ("", "propagated", "restored", "new error")
"""What a step behind the first error is: right for the text's own state, as in the true run again, or wrong itself."""

WHOSE = ("none", "intended", "same function", "explains", "illegal")
"""Whose chain was written: of the graph, without giving y; the intended one; equal to it on all vectors; another that
gives y; no path of the graph."""

UNREDUCED = 2**62
"""A modulus that nothing reaches: a result is then the value before it is reduced."""


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
    target: Sequence[int] | None = parsed.y if "y" in given else (_run(obeyed or (), x, k) or [[]])[-1]

    steps: list[Step] = []
    gaps: list[tuple[int, int, str]] = []
    start = state = x
    last: tuple[int, ...] | list[int] = ()
    whole = True
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
        whole = whole and len(last) == len(x)
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
        head = _transformation(segment.head, k, len(x))
        follows = head(start, k, []) if head else None
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
        compared = vector if "trace" in asked and grammar.step else target
        if compared is not None and list(answered or ()) != list(compared):
            valid = False
            kind = "copy" if "trace" in asked else "wrong result"
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
        error_head=(written[place[0]] or None) if place and place[0] < len(written) else None,
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
        *(exact, False, kind, *place, None, ()),
    )


def _transformation(head: str, k: int, length: int) -> Transformation | None:
    """What a head says, its argument reduced; None where there is no such transformation."""
    name, argument = split_head(head) or ("", None)
    record = RECORDS.get(name)
    if record is None or (record.argument is None) != (argument is None):
        return None
    if argument is not None:
        argument %= k if record.argument == "modulus" else max(length, 1)
    return Transformation(record, argument)


def _run(heads: Sequence[str], x: list[int], k: int) -> list[list[int]] | None:
    """x and the vector behind every transformation; None where one is unknown or x is no vector."""
    states = [x]
    for head in heads:
        transformation = _transformation(head, k, len(x))
        if transformation is None or not x or not all(0 <= value < k for value in x):
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
    """The steps of a transformation, the state behind it as right as can be, its results as written, and the gap.

    The gap is given where steps are left out at the end, where no step is behind it.
    """
    k, shown, length = config.k, config.grammar.step, len(state)
    places = {field: place for place, field in enumerate(shown)}
    transformation = _transformation(segment.head, k, length) if segment.op else None

    def number(step: tuple[int, ...], field: str) -> int:
        return step[places[field]] if field in places else MISSING

    results = [number(step, "r") for step in segment.steps]
    if transformation is None or not state or not all(0 <= value < k for value in state):
        steps = [
            Step("format", "", segment.op, depth, i, number(s, "a"), number(s, "b"), number(s, "r"), MISSING, 0)
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
        columns: Any = [(places["ab"[i]], i) for i in state_roles] or [(places["r"], 2)] if places else []
        gap = _aligned(segment.steps, expected, columns)
    steps, new = [], list(right)
    previous: int | None = None
    for i, written in enumerate(segment.steps):
        a, b, r = (number(written, field) for field in "abr")
        at = i if i < gap else i - many
        if many > 0 and gap <= i < gap + many:
            steps.append(Step("repeated", "", segment.op, depth, i, a, b, r, MISSING, 0))
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
        steps.append(Step(kind, "", segment.op, depth, i, a, b, r, value, other))
        previous = new[at] = r if 0 <= r < k else value if 0 <= value < k else due[2]
    return steps, new, results, gap if many < 0 and gap == len(segment.steps) else None


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
            return _OPERAND.get(role) or _source(record, is_, should, state), value, 0
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
        if record.of_operands and "element" in record.roles and "count" not in record.roles:
            found.setdefault(record.of_operands(a, b, k), record.code)
    return found


_OPERAND = {
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


# Many texts at once


class Verdicts(NamedTuple):
    """The verdicts on many texts, as arrays; what they hold is what `verify_one` says of each."""

    rows: dict[str, np.ndarray[Any, Any]]
    """By name, one per text: as `Verdict`; codes of FAULTS, WHOSE and KINDS in uint8, MISSING for None in int32."""
    chains: list[tuple[str, ...]]
    """Heads of every text; shared where they are the same."""
    offsets: np.ndarray[Any, Any]
    """int64[row + 1]: where a text's steps begin."""
    steps: dict[str, np.ndarray[Any, Any]]
    """By name, one per step, as `Step`: kind and after (places in KINDS and AFTER), op, other in uint8; else int32."""
    owners: dict[int, str]
    """chain id -> the split that has it."""

    def row(self, r: int) -> Verdict:
        """One of them as `verify_one` gives it."""
        rows = {name: values[r].item() for name, values in self.rows.items()}
        names = {"fault": FAULTS, "whose": WHOSE, "error": KINDS}
        said = {name: words[rows.pop(name)] for name, words in names.items()}
        known = {name: None if rows[name] < 0 else rows.pop(name) for name in ("chain_id", "error_depth", "error_step")}
        exact, depth, chain = rows.pop("exact"), known["error_depth"], self.chains[r]
        chosen = range(self.offsets[r], self.offsets[r + 1])
        listed = zip(*(values[chosen.start : chosen.stop].tolist() for values in self.steps.values()), strict=True)
        return Verdict(
            **{**rows, **known},
            chain=chain,
            owner=self.owners.get(known["chain_id"] if known["chain_id"] is not None else MISSING),
            fault=said["fault"] or None,
            whose=said["whose"],
            error=said["error"] or None,
            exact=None if exact < 0 else bool(exact),
            error_head=(chain[depth] or None) if depth is not None and depth < len(chain) else None,
            steps=tuple(Step(KINDS[kind], AFTER[after], *rest) for kind, after, *rest in listed),
        )

    def table(self) -> pa.Table:
        """One row per text; see the README for the columns."""
        return _table(self)


def verify(prompts: Any, texts: Any, config: Config, intended: Any = None, chat: bool = False) -> Verdicts:
    """`verify_one` for every text of an Arrow array with its prompt.

    `intended`: integers, an array or an Arrow array: each text's chain id, -1 or null where it is not known. Raises
    TypeError and ValueError as `parse_batch` does, and where there are not as many of them as texts.
    """
    batch = parse_batch(texts, config, prompts, chat)
    count = batch.fault_count.size
    wanted = _intended(intended, count, len(config.chains))
    chain_id = right_chains(batch, config)
    others = np.flatnonzero(chain_id < 0)
    slow = {r: verify_one(batch.row(r), config, _known(wanted[r])) for r in others.tolist()}
    rows = _right_rows(chain_id, wanted, config)
    counts = np.diff(batch.steps[batch.segments])
    counts[others] = [len(verdict.steps) for verdict in slow.values()]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    steps = _right_steps(batch, counts, config)
    chains = [config.chains[i].heads if i >= 0 else slow[r].chain for r, i in enumerate(chain_id.tolist())]
    _put(rows, others, _ROWS, slow.values())
    listed = [step for verdict in slow.values() for step in verdict.steps]
    _put(steps, np.flatnonzero(np.repeat(chain_id < 0, counts)), _STEPS, listed)
    return Verdicts(rows, chains, offsets, steps, config.owners)


def _right_rows(
    chain_id: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], config: Config
) -> dict[str, np.ndarray[Any, Any]]:
    """What is said of a text that is right throughout; the others are filled in later."""
    count = chain_id.size
    rows = {name: np.zeros(count, dtype) for name, dtype in _ROWS.items()}
    for name in ("parsed", "valid", "answer"):
        rows[name][:] = True
    rows["error_depth"][:] = rows["error_step"][:] = MISSING
    rows["chain_id"][:] = chain_id
    known, intended = wanted >= 0, chain_id == wanted
    rows["exact"][:] = np.where(known, intended, MISSING)
    rows["whose"][:] = np.where(known & intended, WHOSE.index("intended"), WHOSE.index("explains"))
    differ = np.flatnonzero(known & ~intended & (chain_id >= 0))
    if differ.size:
        number = np.array(config.classes.number)
        same = number[chain_id[differ]] == number[wanted[differ]]
        rows["whose"][differ[same]] = WHOSE.index("same function")
    return rows


def _right_steps(batch: Batch, counts: np.ndarray[Any, Any], config: Config) -> dict[str, np.ndarray[Any, Any]]:
    """The steps as they were written, of texts that anything is said of, as if all were right."""
    said = np.diff(batch.steps[batch.segments])
    sizes = np.diff(batch.steps)
    if (said != counts).any():  # of some no step is judged
        sizes = np.where(np.repeat(said == counts, np.diff(batch.segments)), sizes, 0)
        numbers = batch.numbers[np.repeat(said == counts, said)]
    else:
        numbers = batch.numbers
    depth = np.arange(sizes.size) - np.repeat(batch.segments[:-1], np.diff(batch.segments))
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    steps = {name: np.zeros(total, dtype) for name, dtype in _STEPS.items()}
    steps["op"] = np.repeat(batch.op.astype(np.uint8), sizes)
    steps["depth"] = np.repeat(depth.astype(np.int32), sizes)
    steps["step"] = np.arange(total, dtype=np.int32) - np.repeat(starts.astype(np.int32), sizes)
    for field in "abr":
        shown = field in config.grammar.step
        steps[field] = (
            np.ascontiguousarray(numbers[:, config.grammar.step.index(field)])
            if shown
            else np.full(total, MISSING, np.int32)
        )
    steps["expected"] = steps["r"].copy()
    return steps


def _known(value: Any) -> int | None:
    return None if value < 0 else int(value)


def _intended(intended: Any, count: int, chains: int) -> np.ndarray[Any, Any]:
    """int64[row], -1 where it is not known."""
    if intended is None:
        return np.full(count, -1, np.int64)
    values = intended.to_pylist() if hasattr(intended, "to_pylist") else intended
    found = np.array([-1 if value is None else value for value in values], np.int64)
    if found.size != count:
        raise ValueError(f"intended: there are {found.size}, and {count} texts; give one for each, null if unknown")
    if found.size and (found.min() < -1 or found.max() >= chains):
        raise ValueError(f"intended: must be chain ids from 0 to {chains - 1}, or -1; is {found.min()}..{found.max()}")
    return found


_ROWS: dict[str, Any] = {
    **dict.fromkeys(("parsed", "valid", "answer", "forced"), np.bool_),
    **dict.fromkeys(("fault", "whose", "error"), np.uint8),
    **dict.fromkeys(("faults", "chain_id", "error_depth", "error_step"), np.int32),
    "exact": np.int8,
}
_STEPS = {name: np.uint8 if name in ("kind", "after", "op", "other") else np.int32 for name in Step._fields}


def _put(
    arrays: dict[str, np.ndarray[Any, Any]], places: np.ndarray[Any, Any], dtypes: dict[str, Any], values: Iterable[Any]
) -> None:
    """Fields of verdicts or steps, one after the other, to their places in the arrays."""
    codes: dict[str, tuple[str, ...]] = {"fault": FAULTS, "whose": WHOSE, "error": KINDS, "kind": KINDS, "after": AFTER}
    listed = list(values)
    for name in dtypes if listed else ():
        found = [getattr(value, name) for value in listed]
        if name in codes:
            code = {word: i for i, word in enumerate(codes[name])}
            found = [code[word or codes[name][0]] for word in found]
        arrays[name][places] = [MISSING if value is None else value for value in found]


def _table(verdicts: Verdicts) -> pa.Table:
    import pyarrow as pa

    rows, count = verdicts.rows, len(verdicts.chains)

    def words(codes: np.ndarray[Any, Any], names: Sequence[str]) -> Any:
        dictionary = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([name or None for name in names]))
        return dictionary.cast(pa.string())

    def known(values: np.ndarray[Any, Any], dtype: Any) -> Any:
        return pa.array(values, mask=values < 0).cast(dtype)

    row_of_step = np.repeat(np.arange(count), np.diff(verdicts.offsets))

    def tally(chosen: np.ndarray[Any, Any]) -> Any:
        return pa.array(np.bincount(row_of_step[chosen], minlength=count).astype(np.uint32))

    after, kind, error = verdicts.steps["after"], verdicts.steps["kind"], rows["error"]
    depths, heads = rows["error_depth"], verdicts.chains
    at = [h[d] if 0 <= d < len(h) else None for h, d in zip(heads, depths.tolist(), strict=True)]
    return pa.table(
        {
            "parsed": rows["parsed"],
            "fault": words(rows["fault"], FAULTS),
            "faults": rows["faults"].astype(np.uint32),
            "depth": pa.array([min(len(chain), 255) for chain in heads], pa.uint8()),
            "chain": pa.array([" ".join(head or "?" for head in chain) for chain in heads], pa.string()),
            "chain_id": known(rows["chain_id"], pa.uint16()),
            "owner": pa.array([verdicts.owners.get(chain) for chain in rows["chain_id"].tolist()], pa.string()),
            "whose": words(rows["whose"], WHOSE),
            "valid": rows["valid"],
            "answer": rows["answer"],
            "exact": known(rows["exact"], pa.bool_()),
            "error": words(error, KINDS),
            "error_class": words(error, ("", *(CLASS_OF[name] for name in KINDS[1:]))),
            "error_depth": known(depths, pa.uint16()),
            "error_step": known(rows["error_step"], pa.uint16()),
            "error_head": pa.array([head or None for head in at], pa.string()),
            "steps": pa.array(np.diff(verdicts.offsets).astype(np.uint32)),
            "wrong": tally(kind > 0),
            "propagated": tally(after == AFTER.index("propagated")),
            "restored": tally(after == AFTER.index("restored")),
            "new": tally(after == AFTER.index("new error")),
            "forced": rows["forced"],
        }
    )


def reward(prompts: Any, completions: Any, config: Config) -> list[float]:
    """From 0 to 1 for each text of two lists of strings, as trainers ask for it: the mean of three parts.

    Parsed; the share of right steps before the first error, of those that were written and of those that a chain of
    one transformation has, whichever is more; the answer, which counts only where everything is right. So a text that
    states y without deriving it has nothing of the third part, and a chain that stops early nothing of it either.
    Without steps in the text the second part is the third. An empty text, or one without any right step, gets nothing.
    """
    import pyarrow as pa

    found = verify(pa.array(prompts, pa.string()), pa.array(completions, pa.string()), config)
    rewards = []
    for r in range(len(found.chains)):
        verdict = found.row(r)
        right = float(verdict.valid and verdict.answer)
        share = right
        if config.grammar.step and verdict.steps:
            wrong = next((i for i, step in enumerate(verdict.steps) if step.kind), len(verdict.steps))
            share = wrong / max(len(verdict.steps), config.splits[0].length.min)
        rewards.append((verdict.parsed + share + right) / 3 if share else 0.0)
    return rewards
