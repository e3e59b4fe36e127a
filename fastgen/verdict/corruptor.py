"""Errors drawn and written for a block of examples, compiled: what `critic.draw` gives for each, byte for byte.

It goes as `corrupt` does: one after the other, the ways in which a draft can have the error, until one would show. Rows
are taken one by one, and kernels called with one row, because hardly two rows have the same error at the same place.

All arrays are of int64 and given by address, in one record, the block, as in `judge`: to pass thirty arrays to each of
these functions took three times the time of all the rest, and longer to compile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, get_args

import numpy as np
from numba import from_dtype, types

from fastgen import rng
from fastgen.engine import Rows, dtypes
from fastgen.jit import address, call, call_for, jit
from fastgen.lanes import int64_at, set_int64
from fastgen.settings import Config
from fastgen.text.grammar import BETWEEN_PARTS, BETWEEN_STEPS, STEP
from fastgen.text.parse import LARGEST, MISSING
from fastgen.trace import steps_before, unpack
from fastgen.transforms import RECORDS
from fastgen.transforms.base import UNREDUCED, Role
from fastgen.verdict.corrupt import lacks, of_y
from fastgen.verdict.judge import as_block, compile_kernels, rules
from fastgen.verdict.kinds import (
    ARGUMENT,
    COPY,
    COUNT,
    DISOBEYED,
    FORCED,
    FORMAT,
    KINDS,
    NO_MODULO,
    OFF_BY_ONE,
    OPERAND,
    OTHER_OPERATION,
    OTHER_TRANSFORMATION,
    POSITION,
    REPEATED,
    SKIPPED,
    SOURCE,
    UNSTABLE,
    WRONG_CHAIN,
    WRONG_RESULT,
)
from fastgen.verdict.reference import by_value

_BIT = {role: np.int64(1 << i) for i, role in enumerate(get_args(Role))}
OF_POSITION, OF_SOURCE, OF_ELEMENT = _BIT["position"], _BIT["source"], _BIT["element"]
OF_PREVIOUS, OF_CONSTANT = _BIT["previous result"], _BIT["constant"]
OF_COUNT, OF_RESULT = _BIT["count"], _BIT["result"]

_, _, R = np.arange(len(STEP))
"""Which field of a step is its result."""

WORD, Y, CHAIN, TRACE, DEPTH = np.arange(5)
"""What a place of a completion can be."""

NOTHING = np.int64(0)
NOWHERE = np.int64(-1)
"""The head that nobody knows, and the number that is missing: both are written as `?`."""


# What a block is made of: numbers, and addresses of arrays. Heads are numbered as in `grammar.heads`.

RULES = (
    *("k", "stride"),  # of vectors and steps in SPACE: one more than the longest vector has
    *("shows", "kinds", "head_count", "operations", "places"),  # how many there are of `shown`, `kind`, `op`, ...
    *("of_y", "asks_trace"),  # the kind of a wrong y that the task asks for, or 0; whether it asks for a trace
    "limit",  # numbers below it can be written
    *("spelled", "question", "comma", "semicolon"),  # which words these are; so many are numbers, and then come heads
    "work",  # the address of `work`
)
TABLES = (
    "shown",  # [...]: which fields of a step are written, in their order
    "kind",  # [...]: of the errors that texts can have
    *("kernel", "op", "argument"),  # [head]; an address, as `result` has
    "result",  # [op]; 0 where the operands don't give it
    "operation",  # [...]: codes that could be taken for each other
    *("role", "ordered"),  # [op, field]: a bit for each role; [op]: its sources depend on the values
    *("starts", "chain_head"),  # [chain + 1], [...]: of a chain, its heads
    *("edges", "of_length"),  # [length + 1], [...]: of a length, the chains
    "place",  # [place, 2]: what stands there, of a WORD which
    *("words", "letter"),  # [word + 1], [...]: of a word, its bytes
)
SPACE = {
    "states": "vectors",  # x, and the vector behind each transformation, where all is right;
    "right": "steps",  # its steps;
    "chain": "heads",  # and the transformations.
    **{"other_states": "vectors", "other": "steps", "other_chain": "heads"},  # The same of another chain.
    "named": "heads",  # What the text says: the chain, where it names one;
    **{"heads": "heads", "sizes": "heads"},  # the transformations that it works, how many steps each has,
    "steps": "steps",  # which;
    "y": "vector",  # and y.
    **{"spare": "part", "spare_state": "vector"},
}
"""name -> what it holds: [depth + 1, element], [depth, step, field], [depth], [element] or [step, field]"""

BLOCK = np.dtype([(name, np.int64) for name in (*RULES, *TABLES, *SPACE)])


@lru_cache(maxsize=8)
def _tables(config: Config) -> tuple[dict[str, int], dict[str, np.ndarray[Any, Any]]] | None:
    """RULES and TABLES of a config; None where a record's `result` can't be compiled."""
    judged, grammar = rules(config), config.grammar
    if judged.numbers["plain"]:
        return None
    compile_kernels(judged, judged.tables["head_op"])
    number = {head: i for i, head in enumerate(grammar.heads)}
    by_length = sorted(range(len(config.chains)), key=lambda i: (len(config.chains[i]), i))
    lengths = [len(config.chains[i]) for i in by_length]
    roles, ordered = np.zeros((256, 3), np.int64), np.zeros(256, np.int64)
    for record in RECORDS.values():
        roles[record.code] = [_BIT[role] for role in record.roles]
        ordered[record.code] = "source" in record.roles and by_value(record)
    spelled = list(grammar.number_words or ())
    heads = [grammar.head(head) for head in grammar.heads]
    fixed = ["" if item.field else grammar.words[item.word] for item in grammar.completion]
    words = [*spelled, *heads, *fixed, "?", grammar.words[BETWEEN_STEPS], grammar.words[BETWEEN_PARTS]]
    letters = [word.encode() for word in words]
    fields = {"y": Y, "chain": CHAIN, "trace": TRACE, "depth": DEPTH}
    first_fixed = len(spelled) + len(heads)
    tables: dict[str, Any] = {
        "shown": [STEP.index(field) for field in grammar.step],
        "kind": [KINDS.index(kind) for kind in KINDS[1:] if not lacks(kind, config)],
        "kernel": judged.tables["kernel"][judged.tables["head_op"]],
        "op": judged.tables["head_op"],
        "argument": judged.tables["head_argument"].clip(0),
        "result": judged.tables["result"],
        "operation": judged.tables["operation"],
        "role": roles,
        "ordered": ordered,
        "starts": np.cumsum([0, *map(len, config.chains)]),
        "chain_head": [number[head] for chain in config.chains for head in chain.heads],
        "edges": np.searchsorted(lengths, np.arange(config.chain.max + 2)),
        "of_length": by_length,
        "place": [
            [fields[item.field] if item.field else WORD, first_fixed + i] for i, item in enumerate(grammar.completion)
        ],
        "words": np.cumsum([0, *map(len, letters)]),
        "letter": list(b"".join(letters)),
    }
    numbers = {
        "k": config.k,
        "stride": config.longest + 1,
        **{"shows": len(grammar.step), "kinds": len(tables["kind"]), "head_count": len(heads)},
        **{"operations": len(tables["operation"]), "places": len(grammar.completion)},
        "of_y": KINDS.index(of_y(config)),
        "asks_trace": int(any(item.field == "trace" for item in grammar.completion)),
        "limit": LARGEST if grammar.number_words is None else len(spelled),
        "spelled": len(spelled),
        **{"question": len(words) - 3, "comma": len(words) - 2, "semicolon": len(words) - 1},
        "work": _worker(*dtypes(config)),
    }
    return numbers, {name: np.ascontiguousarray(table, np.int64) for name, table in tables.items()}


@lru_cache(maxsize=4)
def _worker(vector: np.dtype[Any], code: np.dtype[Any]) -> int:
    """Where the code is that runs a head on a vector of these dtypes. All the rest does not depend on them."""
    bits, mask = np.uint64(code.itemsize * 2), np.uint64(2 ** (code.itemsize * 2) - 1)

    @jit
    def work(block, head, state, steps, after, n):
        x, y, trace = np.empty((n, 1), vector), np.empty((n, 1), vector), np.empty((n, 1), code)
        for i in range(n):
            x[i, 0] = int64_at(state, i)
        call(
            int64_at(block.kernel, head), x, y, trace, int64_at(block.op, head), block.k, int64_at(block.argument, head)
        )
        for i in range(n):
            step = np.uint64(trace[i, 0])
            for field in range(3):
                step >>= bits
                set_int64(steps, 3 * i + field, np.int64(step & mask))
            set_int64(after, i, np.int64(y[i, 0]))

    return address(work, (from_dtype(BLOCK), *[types.int64] * 5))


def corrupt_rows(
    config: Config, rows: Rows, start: int, first: int, last: int, draws: Sequence[int], most: int
) -> tuple[tuple[Any, Any], np.ndarray[Any, Any]] | None:
    """The texts of the rows first..last-1 as a column of `render.Texts`, and their errors.

    These are int64[row, 3]: kind, depth and step. `rows` have the index `start` first; `draws`: the first attempt,
    turns and places (see `critic`); `most` bytes has a text at most. None where a record's `result` can't be compiled:
    then plain Python has to do it.
    """
    if (known := _tables(config)) is None:
        return None
    numbers, tables = known
    depth, stride, count = config.chain.max, numbers["stride"], last - first
    sizes = {"vectors": (depth + 1) * stride, "steps": depth * stride * 3, "heads": depth}
    sizes |= {"vector": stride, "part": 3 * stride}
    space = {name: np.zeros(sizes[kind], np.int64) for name, kind in SPACE.items()}
    block = as_block(BLOCK, numbers, {**tables, **space})
    offsets, trace_offsets = rows.offsets[first : last + 1], rows.trace_offsets[first : last + 1]
    x = rows.x[offsets[0] : offsets[-1]].astype(np.int64)
    steps = np.stack(unpack(rows.trace[trace_offsets[0] : trace_offsets[-1]])[1:], axis=1).astype(np.int64)
    text_offsets, text = np.zeros(count + 1, np.int32), np.empty(count * most, np.uint8)
    found = np.zeros((count, 3), np.int64)
    drawn = np.uint64(config.seed), np.uint64(rows.split.stream), np.uint64(start + first), *draws
    where = rows.chain_id[first:last], offsets - offsets[0], trace_offsets - trace_offsets[0]
    _corrupt_rows(block, *drawn, *where, x, steps, found, text_offsets, text)
    return (text_offsets, text), found


@jit
def _corrupt_rows(
    blocks,
    seed,
    stream,
    start,
    attempt,
    turns,
    places,
    chain_id,
    offsets,
    trace_offsets,
    x,
    steps,
    found,
    text_offsets,
    text,
):
    block, words, p = blocks[0], np.empty(places + 2, np.uint64), np.int64(0)
    for r in range(chain_id.size):
        chain, n = np.int64(chain_id[r]), np.int64(offsets[r + 1] - offsets[r])
        count = int64_at(block.starts, chain + 1) - int64_at(block.starts, chain)
        for i in range(n):
            set_int64(block.states, i, x[offsets[r] + i])
            set_int64(block.other_states, i, x[offsets[r] + i])
        for depth in range(count):
            set_int64(block.chain, depth, int64_at(block.chain_head, int64_at(block.starts, chain) + depth))
            begin, part = trace_offsets[r] + steps_before(depth, n), _part(block, block.right, depth)
            for i in range(n):
                for field in range(3):
                    set_int64(part, 3 * i + field, steps[begin + i, field])
                set_int64(_state(block, block.states, depth + 1), i, steps[begin + i, R])
        index = start + np.uint64(r)
        kind, depth, step = _draw(block, seed, stream, index, attempt, turns, places, words, count, n)
        found[r, 0], found[r, 1], found[r, 2] = kind, depth, step
        p = _write(block, count, n, text, p)
        text_offsets[r + 1] = p


@jit
def _state(block, states, depth):
    """Where the vector is at a depth."""
    return states + 8 * depth * block.stride


@jit
def _part(block, steps, depth):
    """Where the steps are of a transformation."""
    return steps + 24 * depth * block.stride


@jit
def _draw(block, seed, stream, index, attempt, turns, places, words, count, n):
    """Kind, depth and step of the error that is drawn; the draft has it."""
    for turn in range(turns):
        for draw in range((places + 2) // 2):
            number = np.uint64((attempt + turn) << rng.ATTEMPT | draw)
            first, second = words[2 * draw : 2 * draw + 1], words[2 * draw + 1 : 2 * draw + 2]
            rng.fill_words(seed, stream, index, number, first, second)
        which, _ = rng.take_digit(words[0], np.uint64(block.kinds))
        kind = int64_at(block.kind, np.int64(which))
        for place in range(places):
            low, high = _depths(block, kind, count)
            consistent, word = rng.take_digit(words[1 + place], np.uint64(2))
            at, word = rng.take_digit(word, np.uint64(high - low))
            depth = low + np.int64(at)
            several = (block.shows > 0 or depth == count) and kind != WRONG_CHAIN
            at, word = rng.take_digit(word, np.uint64(n if several else 1))
            step = np.int64(at)
            choice, _ = rng.take_digit(word, np.uint64(2**32))
            if _corrupt(block, kind, depth, step, np.int64(consistent), np.int64(choice), count, n):
                return kind, depth, step
    _corrupt(block, FORMAT, NOTHING, NOTHING, NOTHING, NOTHING, count, n)
    return FORMAT, NOTHING, NOTHING


@jit
def _depths(block, kind, count):
    """`corrupt.depths`: the first, and the one behind the last."""
    if kind == WRONG_CHAIN:
        return count, count + 1
    first = count - 1 if kind == FORCED else 0 if block.asks_trace else count
    return first, count + (kind == block.of_y)


@jit
def _corrupt(block, kind, depth, step, consistent, choice, count, n):
    """Whether the error can be there; then the draft has it."""
    for at in range(count):
        set_int64(block.named, at, int64_at(block.chain, at))
        set_int64(block.heads, at, int64_at(block.chain, at))
        set_int64(block.sizes, at, n)
        _copy(_part(block, block.right, at), _part(block, block.steps, at), 3 * n)
    _copy(_state(block, block.states, count), block.y, n)
    if kind == WRONG_CHAIN or (kind == FORCED and depth < count):
        return _other_chain(block, kind, step, consistent, choice, count, n)
    if depth == count:
        set_int64(block.y, step, (int64_at(block.y, step) + 1 + choice % (block.k - 1)) % block.k)
        return True
    if kind == DISOBEYED or kind == OTHER_TRANSFORMATION:
        return _other_head(block, kind, depth, step, consistent, choice, count, n)
    if block.shows == 0:
        set_int64(block.heads, depth, NOWHERE)
        return kind == FORMAT and step == 0
    if kind == SKIPPED or kind == REPEATED:
        return _other_size(block, kind, depth, step, consistent, count, n)
    return _wrong_step(block, kind, depth, step, consistent, choice, count, n)


@jit
def _copy(source, target, size):
    for i in range(size):
        set_int64(target, i, int64_at(source, i))


@jit
def _work(block, head, state, steps, after, n):
    """The steps of a transformation on a vector, and the vector behind it, which may be the same."""
    call(block.work, block, head, state, steps, after, n)


@jit
def _differ(block, one, other, i):
    """Whether what is shown of a step differs."""
    for place in range(block.shows):
        field = 3 * i + int64_at(block.shown, place)
        if int64_at(one, field) != int64_at(other, field):
            return True
    return False


@jit
def _is_of_another(block, head, steps, state, n):
    """Whether these are all steps of another transformation of the graph, as far as the text shows them."""
    for other in range(block.head_count):
        if other != head:
            _work(block, other, state, block.spare, block.spare_state, n)
            i = 0
            while i < n and not _differ(block, block.spare, steps, i):
                i += 1
            if i == n:
                return True
    return False


@jit
def _has_role(block, op, field, roles):
    """Whether a field has one of some roles, and is shown."""
    return int64_at(block.role, 3 * op + field) & roles != 0 and _is_shown(block, field)


@jit
def _is_shown(block, field):
    for place in range(block.shows):
        if int64_at(block.shown, place) == field:
            return True
    return False


@jit
def _place(block, op, role):
    """Which operand has a role; MISSING where none has."""
    for place in range(2):
        if int64_at(block.role, 3 * op + place) == role:
            return place
    return MISSING


@jit
def _other_chain(block, kind, step, consistent, choice, count, n):
    """Another chain of the same length that does not lead to y, or is bent to it from `step` on."""
    first, worked = int64_at(block.edges, count), 0
    several = int64_at(block.edges, count + 1) - first
    for i in range(several):
        start = int64_at(block.starts, int64_at(block.of_length, first + (choice + i) % several))
        same = 0  # neighbours begin with the same transformations: a third of the work
        while same < worked and int64_at(block.other_chain, same) == int64_at(block.chain_head, start + same):
            same += 1
        for at in range(same, count):
            head, state = int64_at(block.chain_head, start + at), _state(block, block.other_states, at)
            set_int64(block.other_chain, at, head)
            _work(block, head, state, _part(block, block.other, at), _state(block, block.other_states, at + 1), n)
        worked = count
        differs, result = 0, _state(block, block.other_states, count)
        while differs < n and int64_at(result, differs) == int64_at(block.y, differs):
            differs += 1
        if differs == n or (kind == FORCED and differs != step):
            continue
        for at in range(count):
            set_int64(block.named, at, int64_at(block.other_chain, at))
            set_int64(block.heads, at, int64_at(block.other_chain, at))
            _copy(_part(block, block.other, at), _part(block, block.steps, at), 3 * n)
        if kind == WRONG_CHAIN or _bend(block, consistent, count, n):
            return True
    return False


@jit
def _bend(block, consistent, count, n):
    """The results of the last transformation become y's; whether that shows."""
    head, steps = int64_at(block.heads, count - 1), _part(block, block.steps, count - 1)
    previous = _place(block, int64_at(block.op, head), OF_PREVIOUS)
    for i in range(n):
        if consistent and previous != MISSING and i:
            set_int64(steps, 3 * i + previous, int64_at(block.y, i - 1))
        set_int64(steps, 3 * i + R, int64_at(block.y, i))
    return not _is_of_another(block, head, steps, _state(block, block.other_states, count - 1), n)


