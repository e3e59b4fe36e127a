"""Traces with one error of a chosen kind at a known place: to test an evaluation, and to train critics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from fastgen.engine import Example
from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, Item
from fastgen.text.parse import LARGEST
from fastgen.text.render import said
from fastgen.transforms import RECORDS, Record, Step, Transformation
from fastgen.transforms.base import UNREDUCED, split_head
from fastgen.verdict.kinds import KINDS
from fastgen.verdict.reference import by_value, other_results

T = TypeVar("T")

FIELDS = "abr"


class Part(NamedTuple):
    """A transformation as it is written."""

    head: str
    steps: list[Step]
    """A negative number is written as `?`."""


class Draft(NamedTuple):
    """What a completion will say."""

    chain: tuple[str, ...]
    """Where it names one."""
    parts: list[Part]
    y: Sequence[int]


def corrupt(
    example: Example,
    config: Config,
    kind: str,
    depth: int | None = None,
    step: int | None = None,
    consistent: bool = False,
    choice: int = 0,
) -> str:
    """The completion of an example with one error, which `verify` names `kind` at `(depth, step)`.

    What follows the error stays as it was, or with `consistent` is right for the wrong state (which a step too few or
    too many leaves as it was). Where there are several such errors, `choice` (0, 1, ...) goes round among them. One
    transformation past the last is the y that a task asks for behind the trace, or instead of it. `wrong chain` works
    another chain of the same length, and has no place; `forced` does too, and bends the last vector to y.

    Raises ValueError for a kind that there is not, or that texts of this config can't have (`lacks` says why), a place
    that the example does not have, and where this step cannot have that error or it could not be told from another:
    `unstable` without equal elements, `skipped` of a step whose operands are those of the one before.

    >>> from fastgen.doors import compose
    >>> drawn = Example(0, 0, ("add3",), [3, 1, 4], [6, 4, 7], [(1, 3, 3, 6), (1, 1, 3, 4), (1, 4, 3, 7)])
    >>> corrupt(drawn, compose("length=3"), "off by one", 0, 1)
    ' add3 3 3 6 , 1 3 5 , 4 3 7 .'
    >>> corrupt(drawn, compose("length=3"), "other transformation", 0, 0)
    ' add3 0 1 1 , 1 0 3 , 2 2 4 .'
    >>> corrupt(drawn, compose("length=3", "task=execute"), "disobeyed", 0, 0, consistent=True)
    ' sort 0 1 1 , 1 0 3 , 2 2 4 -> 1 3 4 .'
    >>> config = compose("length=3", "chain.min=1")
    >>> corrupt(drawn, config, "wrong chain")
    ' sort 0 1 1 , 1 0 3 , 2 2 4 .'
    >>> corrupt(drawn, config, "forced", 0, 0)
    ' sort 0 1 6 , 1 0 4 , 2 2 7 .'
    """
    if kind not in KINDS[1:]:
        raise ValueError(f"kind={kind}: there are {', '.join(KINDS[1:])}")
    if lack := lacks(kind, config):
        raise ValueError(f"kind={kind}: needs {lack}")
    right = Draft(example.chain, _worked(example.chain, example.x, config.k), example.y)
    if kind == "wrong chain":
        if depth is not None or step is not None:
            raise ValueError(f"depth={depth} step={step}: a wrong chain has no place; leave them out")
        drafts = _other_chains(example, config, choice)
    else:
        length, behind = len(example.x), len(example.chain)
        possible = depths(kind, config, behind)
        if depth is None or step is None or depth not in possible or not 0 <= step < length:
            rule = f"in the text there may be one at depth {', '.join(map(str, possible))}, step 0 to {length - 1}"
            raise ValueError(f"depth={depth} step={step}: {rule}")
        if depth == behind:
            drafts = (right._replace(y=y) for y in _wrong_y(example.y, step, config.k, choice))
        elif kind == "forced":
            chains = _other_chains(example, config, choice)
            drafts = (bent for each in chains if (bent := _bent(each, example, config, step, consistent)))
        elif kind in ("disobeyed", "other transformation"):
            drafts = _other_heads(right, example, config, kind, depth, step, consistent, choice)
        else:
            drafts = _wrong_steps(right, example, config, kind, depth, step, consistent, choice)
    found = next(drafts, None)
    if found is None:
        where = "the example" if depth is None else f"step {step} of {[*example.chain, 'y'][depth]}"
        raise ValueError(f"kind={kind}: {where} can't have it, or it would not show; try another place")
    return _written(found, example, config)


def depths(kind: str, config: Config, transformations: int) -> range:
    """The depths at which a chain of so many transformations may have an error of a kind; behind it for the whole."""
    if kind == "wrong chain":
        return range(transformations, transformations + 1)
    first = transformations - 1 if kind == "forced" else 0 if _asks(config, "trace") else transformations
    return range(first, transformations + (kind == of_y(config)))


def lacks(kind: str, config: Config) -> str:
    """What texts of a config lack to have an error of a kind; empty where they can have it.

    >>> from fastgen.doors import compose
    >>> lacks("off by one", compose()), lacks("off by one", compose("text=result"))
    ('', 'text.step to show a, b and r')
    """
    given = {item.field for item in config.grammar.prompt}
    shown = set(config.grammar.step) if _asks(config, "trace") else set()
    if kind in ("wrong chain", "forced") and ("y" not in given or "chain" in given):
        return "a prompt that shows y and not the chain, as task=infer"
    if kind == "disobeyed" and "chain" not in given and not _asks(config, "chain"):
        return "a chain that is given or planned, as task=execute or task=plan"
    if kind in ("wrong chain", of_y(config)) or (kind == "format" and _asks(config, "trace")):
        return ""
    if not shown:
        return "text that shows steps, as task=infer text=full"
    if kind in ("position", "argument", "operand", "copy", "source", "unstable", "count") and shown == {"r"}:
        return "text.step to show operands, a and b"
    if kind in ("off by one", "no modulo", "other operation") and shown != set(FIELDS):
        return "text.step to show a, b and r"
    if kind in ("forced", "wrong result", "other transformation") and "r" not in shown:
        return "text.step to show r"
    return ""


def of_y(config: Config) -> str:
    """The kind of a wrong y that a task asks for; empty where it asks for none."""
    return (
        "" if not _asks(config, "y") else "copy" if _asks(config, "trace") and config.grammar.step else "wrong result"
    )


def _asks(config: Config, field: str) -> bool:
    return any(item.field == field for item in config.grammar.completion)


# What is right


def _transformation(head: str) -> Transformation:
    name, argument = split_head(head) or ("", None)
    return Transformation(RECORDS[name], argument)


def _worked(heads: Sequence[str], state: Sequence[int], k: int) -> list[Part]:
    """Transformations, worked without an error."""
    parts = []
    for head in heads:
        parts.append(Part(head, []))
        state = _transformation(head)(state, k, parts[-1].steps)
    return parts


def _results(steps: Sequence[Step]) -> list[int]:
    return [r for _, _, _, r in steps]


def _before(draft: Draft, depth: int, example: Example) -> list[int]:
    """The vector before a transformation."""
    return _results(draft.parts[depth - 1].steps) if depth else example.x


def _rotated(values: Sequence[T], choice: int) -> Sequence[T]:
    """The same values, the one at `choice` first."""
    start = choice % max(len(values), 1)
    return [*values[start:], *values[:start]]


def _shown(step: Step, config: Config) -> tuple[int, ...]:
    """What the text shows of a step."""
    return tuple(step[1 + FIELDS.index(field)] for field in config.grammar.step)


def _is_of_another(head: str, steps: Sequence[Step], state: Sequence[int], config: Config) -> bool:
    """Whether these are all steps of another transformation of the graph, as far as the text shows them."""
    if len(steps) != len(state):
        return False
    wanted = [_shown(step, config) for step in steps]
    others = (_worked([other], state, config.k)[0].steps for other in config.grammar.heads if other != head)
    pairs = (zip(other, wanted, strict=True) for other in others)
    return any(all(_shown(step, config) == shown for step, shown in pair) for pair in pairs)


# What is wrong: every draft with the error, the one at `choice` first


def _other_chains(example: Example, config: Config, choice: int) -> Iterator[Draft]:
    """Other chains of the same length that do not lead to y, worked without an error."""
    chains = [chain.heads for chain in config.chains if len(chain) == len(example.chain)]
    parts: list[Part] = []
    for heads in _rotated(chains, choice):
        # Neighbours begin with the same transformations: a third of the work.
        same = next((t for t, part in enumerate(parts) if part.head != heads[t]), len(parts))
        state = _results(parts[same - 1].steps) if same else example.x
        parts = parts[:same] + _worked(heads[same:], state, config.k)
        if _results(parts[-1].steps) != example.y:
            yield Draft(heads, parts, example.y)


def _bent(draft: Draft, example: Example, config: Config, step: int, consistent: bool) -> Draft | None:
    """The draft with the results of its last transformation bent to y, if the first that has to be is at `step`."""
    head, right = draft.parts[-1]
    if next(i for i, r in enumerate(_results(right)) if r != example.y[i]) != step:
        return None
    previous = _place(_transformation(head).record, "previous result")
    steps = []
    for i, (op, *operands, _) in enumerate(right):
        if consistent and previous is not None and i:
            operands[previous] = example.y[i - 1]
        steps.append((op, operands[0], operands[1], example.y[i]))
    if _is_of_another(head, steps, _before(draft, len(draft.parts) - 1, example), config):
        return None
    return draft._replace(parts=[*draft.parts[:-1], Part(head, steps)])


def _other_heads(
    right: Draft, example: Example, config: Config, kind: str, depth: int, step: int, consistent: bool, choice: int
) -> Iterator[Draft]:
    """Another transformation of the graph, under its own head (`disobeyed`) or under the right one."""
    head, due = right.parts[depth]
    state = _before(right, depth, example)
    for other in _rotated([other for other in config.grammar.heads if other != head], choice):
        steps = _worked([other], state, config.k)[0].steps
        pairs = enumerate(zip(due, steps, strict=True))
        differ = (i for i, (one, another) in pairs if _shown(one, config) != _shown(another, config))
        first = 0 if kind == "disobeyed" else next(differ, None)
        if first == step:
            part = Part(other if kind == "disobeyed" else head, steps)
            yield _followed(right, depth, part, _results(steps), consistent, config.k)


def _wrong_steps(
    right: Draft, example: Example, config: Config, kind: str, depth: int, step: int, consistent: bool, choice: int
) -> Iterator[Draft]:
    """One wrong step, or a step too few or too many; without steps in the text, a head that nobody knows."""
    head, due = right.parts[depth]
    if not config.grammar.step:
        if kind == "format" and step == 0:
            yield right._replace(parts=[*right.parts[:depth], Part("?", due), *right.parts[depth + 1 :]])
        return
    state, record = _before(right, depth, example), _transformation(head).record
    for steps in _with_error(record, kind, due, step, state, config, choice):
        results = _results(due)
        if len(steps) == len(due):
            if consistent:
                _continue(record, steps, step, config.k)
            pairs = zip(_results(steps), results, strict=True)
            results = [r if 0 <= r < config.k else was for r, was in pairs]
        elif consistent and kind == "skipped" and _hides_results(record, config):
            _continue(record, steps, max(step, 1) - 1, config.k)
            results = results[: step + 1] + _results(steps[step:])
        if not _is_of_another(head, steps, state, config):
            yield _followed(right, depth, Part(head, steps), results, consistent, config.k)


def _wrong_y(y: Sequence[int], step: int, k: int, choice: int) -> Iterator[list[int]]:
    for value in _others(y[step], k, choice):
        yield [*y[:step], value, *y[step + 1 :]]


def _others(value: int, bound: int, choice: int) -> Iterator[int]:
    """All other numbers below a bound."""
    return ((value + 1 + (choice + i) % (bound - 1)) % bound for i in range(bound - 1))


def _with_error(
    record: Record, kind: str, due: list[Step], step: int, state: Sequence[int], config: Config, choice: int
) -> Iterator[list[Step]]:
    """The steps of a transformation with the error."""
    if kind not in ("skipped", "repeated"):
        for wrong in _wrong(record, kind, due[step], state, config, choice):
            yield [*due[:step], wrong, *due[step + 1 :]]
        return
    at, neighbour = (step, step - 1) if kind == "skipped" else (step - 1, step)
    if at < 0 or len(due) == 1:
        return
    told = [i for i in range(2) if record.roles[i] != "previous result" and FIELDS[i] in config.grammar.step] or [2]
    if any(FIELDS[i] not in config.grammar.step for i in told):
        return
    if 0 <= neighbour < len(due) and all(due[neighbour][1 + i] == due[at][1 + i] for i in told):
        return  # which of the two equal ones it is can't be told
    yield due[:at] + due[at + 1 :] if kind == "skipped" else due[: at + 1] + due[at:]


def _wrong(record: Record, kind: str, due: Step, state: Sequence[int], config: Config, choice: int) -> Iterator[Step]:
    """The steps that have this error in the place of the one that is due."""
    k, length, shown = config.k, len(state), config.grammar.step
    whole = set(shown) == set(FIELDS)

    def numbers(bound: int, *roles: str) -> Iterator[tuple[int, int]]:
        """Every other number below `bound` in each place of these roles that is shown: (place, number)."""
        places = [i for i in range(3) if record.roles[i] in roles and FIELDS[i] in shown]
        count = len(places) * (bound - 1)
        for i in range(count):
            turn, which = divmod((choice + i) % count, len(places))
            yield places[which], (due[1 + places[which]] + 1 + turn) % bound

    def made(found: Iterator[tuple[int, int]]) -> Iterator[Step]:
        """With a wrong operand the result is what it gives, a wrong result stands alone."""
        for place, value in found:
            new = list(due[1:])
            new[place] = value
            if place < 2:
                source = _place(record, "source")
                if source is not None:
                    new[2] = state[new[source]]
                elif record.of_operands:
                    new[2] = record.of_operands(new[0], new[1], k)
            yield (due[0], new[0], new[1], new[2])

    ordered = "source" in record.roles and by_value(record)
    match kind:
        case "format":
            field = FIELDS.index(shown[choice % len(shown)])
            yield tuple(-1 if i == 1 + field else value for i, value in enumerate(due))  # type: ignore[misc]
        case "position":
            yield from made(numbers(length, "position", *([] if ordered else ["source"])))
        case "argument":
            yield from made(numbers(k, "constant"))
        case "operand":
            yield from made(numbers(k, "element"))
        case "count":
            yield from made(numbers(length, "count"))
        case "source" | "unstable" if ordered:
            found = numbers(length, "source")
            yield from made(pair for pair in found if (state[pair[1]] == due[3]) == (kind == "unstable"))
        case "copy" if "source" not in record.roles:
            yield from made(numbers(k, "previous result"))
        case "copy" if whole:
            yield from made(numbers(k, "result"))
        case "no modulo" if whole and record.of_operands:
            value, words = record.of_operands(due[1], due[2], UNREDUCED), config.grammar.number_words
            if k <= value < (LARGEST if words is None else len(words)):
                yield (*due[:3], value)
        case "off by one" | "other operation" | "wrong result" if not (whole and "source" in record.roles):
            others = other_results(due[1], due[2], k)
            for place, value in numbers(k, "result"):
                name = "wrong result"
                if whole and record.of_operands:
                    near = (value - due[3]) % k in (1, k - 1)
                    name = "off by one" if near else "other operation" if value in others else name
                if name == kind:
                    yield from made(iter([(place, value)]))


def _place(record: Record, role: str) -> int | None:
    """Which operand has a role."""
    return next((i for i in range(2) if record.roles[i] == role), None)


# What follows


def _continue(record: Record, steps: list[Step], step: int, k: int) -> None:
    """What follows a step within its transformation, as it is right for the results that were written."""
    previous = _place(record, "previous result")
    if previous is None or record.of_operands is None:
        return
    for i in range(step + 1, len(steps)):
        if 0 <= steps[i - 1][3] < k:
            op, *operands, _ = steps[i]
            operands[previous] = steps[i - 1][3]
            steps[i] = (op, operands[0], operands[1], record.of_operands(operands[0], operands[1], k))


def _hides_results(record: Record, config: Config) -> bool:
    """Whether neither results nor the operands that repeat them are shown: then they are those of what is shown."""
    previous = _place(record, "previous result")
    return previous is not None and not {FIELDS[previous], "r"} & set(config.grammar.step)


def _followed(right: Draft, depth: int, part: Part, state: Sequence[int], consistent: bool, k: int) -> Draft:
    """The right draft with another part, and what follows it."""
    if not consistent:
        return right._replace(parts=[*right.parts[:depth], part, *right.parts[depth + 1 :]])
    rest = _worked([part.head for part in right.parts[depth + 1 :]], state, k)
    y = _results(rest[-1].steps) if rest else state
    return right._replace(parts=[*right.parts[:depth], part, *rest], y=y)


def _written(draft: Draft, example: Example, config: Config) -> str:
    """The completion that a draft says."""
    grammar = config.grammar
    between = f" {grammar.words[BETWEEN_STEPS]} " if len(grammar.step) > 1 else " "
    known = replace(example, chain=draft.chain, y=list(draft.y))

    def part(head: str, steps: Sequence[Step]) -> str:
        name = "?" if head == "?" else grammar.head(head)
        shown = (_shown(step, config) for step in steps if grammar.step)
        written = (" ".join("?" if value < 0 else grammar.number(value) for value in step) for step in shown)
        return f"{name} {between.join(written)}".rstrip()

    def place(item: Item) -> str:
        if item.field != "trace":
            return said(item, known, config)
        return f" {grammar.words[BETWEEN_PARTS]} ".join(part(*each) for each in draft.parts)

    return " " + " ".join(map(place, grammar.completion))