@jit
def _other_head(block, kind, depth, step, consistent, choice, count, n):
    """Another transformation of the graph, under its own head or under the right one."""
    head, others = int64_at(block.chain, depth), block.head_count - 1
    steps, due = _part(block, block.steps, depth), _part(block, block.right, depth)
    for i in range(others):
        other = (choice + i) % others
        other += other >= head
        _work(block, other, _state(block, block.states, depth), steps, block.spare_state, n)
        first = 0
        while kind == OTHER_TRANSFORMATION and first < n and not _differ(block, due, steps, first):
            first += 1
        if first == step:
            set_int64(block.heads, depth, other if kind == DISOBEYED else head)
            if consistent:
                _follow(block, depth, count, n)
            return True
    return False


@jit
def _follow(block, depth, count, n):
    """What is behind a transformation becomes right for `spare_state`, the vector behind it."""
    _copy(block.spare_state, block.y, n)
    for at in range(depth + 1, count):
        _work(block, int64_at(block.heads, at), block.y, _part(block, block.steps, at), block.y, n)


@jit
def _go_on(block, op, steps, step, size):
    """What is behind a step, in its transformation, becomes right for the results that are written."""
    previous = _place(block, op, OF_PREVIOUS)
    if previous == MISSING or int64_at(block.result, op) == 0:
        return
    for i in range(step + 1, size):
        before = int64_at(steps, 3 * (i - 1) + R)
        if 0 <= before < block.k:
            set_int64(steps, 3 * i + previous, before)
            set_int64(steps, 3 * i + R, _result(block, op, steps, i, block.k))


@jit
def _result(block, op, steps, i, k):
    """What the operands of a step give."""
    return call_for(int64_at(block.result, op), int64_at(steps, 3 * i), int64_at(steps, 3 * i + 1), k)


@jit
def _other_size(block, kind, depth, step, consistent, count, n):
    """A step too few or too many."""
    op = int64_at(block.op, int64_at(block.chain, depth))
    steps, due = _part(block, block.steps, depth), _part(block, block.right, depth)
    at, neighbour = (step, step - 1) if kind == SKIPPED else (step - 1, step)
    if at < 0 or n == 1:
        return False
    told, equal = False, neighbour >= 0
    for field in range(2):
        if _has_role(block, op, field, ~OF_PREVIOUS):
            told = True
            equal = equal and int64_at(due, 3 * neighbour + field) == int64_at(due, 3 * at + field)
    if not told:
        if not _is_shown(block, R):
            return False
        equal = equal and int64_at(due, 3 * neighbour + R) == int64_at(due, 3 * at + R)
    if equal:  # which of the two it is can't be told
        return False
    size = n - 1 if kind == SKIPPED else n + 1
    for i in range(at + (kind == REPEATED), size):
        _copy(due + 24 * (i + n - size), steps + 24 * i, 3)
    set_int64(block.sizes, depth, size)
    if consistent:
        _copy(_state(block, block.states, depth + 1), block.spare_state, n)
        previous = _place(block, op, OF_PREVIOUS)
        hides = previous != MISSING and not _is_shown(block, previous) and not _is_shown(block, R)
        if kind == SKIPPED and hides:
            _go_on(block, op, steps, max(step, 1) - 1, size)
            for i in range(step, size):
                set_int64(block.spare_state, i + 1, int64_at(steps, 3 * i + R))
        _follow(block, depth, count, n)
    return True


@jit
def _wrong_step(block, kind, depth, step, consistent, choice, count, n):
    """A step with a wrong number."""
    op, due = int64_at(block.op, int64_at(block.chain, depth)), _part(block, block.right, depth)
    whole, source = block.shows == 3, _place(block, op, OF_SOURCE)
    if kind == FORMAT:
        field = int64_at(block.shown, choice % block.shows)
        return _wrong(block, depth, step, field, NOWHERE, consistent, count, n)
    if kind == NO_MODULO:
        if not whole or int64_at(block.result, op) == 0:
            return False
        value = _result(block, op, due, step, UNREDUCED)
        return block.k <= value < block.limit and _wrong(block, depth, step, R, value, consistent, count, n)
    roles = _roles(kind, whole, source != MISSING, int64_at(block.ordered, op))
    bound = n if roles & (OF_POSITION | OF_SOURCE | OF_COUNT) else block.k
    several = 0
    for field in range(3):
        several += _has_role(block, op, field, roles)
    for i in range(several * (bound - 1)):
        turn, which = divmod((choice + i) % (several * (bound - 1)), several)
        field = np.int64(-1)
        while which >= 0:
            field += 1
            which -= _has_role(block, op, field, roles)
        value = (int64_at(due, 3 * step + field) + 1 + turn) % bound
        if kind == SOURCE or kind == UNSTABLE:
            equal = int64_at(_state(block, block.states, depth), value) == int64_at(due, 3 * step + R)
            fits = equal == (kind == UNSTABLE)
        else:
            fits = not roles & OF_RESULT or kind == COPY or _kind_of_result(block, op, due, step, value, whole) == kind
        if fits and _wrong(block, depth, step, field, value, consistent, count, n):
            return True
    return False


@jit
def _roles(kind, whole, has_source, ordered):
    """Which numbers are wrong in an error of a kind."""
    if kind == POSITION:
        return OF_POSITION if ordered else OF_POSITION | OF_SOURCE
    if kind == ARGUMENT:
        return OF_CONSTANT
    if kind == OPERAND:
        return OF_ELEMENT
    if kind == COUNT:
        return OF_COUNT
    if kind == SOURCE or kind == UNSTABLE:
        return OF_SOURCE if ordered else NOTHING
    if kind == COPY:
        return OF_PREVIOUS if not has_source else OF_RESULT if whole else NOTHING
    return NOTHING if whole and has_source else OF_RESULT


@jit
def _kind_of_result(block, op, due, step, value, whole):
    if whole and int64_at(block.result, op):
        away = (value - int64_at(due, 3 * step + R)) % block.k
        if away == 1 or away == block.k - 1:
            return OFF_BY_ONE
        for i in range(block.operations):
            if _result(block, int64_at(block.operation, i), due, step, block.k) == value:
                return OTHER_OPERATION
    return WRONG_RESULT


@jit
def _wrong(block, depth, step, field, value, consistent, count, n):
    """One number of a step becomes another, and the result what a wrong operand gives; whether that shows."""
    head, state, k = int64_at(block.chain, depth), _state(block, block.states, depth), block.k
    op, steps, due = int64_at(block.op, head), _part(block, block.steps, depth), _part(block, block.right, depth)
    _copy(due, steps, 3 * n)
    set_int64(steps, 3 * step + field, value)
    if field != R and value != NOWHERE:
        source = _place(block, op, OF_SOURCE)
        if source != MISSING:
            set_int64(steps, 3 * step + R, int64_at(state, int64_at(steps, 3 * step + source)))
        elif int64_at(block.result, op):
            set_int64(steps, 3 * step + R, _result(block, op, steps, step, k))
    if consistent:
        _go_on(block, op, steps, step, n)
    if _is_of_another(block, head, steps, state, n):
        return False
    if consistent:
        for i in range(n):
            r = int64_at(steps, 3 * i + R)
            set_int64(block.spare_state, i, r if 0 <= r < k else int64_at(due, 3 * i + R))
        _follow(block, depth, count, n)
    return True


# Writing: each word with the blank before it. Returned is where it ends.


@jit
def _write(block, count, n, text, p):
    """The completion that the draft says."""
    for place in range(block.places):
        what = int64_at(block.place, 2 * place)
        if what == WORD:
            p = _write_word(block, int64_at(block.place, 2 * place + 1), text, p)
        elif what == DEPTH:
            p = _write_number(block, count, text, p)
        elif what == Y:
            for i in range(n):
                p = _write_number(block, int64_at(block.y, i), text, p)
        else:
            for depth in range(count):
                if depth:
                    p = _write_word(block, block.semicolon, text, p)
                if what == CHAIN:
                    p = _write_word(block, block.spelled + int64_at(block.named, depth), text, p)
                else:
                    p = _write_part(block, depth, text, p)
    return p


@jit
def _write_part(block, depth, text, p):
    head, steps = int64_at(block.heads, depth), _part(block, block.steps, depth)
    p = _write_word(block, block.question if head == NOWHERE else block.spelled + head, text, p)
    if block.shows:
        for i in range(int64_at(block.sizes, depth)):
            if i and block.shows > 1:
                p = _write_word(block, block.comma, text, p)
            for place in range(block.shows):
                p = _write_number(block, int64_at(steps, 3 * i + int64_at(block.shown, place)), text, p)
    return p


@jit
def _write_word(block, word, text, p):
    text[p] = 32
    p += 1
    for i in range(int64_at(block.words, word), int64_at(block.words, word + 1)):
        text[p] = int64_at(block.letter, i)
        p += 1
    return p


@jit
def _write_number(block, value, text, p):
    if value == NOWHERE:
        return _write_word(block, block.question, text, p)
    if value < block.spelled:
        return _write_word(block, value, text, p)
    digits, rest = 1, value // 10
    while rest:
        digits, rest = digits + 1, rest // 10
    text[p] = 32
    for i in range(digits, 0, -1):
        text[p + i] = 48 + value % 10
        value //= 10
    return p + 1 + digits
