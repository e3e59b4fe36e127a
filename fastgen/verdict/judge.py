"""Verdicts on a block of texts, compiled: what `verify_one` says of each, field by field.

Transformation by transformation, the kernels run on the states that the texts have reached: on all texts with the same
head and length together, by address. Where a text's steps are the kernel's, nothing more has to be asked. Else each
step is judged, and from there on the kernels run on the states of the text's chain, too, to tell what is restored.

All arrays are given by address, in one record, the block: a function that is given sixty arrays takes a second to
compile and more time to call than to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from fastgen.engine import dtypes
from fastgen.jit import address, call, call_for, jit
from fastgen.lanes import byte_at, int32_at, int64_at, set_byte, set_int32, set_int64
from fastgen.settings import Config
from fastgen.text.batch import Batch
from fastgen.text.grammar import FIELDS
from fastgen.text.parse import FEW_STEPS, MANY_STEPS, MISSING, PROMPT, RANGE, TRUNCATED
from fastgen.trace import LARGEST, NARROW
from fastgen.transforms import RECORDS
from fastgen.transforms.base import RESULT, UNREDUCED, split_head
from fastgen.verdict.kinds import (
    AFTER,
    COPY,
    DISOBEYED,
    FORCED,
    FORMAT,
    KINDS,
    NO_MODULO,
    OFF_BY_ONE,
    OTHER_OPERATION,
    OTHER_TRANSFORMATION,
    REPEATED,
    SKIPPED,
    SOURCE,
    UNSTABLE,
    WHOSE,
    WRONG_CHAIN,
    WRONG_RESULT,
)
from fastgen.verdict.reference import OPERAND, by_value, computes

Arrays = dict[str, np.ndarray[Any, Any]]

CHUNK = 2048
"""Texts that go from transformation to transformation together. Of 32,768, each takes half as long again: what is known
of them falls out of the cache."""

TILE = 256
"""Texts that a kernel runs on at once: states and step codes of 16 elements stay in the first-level cache."""

TILE_ELEMENTS = 65_536
"""Elements of their states: those of the longest vector there is, alone, or of 256 with 256 elements."""

_, PROPAGATED, RESTORED, NEW_ERROR = np.arange(len(AFTER))
NONE, INTENDED, _, EXPLAINS, ILLEGAL = np.arange(len(WHOSE))

UNREAD, PLAIN, READ = np.arange(3)
"""What can be done with a text: nothing, as its prompt gives no x; what only plain Python does; all."""

CLEAN, FOLLOWS, UNKNOWN = np.arange(3)
"""A text's last transformation: its steps are the kernel's; what the kernel gives is in `follows`; it has no kernel."""

MODULUS, LENGTH = np.arange(1, 3)

X, Y, CHAIN = (np.int64(FIELDS.index(field)) for field in ("x", "y", "chain"))

SAME = np.int64(-1)
"""Where vectors differ that don't"""

FAR = np.int64(2**62)
"""Deeper than anything"""


# What a block is made of: numbers, and addresses of arrays. These are of int64 where nothing else is said.

RULES = (
    *("k", "count", "longest"),  # numbers are 0..count-1; kernels take vectors up to the longest
    *("shows_a", "shows_b", "shows_r", "has_steps"),  # of a step
    *("gives_y", "asks_y", "asks_chain", "asks_trace"),  # prompt and completion
    "plain",  # a record's `result` can't be compiled: then wrong texts are left to plain Python
    *("heads", "width", "operations"),  # how many there are of `head_op`, of `number` per op, of `operation`
    *("run", "match"),  # see `_tiles`
)
TABLES = (
    *("kernel", "result"),  # [op]: addresses of machine code, in this process, or 0
    "reduced",  # [op]: by what its argument is, MODULUS or LENGTH or 0
    "source",  # [op]: which operand is one, or MISSING
    "previous",  # [op, 2]: whether an operand is a previous result
    "wrong_operand",  # [op, 2]: the kind where it is not the one due; SOURCE may turn out to be UNSTABLE
    "operation",  # [...]: codes of records that could be taken for each other
    *("head_op", "head_argument"),  # [head]: of the graph
    "number",  # [op, argument + 1]: which head of the graph that is, or MISSING
    *("following", "chain_of"),  # [node, head], [node]: the chains as a tree: the node below, the chain; or MISSING
)
TEXTS = (
    *("segments", "op", "argument", "begins", "chain", "chain_op", "chain_argument"),  # as in a `Batch`; begins: steps
    *("x_offsets", "y_offsets", "faults", "fault_count", "intended"),
    *("x", "y"),  # int32
    *("seen", "fault_code"),  # uint8[row], uint8[fault]
    *("fault_depth", "fault_step"),
    "offsets",  # [row + 1]: where in the arrays of steps those of a text begin
)
ROWS = (
    *("parsed", "valid", "answer", "forced", "fault", "whose", "error", "exact"),  # uint8[row]
    *("faults", "chain_id", "error_depth", "error_step"),  # int32[row]
)
STEPS = (
    *("kind", "after", "op", "other"),  # uint8[step]
    *("depth", "step"),  # int32[step]
    *("written", "due"),  # int32[step, 3]: a, b and r
)
SPACE = (
    *("state", "fresh", "true", "goal", "follows"),  # int32[element]: see `judge`
    "spare",  # int32[element, 3]: a, b and r of steps that are due
    *("status", "runs", "leads", "sound", "strayed", "last", "wrong"),  # uint8[row]: see `judge`
    "gap",  # [row, 2]: depth and step of the first steps that lack at a transformation's end, or MISSING
    "clean",  # uint8[segment]: its steps are those of the true run, all of them
)
_said = (*(f"row_{name}" for name in ROWS), *(f"step_{name}" for name in STEPS))
BLOCK = np.dtype([(name, np.int64) for name in (*RULES, *TABLES, *TEXTS, *_said, *SPACE)])


class Rules(NamedTuple):
    """A config, and the transformations there are, for compiled code."""

    numbers: dict[str, int]
    """RULES"""
    tables: Arrays
    """TABLES"""
    signature: tuple[Any, ...]
    """Of the kernels. They are compiled when a text has their head, see `compile_kernels`."""


@lru_cache(maxsize=8)
def rules(config: Config) -> Rules:
    """Those of a config."""
    grammar, (vector, code) = config.grammar, dtypes(config)
    given, asked = ({item.field for item in places} for places in (grammar.prompt, grammar.completion))
    heads = [split_head(head) or ("", None) for head in grammar.heads]
    arguments = [MISSING if argument is None else argument for _, argument in heads]
    following, chain_of = _tree(config)
    operations = [record.code for record in RECORDS.values() if computes(record)]
    arrays = {name: np.zeros(256, np.int64) for name in ("kernel", "result", "reduced", "source")} | {
        "previous": np.zeros((256, 2), np.int64),
        "wrong_operand": np.zeros((256, 2), np.int64),
        "operation": np.array(operations, np.int64),
        "head_op": np.array([RECORDS[name].code for name, _ in heads], np.int64),
        "head_argument": np.array(arguments, np.int64),
        "number": np.full((256, max(arguments) + 2), MISSING, np.int64),
        "following": following,
        "chain_of": chain_of,
    }
    for record in RECORDS.values():
        op, roles = record.code, record.roles[:2]
        arrays["reduced"][op] = {None: 0, "modulus": MODULUS, "length": LENGTH}[record.argument]
        arrays["source"][op] = roles.index("source") if "source" in roles else MISSING
        arrays["previous"][op] = [role == "previous result" for role in roles]
        arrays["wrong_operand"][op] = [
            KINDS.index(OPERAND.get(role) or ("source" if by_value(record) else "position")) for role in roles
        ]
        result = record.compiled_result()
        arrays["result"][op] = 0 if result is None else address(result, RESULT)
    arrays["number"][arrays["head_op"], arrays["head_argument"] + 1] = np.arange(len(heads))
    numbers = {
        "k": config.k,
        "count": grammar.count,
        "longest": NARROW if code.itemsize == 4 else LARGEST,
        **{f"shows_{field}": int(field in grammar.step) for field in "abr"},
        "has_steps": int(bool(grammar.step)),
        "gives_y": int("y" in given),
        **{f"asks_{field}": int(field in asked) for field in ("y", "chain", "trace")},
        "plain": int(any(record.of_operands and not arrays["result"][record.code] for record in RECORDS.values())),
        "heads": len(heads),
        "width": arrays["number"].shape[1],
        "operations": len(operations),
        **_tiles(vector, code),
    }
    kinds = [types.Array(from_dtype(dtype), 2, "C") for dtype in (vector, vector, code)]
    return Rules(numbers, arrays, (*kinds, *[types.int64] * 3))


def _tree(config: Config) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """`following` and `chain_of`."""
    number = {head: i for i, head in enumerate(config.grammar.heads)}
    following, ends = [[MISSING] * len(number)], [MISSING]
    for chain_id, chain in enumerate(config.chains):
        node = 0
        for head in chain.heads:
            if following[node][number[head]] == MISSING:
                following[node][number[head]] = len(following)
                following.append([MISSING] * len(number))
                ends.append(MISSING)
            node = following[node][number[head]]
        ends[node] = chain_id
    return np.array(following, np.int64), np.array(ends, np.int64)


def compile_kernels(known: Rules, ops: np.ndarray[Any, Any]) -> None:
    """Compile the kernels of the graph, and those of `ops: int64[...]`, that are not there yet."""
    kernel = known.tables["kernel"]
    asked = np.bincount(ops, minlength=256) > 0
    asked[known.tables["head_op"]] = True
    if (asked & (kernel == 0))[1:].any():
        for record in RECORDS.values():
            if asked[record.code]:
                kernel[record.code] = address(record.compiled, known.signature)


def has_x(batch: Batch) -> np.ndarray[Any, Any]:
    """bool[row]: whether anything can be executed: the steps of others are not judged."""
    found: np.ndarray[Any, Any] = batch.seen >> FIELDS.index("x") & 1 > 0
    return found


def judge(
    batch: Batch,
    known: Rules,
    intended: np.ndarray[Any, Any],
    offsets: np.ndarray[Any, Any],
    rows: Arrays,
    steps: Arrays,
) -> np.ndarray[Any, Any]:
    """Judge a block of texts. Returns which of them only plain Python can judge, int64[...].

    intended: int64[row]       MISSING where it is not known
    offsets: int64[row + 1]    where in the arrays of `steps` those of a text begin
    rows, steps: see ROWS and STEPS; filled, but for `written`, which is read. `kind`, `after`, `other` must be zero.
    """
    count, elements = batch.fault_count.size, batch.x.size
    texts = {
        **{name: getattr(batch, name) for name in TEXTS if hasattr(batch, name)},
        **{"begins": batch.steps, "fault_depth": batch.place[:, 2], "fault_step": batch.place[:, 3]},
        **{"fault_code": batch.kind, "intended": intended, "offsets": offsets},
    }
    narrow = {"x": np.int32, "y": np.int32, "seen": np.uint8, "fault_code": np.uint8}
    texts = {name: np.ascontiguousarray(array, narrow.get(name, np.int64)) for name, array in texts.items()}
    compile_kernels(known, texts["op"])
    compile_kernels(known, texts["chain_op"])
    space: Arrays = {
        "state": np.empty(elements, np.int32),  # what the text has reached
        "fresh": np.empty(elements, np.int32),  # the state behind the present transformation, where a step is wrong
        "true": np.empty(elements, np.int32),  # what the text's chain gives, where that is another vector
        "goal": np.empty(elements, np.int32),  # what the chain gives that the prompt gives or the text names
        "follows": np.empty(elements, np.int32),  # what the last transformation gives for the state before it
        "spare": np.empty(3 * elements, np.int32),
        "status": np.zeros(count, np.uint8),  # UNREAD, PLAIN or READ
        "runs": np.zeros(count, np.uint8),  # every head that was worked can be executed, on x
        "leads": np.zeros(count, np.uint8),  # every head of the chain that is given or named can
        "sound": np.zeros(count, np.uint8),  # the state is a vector of elements
        "strayed": np.zeros(count, np.uint8),  # `true` is another vector than `state`
        "last": np.zeros(count, np.uint8),  # CLEAN, FOLLOWS or UNKNOWN
        "wrong": np.zeros(count, np.uint8),  # any of its steps is
        "gap": np.full((count, 2), MISSING, np.int64),
        "clean": np.zeros(texts["op"].size, np.uint8),
    }
    said = {**{f"row_{name}": rows[name] for name in ROWS}, **{f"step_{name}": steps[name] for name in STEPS}}
    _judge(as_block(BLOCK, known.numbers, {**known.tables, **texts, **said, **space}), count)
    return np.flatnonzero(space["status"] == PLAIN)


def as_block(kind: np.dtype[Any], numbers: Mapping[str, int], arrays: Arrays) -> np.ndarray[Any, Any]:
    """One record of numbers and of the addresses of arrays, which must outlive it."""
    block = np.zeros(1, kind)
    for name, number in numbers.items():
        block[name] = number
    for name, array in arrays.items():
        block[name] = array.__array_interface__["data"][0]
    return block


@jit
def _judge(blocks, rows):
    listed, order = np.empty((5, CHUNK), np.int64), np.empty(CHUNK, np.int64)
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows)
        _judge_rows(blocks[0], first, last, order[: last - first], listed)


@jit
def _judge_rows(block, first, last, order, listed):
    _begin(block, first, last, order)
    if block.has_steps:
        _judge_steps(block, order, listed)
    else:
        for row in range(first, last):
            _copy(block, row, block.state, block.true)
            set_byte(block.strayed, row, 1)
        heads = (block.segments, block.op, block.argument, block.runs, block.true)
        _run(block, order, *heads, listed)
    if block.asks_chain or not block.gives_y:
        for row in range(first, last):
            _copy(block, row, block.x, block.goal)
        heads = (block.chain, block.chain_op, block.chain_argument, block.leads, block.goal)
        _run(block, order, *heads, listed)
    for row in range(first, last):
        status = byte_at(block.status, row)
        if status == READ:
            _conclude(block, row)
        elif status == UNREAD:
            _unread(block, row)


@jit
def _length(block, row):
    return int64_at(block.x_offsets, row + 1) - int64_at(block.x_offsets, row)


@jit
def _size(block, segment):
    return int64_at(block.begins, segment + 1) - int64_at(block.begins, segment)


@jit
def _place(block, row, segment):
    """Where in the arrays of steps those of a segment begin."""
    first = int64_at(block.begins, int64_at(block.segments, row))
    return int64_at(block.offsets, row) + int64_at(block.begins, segment) - first


@jit
def _copy(block, row, source, target):
    for i in range(int64_at(block.x_offsets, row), int64_at(block.x_offsets, row + 1)):
        set_int32(target, i, int32_at(source, i))


@jit
def _has(block, row, field):
    return byte_at(block.seen, row) >> field & 1


@jit
def _begin(block, first, last, order):
    """What can be done with each text, and the rows in the order of their lengths."""
    longest = np.int64(0)
    for row in range(first, last):
        n = _length(block, row)
        _copy(block, row, block.x, block.state)
        status = READ if 0 < n <= block.longest else PLAIN
        if not _has(block, row, X):
            status = UNREAD
        if status == READ:
            sound = _is_sound(block, row)
            set_byte(block.sound, row, sound)
            set_byte(block.runs, row, sound and _known(block, block.segments, block.op, row))
            set_byte(block.leads, row, sound and _known(block, block.chain, block.chain_op, row))
            longest = max(longest, n)
        set_byte(block.status, row, status)
    ends = np.zeros(longest + 2, np.int64)
    for row in range(first, last):
        ends[_judged(block, row) + 1] += 1
    for n in range(longest + 1):
        ends[n + 1] += ends[n]
    for row in range(first, last):
        n = _judged(block, row)
        order[ends[n]] = row
        ends[n] += 1


@jit
def _judged(block, row):
    """Elements of what is judged here, 0 where nothing is."""
    return _length(block, row) if byte_at(block.status, row) == READ else 0


@jit
def _known(block, places, ops, row):
    for place in range(int64_at(places, row), int64_at(places, row + 1)):
        if not int64_at(block.kernel, int64_at(ops, place)):
            return False
    return True


@jit
def _is_sound(block, row):
    for i in range(int64_at(block.x_offsets, row), int64_at(block.x_offsets, row + 1)):
        if not 0 <= int32_at(block.state, i) < block.k:
            return False
    return True


# Running heads. What is listed: of each row that is executed, its number, its head's op and argument, and the address
# that takes a, b and r of its steps, int32[step, 3].

ROW, OP, ARGUMENT, ADDRESS, SORTED = np.arange(5)


@jit
def _list(block, listed, count, row, op, argument):
    """Steps go to the spare place of the row where they are not sent elsewhere."""
    listed[ROW, count], listed[OP, count], listed[ARGUMENT, count] = row, op, argument
    listed[ADDRESS, count] = block.spare + 12 * int64_at(block.x_offsets, row)


@jit
def _run(block, order, places, ops, arguments, which, state, listed):
    """Run the heads from places[row] on, on the states of those rows that `which` marks."""
    depth = 0
    while True:
        count = 0
        for row in order:
            at = int64_at(places, row) + depth
            if byte_at(block.status, row) == READ and byte_at(which, row) and at < int64_at(places, row + 1):
                _list(block, listed, count, row, int64_at(ops, at), int64_at(arguments, at))
                count += 1
        if count == 0:
            return
        _execute(block, count, state, listed)
        for j in range(count):
            _advance(block, listed[ROW, j], listed[ADDRESS, j], state)
        depth += 1


@jit
def _advance(block, row, due, state):
    """The results of steps become the state."""
    begin = int64_at(block.x_offsets, row)
    for i in range(_length(block, row)):
        set_int32(state, begin + i, int32_at(due, 3 * i + 2))


@jit
def _execute(block, count, state, listed):
    """Run the heads that are listed, each on its row's state.

    Rows of one head and length, which are neighbours when sorted by the number of the head, share a call.
    """
    ends = np.zeros(block.heads + 2, np.int64)
    for j in range(count):
        ends[_number(block, listed[OP, j], listed[ARGUMENT, j]) + 2] += 1
    for head in range(block.heads + 1):
        ends[head + 1] += ends[head]
    for j in range(count):
        head = _number(block, listed[OP, j], listed[ARGUMENT, j]) + 1
        listed[SORTED, ends[head]] = j
        ends[head] += 1
    first = 0
    while first < count:
        j = listed[SORTED, first]
        op, argument, n = listed[OP, j], listed[ARGUMENT, j], _length(block, listed[ROW, j])
        last = first + 1
        while last < min(count, first + _most(n)):
            j = listed[SORTED, last]
            if listed[OP, j] != op or listed[ARGUMENT, j] != argument or _length(block, listed[ROW, j]) != n:
                break
            last += 1
        call(block.run, block, listed, first, last, state)
        first = last


@lru_cache(maxsize=4)
def _tiles(vector: np.dtype[Any], code: np.dtype[Any]) -> dict[str, int]:
    """Where the code is that runs heads on tiles of these dtypes. All the rest does not depend on them."""
    bits, mask = np.uint64(code.itemsize * 2), np.uint64(2 ** (code.itemsize * 2) - 1)

    @jit
    def run(block, listed, first, last, state):
        j, size = listed[SORTED, first], last - first
        op, argument, n = listed[OP, j], listed[ARGUMENT, j], _length(block, listed[ROW, j])
        before, after, logged = np.empty((n, size), vector), np.empty((n, size), vector), np.empty((n, size), code)
        for j in range(size):
            begin = int64_at(block.x_offsets, listed[ROW, listed[SORTED, first + j]])
            for i in range(n):
                before[i, j] = int32_at(state, begin + i)
        call(int64_at(block.kernel, op), before, after, logged, op, block.k, _reduced(block, op, argument, n))
        for j in range(size):
            due = listed[ADDRESS, listed[SORTED, first + j]]
            for i in range(n):
                step = np.uint64(logged[i, j]) >> bits
                set_int32(due, 3 * i, np.int64(step & mask))
                set_int32(due, 3 * i + 1, np.int64((step >> bits) & mask))
                set_int32(due, 3 * i + 2, np.int64(step >> (bits + bits)))

    @jit
    def match(block, listed, first, last, depth):
        size, n = last - first, _length(block, listed[ROW, first])
        before, after, logged = np.empty((n, size), vector), np.empty((n, size), vector), np.empty((n, size), code)
        for j in range(size):
            begin = int64_at(block.x_offsets, listed[ROW, first + j])
            for i in range(n):
                before[i, j] = int32_at(block.state, begin + i)
        for head in range(block.heads):
            op, argument = int64_at(block.head_op, head), int64_at(block.head_argument, head)
            call(int64_at(block.kernel, op), before, after, logged, op, block.k, _reduced(block, op, argument, n))
            for j in range(size):
                segment = int64_at(block.segments, listed[ROW, first + j]) + depth
                at, i, alike = _place(block, listed[ROW, first + j], segment), 0, listed[OP, first + j] == 0
                while alike and i < n:
                    step = np.uint64(logged[i, j]) >> bits
                    a, b, r = np.int64(step & mask), np.int64((step >> bits) & mask), np.int64(step >> (bits + bits))
                    alike = (
                        (not block.shows_a or a == int32_at(block.step_written, 3 * (at + i)))
                        and (not block.shows_b or b == int32_at(block.step_written, 3 * (at + i) + 1))
                        and (not block.shows_r or r == int32_at(block.step_written, 3 * (at + i) + 2))
                    )
                    i += 1
                if alike:  # never its own head: then no step would be wrong
                    listed[OP, first + j] = op

    signature = (from_dtype(BLOCK), types.Array(types.int64, 2, "C"), *[types.int64] * 3)
    return {"run": address(run, signature), "match": address(match, signature)}


@jit
def _reduced(block, op, argument, n):
    """What the kernel takes for an argument."""
    by = int64_at(block.reduced, op)
    if by == 0:
        return np.int64(0)
    return argument % (block.k if by == MODULUS else n)


@jit
def _most(n):
    """Rows of a tile."""
    return min(TILE, max(1, TILE_ELEMENTS // n))


@jit
def _number(block, op, argument):
    """Which head of the graph it is, or MISSING."""
    return int64_at(block.number, op * block.width + argument + 1) if argument + 1 < block.width else MISSING


# Judging steps


@jit
def _judge_steps(block, order, listed):
    """Transformation by transformation; every step gets its kind, and `after` says which are as in the true run."""
    count = order.size
    active, suspects, strayed = order.copy(), np.empty(count, np.int64), np.empty(count, np.int64)
    depth = 0
    while True:
        left, chosen, suspected, straying = 0, 0, 0, 0
        for row in active[:count]:
            segment = int64_at(block.segments, row) + depth
            if byte_at(block.status, row) != READ or segment >= int64_at(block.segments, row + 1):
                continue
            active[left] = row
            left += 1
            if byte_at(block.strayed, row):
                strayed[straying] = row
                straying += 1
            op, at = int64_at(block.op, segment), _place(block, row, segment)
            _take_down(block, op, segment, depth, at)
            if byte_at(block.sound, row) and int64_at(block.kernel, op):
                _list(block, listed, chosen, row, op, int64_at(block.argument, segment))
                if _size(block, segment) == _length(block, row):
                    listed[ADDRESS, chosen] = block.step_due + 12 * at
                chosen += 1
            else:
                _judge_unknown(block, row, segment, at)
        if left == 0:
            return
        count = left
        _execute(block, chosen, block.state, listed)
        for j in range(chosen):
            row, due = listed[ROW, j], listed[ADDRESS, j]
            segment = int64_at(block.segments, row) + depth
            at = _place(block, row, segment)
            if _is_clean(block, row, segment, at):
                set_byte(block.last, row, CLEAN)
                set_byte(block.clean, segment, byte_at(block.runs, row) and not byte_at(block.strayed, row))
                _advance(block, row, due, block.state)
            elif block.plain:
                set_byte(block.status, row, PLAIN)
            else:
                set_byte(block.last, row, FOLLOWS)
                if _judge_segment(block, row, segment, depth, at, due):
                    suspects[suspected] = row
                    suspected += 1
        if suspected:
            _find_others(block, suspects[:suspected], depth, listed)
        for row in active[:count]:
            if byte_at(block.status, row) == READ:
                if byte_at(block.last, row) == FOLLOWS:
                    _copy(block, row, block.fresh, block.state)
                    set_byte(block.sound, row, _is_sound(block, row))
                if _has(block, row, CHAIN) and not _same_head(block, row, depth):
                    _disobey(block, row, int64_at(block.segments, row) + depth)
        if straying:
            _follow(block, strayed[:straying], depth, listed)
        depth += 1


@jit
def _take_down(block, op, segment, depth, at):
    """What does not depend on whether a step is right."""
    ops, depths, steps, size = block.step_op, block.step_depth, block.step_step, _size(block, segment)
    for i in range(size):
        set_byte(ops, at + i, op)
    for i in range(size):
        set_int32(depths, at + i, depth)
    for i in range(size):
        set_int32(steps, at + i, i)


@jit
def _is_clean(block, row, segment, at):
    """Whether all steps of a transformation are those due."""
    if _size(block, segment) != _length(block, row):
        return False
    differ = np.int64(0)
    if block.shows_a and block.shows_b and block.shows_r:
        for i in range(3 * at, 3 * (at + _length(block, row))):
            differ |= int32_at(block.step_written, i) ^ int32_at(block.step_due, i)
        return differ == 0
    for i in range(at, at + _length(block, row)):
        if not _is_due(block, i, block.step_due, i):
            return False
    return True


@jit
def _is_due(block, at, due, i):
    """Whether what is shown of the step `at` is as in due[i]."""
    a = int32_at(block.step_written, 3 * at) ^ int32_at(due, 3 * i)
    b = int32_at(block.step_written, 3 * at + 1) ^ int32_at(due, 3 * i + 1)
    r = int32_at(block.step_written, 3 * at + 2) ^ int32_at(due, 3 * i + 2)
    return not ((block.shows_a and a) or (block.shows_b and b) or (block.shows_r and r))


@jit
def _set_due(block, at, a, b, r):
    set_int32(block.step_due, 3 * at, a)
    set_int32(block.step_due, 3 * at + 1, b)
    set_int32(block.step_due, 3 * at + 2, r)


@jit
def _judge_unknown(block, row, segment, at):
    """The steps of what can't be executed: what they give is the state, as far as it is elements."""
    begin, size = int64_at(block.x_offsets, row), _size(block, segment)
    for i in range(size):
        set_byte(block.step_kind, at + i, FORMAT)
        _set_due(block, at + i, MISSING, MISSING, MISSING)
        r = int32_at(block.step_written, 3 * (at + i) + 2)
        if i < _length(block, row) and 0 <= r < block.k:
            set_int32(block.state, begin + i, r)
    if size:
        set_byte(block.wrong, row, 1)
    set_byte(block.last, row, UNKNOWN)
    set_byte(block.sound, row, _is_sound(block, row))


@jit
def _judge_segment(block, row, segment, depth, at, due):
    """`_judge` of the reference; the steps due are at `due`. Returns whether it could be another transformation."""
    op, size = int64_at(block.op, segment), _size(block, segment)
    begin, n = int64_at(block.x_offsets, row), _length(block, row)
    many, gap, wrong = size - n, size, False
    if many:
        gap = _gap(block, op, at, size, due, n)
    together = byte_at(block.runs, row) and not byte_at(block.strayed, row)
    _advance(block, row, due, block.follows)
    _advance(block, row, due, block.fresh)
    previous_a, previous_b = int64_at(block.previous, 2 * op), int64_at(block.previous, 2 * op + 1)
    result, previous = int64_at(block.result, op), MISSING
    for i in range(size):
        r = int32_at(block.step_written, 3 * (at + i) + 2)
        if together and i < n and _is_due(block, at + i, due, i):
            set_byte(block.step_after, at + i, RESTORED)
        if many > 0 and gap <= i < gap + many:
            set_byte(block.step_kind, at + i, REPEATED)
            _set_due(block, at + i, MISSING, MISSING, MISSING)
            wrong = True
            if 0 <= r < block.k:
                previous = r
            continue
        to = i if i < gap else i - many
        due_a, due_b, due_r = int32_at(due, 3 * to), int32_at(due, 3 * to + 1), int32_at(due, 3 * to + 2)
        if previous != MISSING and (previous_a or previous_b):
            due_a, due_b = (previous if previous_a else due_a), (previous if previous_b else due_b)
            if result:
                due_r = call_for(result, due_a, due_b, block.k)
        kind, value, other = _kind(block, op, at + i, due_a, due_b, due_r, begin, n)
        if many < 0 and i == gap:
            kind = SKIPPED
        set_byte(block.step_kind, at + i, kind)
        set_byte(block.step_other, at + i, other)
        _set_due(block, at + i, due_a, due_b, value)
        wrong = wrong or kind != 0
        previous = r if 0 <= r < block.k else value if 0 <= value < block.k else due_r
        set_int32(block.fresh, begin + to, previous)
    if many < 0 and gap == size and int64_at(block.gap, 2 * row) == MISSING:
        set_int64(block.gap, 2 * row, depth)
        set_int64(block.gap, 2 * row + 1, gap)
    if wrong:
        set_byte(block.wrong, row, 1)
    if together:
        _copy(block, row, block.follows, block.true)
        for i in range(begin, begin + n):
            if int32_at(block.true, i) != int32_at(block.fresh, i):
                set_byte(block.strayed, row, 1)
    return wrong and many == 0


@jit
def _gap(block, op, at, size, due, n):
    """`_aligned` of the reference."""
    with_a = block.shows_a and not int64_at(block.previous, 2 * op)
    with_b = block.shows_b and not int64_at(block.previous, 2 * op + 1)
    with_r = not with_a and not with_b and block.shows_r
    if not (with_a or with_b or with_r):
        with_a, with_b = block.shows_a, block.shows_b
    few, best, score, most = min(size, n), 0, 0, 0
    for i in range(few):
        for side in range(2):
            one, other = (at + size - few + i, n - few + i) if side else (at + i, i)
            agree = (
                (with_a and int32_at(block.step_written, 3 * one) == int32_at(due, 3 * other))
                + (with_b and int32_at(block.step_written, 3 * one + 1) == int32_at(due, 3 * other + 1))
                + (with_r and int32_at(block.step_written, 3 * one + 2) == int32_at(due, 3 * other + 2))
            )
            score += -agree if side else agree
        if score > most or (score == most and size > n):
            best, most = i + 1, score
    return best


@jit
def _kind(block, op, at, due_a, due_b, due_r, begin, n):
    """`_kind` of the reference: kind, value, other operation."""
    k, count, nothing = block.k, block.count, np.int64(0)
    a, b = int32_at(block.step_written, 3 * at), int32_at(block.step_written, 3 * at + 1)
    r = int32_at(block.step_written, 3 * at + 2)
    if (block.shows_a and not 0 <= a < count) or (block.shows_b and not 0 <= b < count):
        return FORMAT, due_r, nothing
    a, b = (a if block.shows_a else due_a), (b if block.shows_b else due_b)
    place, result, value = int64_at(block.source, op), int64_at(block.result, op), due_r
    if place != MISSING:
        source = b if place else a
        value = int32_at(block.state, begin + source) if source < n else due_r
    elif result:
        value = call_for(result, a, b, k)
    if block.shows_r and r == MISSING:
        return FORMAT, value, nothing
    if a != due_a or b != due_b:
        operand = 0 if a != due_a else 1
        kind = int64_at(block.wrong_operand, 2 * op + operand)
        if kind == SOURCE:
            source, due = (b, due_b) if operand else (a, due_a)
            if source < n and int32_at(block.state, begin + source) == int32_at(block.state, begin + due):
                kind = UNSTABLE
        return kind, value, nothing
    if not block.shows_r or r == value:
        return nothing, value, nothing
    if block.shows_a and block.shows_b:
        if place != MISSING:
            return (FORMAT if r >= count else COPY), value, nothing
        if result:
            if r >= k and r == call_for(result, a, b, UNREDUCED):
                return NO_MODULO, value, nothing
            if r < k and ((r - value) % k == 1 or (r - value) % k == k - 1):
                return OFF_BY_ONE, value, nothing
            for i in range(block.operations):
                other = int64_at(block.operation, i)
                if r == call_for(int64_at(block.result, other), a, b, k):
                    return OTHER_OPERATION, value, other
    return (FORMAT if r >= count else WRONG_RESULT), value, nothing


@jit
def _find_others(block, suspects, depth, listed):
    """`_other_transformation` of the reference, for rows with wrong steps, in the order of their lengths."""
    for j, row in enumerate(suspects):
        listed[ROW, j], listed[OP, j] = row, 0
    first = 0
    while first < suspects.size:
        n, last = _length(block, suspects[first]), first + 1
        while last < min(suspects.size, first + _most(n)) and _length(block, suspects[last]) == n:
            last += 1
        call(block.match, block, listed, first, last, depth)
        first = last
    for j, row in enumerate(suspects):
        if listed[OP, j]:
            at = _place(block, row, int64_at(block.segments, row) + depth)
            for i in range(at, at + _length(block, row)):
                wrong = byte_at(block.step_kind, i) != 0
                set_byte(block.step_other, i, listed[OP, j] if wrong else 0)
                set_byte(block.step_kind, i, OTHER_TRANSFORMATION if wrong else 0)


@jit
def _disobey(block, row, segment):
    """A head that is not the one of the given or named chain: its first step is wrong."""
    if int64_at(block.op, segment) and _size(block, segment):
        set_byte(block.step_kind, _place(block, row, segment), DISOBEYED)
        set_byte(block.wrong, row, 1)


@jit
def _same_head(block, row, depth):
    """Whether a text's chain has the head there that was worked."""
    segment, place = int64_at(block.segments, row) + depth, int64_at(block.chain, row) + depth
    if place >= int64_at(block.chain, row + 1) or int64_at(block.op, segment) != int64_at(block.chain_op, place):
        return False
    return int64_at(block.argument, segment) == int64_at(block.chain_argument, place)


@jit
def _follow(block, strayed, depth, listed):
    """Go on with the true run of rows whose state is another, and mark the steps that are as in it."""
    for j, row in enumerate(strayed):
        segment = int64_at(block.segments, row) + depth
        _list(block, listed, j, row, int64_at(block.op, segment), int64_at(block.argument, segment))
    _execute(block, strayed.size, block.true, listed)
    for j, row in enumerate(strayed):
        segment = int64_at(block.segments, row) + depth
        at = _place(block, row, segment)
        for i in range(min(_size(block, segment), _length(block, row))):
            if _is_due(block, at + i, listed[ADDRESS, j], i):
                set_byte(block.step_after, at + i, RESTORED)
        _advance(block, row, listed[ADDRESS, j], block.true)


# The verdict on a text


@jit
def _set_row(block, row, depth, step, chain_id, exact):
    """What is said of a text whether or not it could be read."""
    first = int64_at(block.faults, row)
    count = int64_at(block.fault_count, row)
    set_byte(block.row_parsed, row, count == 0)
    set_byte(block.row_fault, row, byte_at(block.fault_code, first) if first < int64_at(block.faults, row + 1) else 0)
    set_int32(block.row_faults, row, count)
    set_int32(block.row_error_depth, row, depth)
    set_int32(block.row_error_step, row, step)
    set_int32(block.row_chain_id, row, chain_id)
    set_byte(block.row_exact, row, exact if int64_at(block.intended, row) != MISSING else MISSING)


@jit
def _unread(block, row):
    """`_unread` of the reference."""
    first, depth, step = int64_at(block.faults, row), MISSING, MISSING
    if first < int64_at(block.faults, row + 1):
        depth, step = int64_at(block.fault_depth, first), int64_at(block.fault_step, first)
        set_byte(block.row_error, row, FORMAT)
    _set_row(block, row, depth, step, MISSING, 0)


@jit
def _conclude(block, row):
    """What `verify_one` says of a text when its steps are judged."""
    begin, n = int64_at(block.x_offsets, row), _length(block, row)
    worked = int64_at(block.segments, row + 1) - int64_at(block.segments, row)
    obeyed = int64_at(block.chain, row + 1) - int64_at(block.chain, row) if _has(block, row, CHAIN) else 0
    leads, last = byte_at(block.leads, row), byte_at(block.last, row)

    # vectors: where they begin, how far apart their elements are, how many; MISSING where there is none
    written = obeyed if block.asks_chain else worked
    named = block.goal if block.asks_chain else block.true if byte_at(block.strayed, row) else block.state
    named, is_named = named + 4 * begin, written > 0 and (leads if block.asks_chain else byte_at(block.runs, row))
    target, target_size = block.goal + 4 * begin, n if leads else MISSING
    y = block.y + 4 * int64_at(block.y_offsets, row)
    y_size = int64_at(block.y_offsets, row + 1) - int64_at(block.y_offsets, row) if _has(block, row, Y) else MISSING
    if block.gives_y:
        target, target_size = y, y_size
    segment = int64_at(block.segments, row + 1) - 1
    vector, apart, size, at = named, 1, n if is_named else MISSING, np.int64(0)
    if block.has_steps and worked:
        at, size = _place(block, row, segment), _size(block, segment)
        vector, apart = block.step_written + 12 * at + 8, 3
        if not block.shows_r:
            vector, apart, size = block.state + 4 * begin, 1, MISSING if last == UNKNOWN else n
    answer, answer_apart, answer_size = (y, 1, y_size) if block.asks_y else (vector, apart, size)
    right = answer_size != MISSING and target_size != MISSING
    right = right and _difference(answer, answer_apart, answer_size, target, target_size) == SAME
    gives = is_named and target_size != MISSING and _difference(named, 1, n, target, target_size) == SAME

    forced = False
    if right and block.gives_y and block.has_steps and worked and last != CLEAN:
        follows = block.follows + 4 * begin
        forced = last == UNKNOWN or _difference(follows, 1, n, target, target_size) != SAME
        if forced and last == FOLLOWS and _size(block, segment) == n:
            _force(block, at, follows, n)

    depth, step, error = _first_error(block, row, worked)
    valid = error == 0 and int64_at(block.fault_count, row) == 0
    if valid and block.asks_y:
        kind = COPY
        if not (block.asks_trace and block.has_steps):
            vector, apart, size, kind = target, 1, target_size, WRONG_RESULT
        if size != MISSING:
            place = _difference(vector, apart, size, answer, max(answer_size, 0))
            if place != SAME:
                valid, depth, step, error = False, obeyed if obeyed else worked, place, kind
    if valid and not right:
        depth, step, error = written, 0, WRONG_CHAIN
    valid = valid and (right or (block.has_steps and block.asks_trace))
    if error and block.has_steps:
        _tell_after(block, row, depth, step)

    chain_id, intended = _chain_id(block, row, written), int64_at(block.intended, row)
    if chain_id == MISSING:
        whose = ILLEGAL if written else NONE
    else:
        whose = INTENDED if chain_id == intended else EXPLAINS if gives else NONE
    obeys = not block.asks_trace or not _has(block, row, CHAIN) or _obeyed(block, row, worked, obeyed)
    meant = chain_id == intended or not (block.asks_chain or block.asks_trace)
    placed = error != 0 and error != WRONG_CHAIN
    set_byte(block.row_valid, row, valid)
    set_byte(block.row_answer, row, right)
    set_byte(block.row_forced, row, forced)
    set_byte(block.row_error, row, error)
    set_byte(block.row_whose, row, whose)
    exact = valid and right and obeys and meant
    _set_row(block, row, depth if placed else MISSING, step if placed else MISSING, chain_id, exact)


@jit
def _difference(one, apart, size, other, other_size):
    """Where two vectors differ first; SAME if they don't."""
    few = min(size, other_size)
    for i in range(few):
        if int32_at(one, i * apart) != int32_at(other, i):
            return np.int64(i)
    return SAME if size == other_size else few


@jit
def _force(block, at, follows, n):
    """The steps whose results are y's alone."""
    for i in range(n):
        kind = byte_at(block.step_kind, at + i)
        free = kind == COPY or kind == OFF_BY_ONE or kind == OTHER_OPERATION or kind == WRONG_RESULT
        if free and int32_at(block.step_written, 3 * (at + i) + 2) != int32_at(follows, i):
            set_byte(block.step_kind, at + i, FORCED)


@jit
def _obeyed(block, row, worked, obeyed):
    """Whether exactly the given or named chain was worked."""
    for depth in range(worked if worked == obeyed else 0):
        if not _same_head(block, row, depth):
            return False
    return worked == obeyed


@jit
def _chain_id(block, row, written):
    """Which chain of the graph it is, or MISSING."""
    places, ops, arguments = block.segments, block.op, block.argument
    if block.asks_chain:
        places, ops, arguments = block.chain, block.chain_op, block.chain_argument
    first, node = int64_at(places, row), np.int64(0)
    for place in range(first, first + written):
        head = _number(block, int64_at(ops, place), int64_at(arguments, place))
        if head == MISSING:
            return MISSING
        node = int64_at(block.following, node * block.heads + head)
        if node == MISSING:
            return MISSING
    return int64_at(block.chain_of, node)


@jit
def _first_error(block, row, worked):
    """Depth, step and kind of the first error of steps and parser; kind 0 where there is none."""
    depth, step, error = FAR, FAR, np.int64(0)
    gap = int64_at(block.gap, 2 * row)
    skipped, repeated, unreduced, cut = gap != MISSING, False, False, False
    if byte_at(block.wrong, row):
        for at in range(int64_at(block.offsets, row), int64_at(block.offsets, row + 1)):
            kind = byte_at(block.step_kind, at)
            if kind and not error:
                depth, step, error = int32_at(block.step_depth, at), int32_at(block.step_step, at), kind
            skipped |= kind == SKIPPED
            repeated |= kind == REPEATED
            unreduced |= kind == NO_MODULO
    faults = range(int64_at(block.faults, row), int64_at(block.faults, row + 1))
    for fault in faults:
        cut |= byte_at(block.fault_code, fault) == TRUNCATED
    if gap != MISSING and (gap < worked - 1 or not cut):
        which = int64_at(block.gap, 2 * row + 1)
        if gap < depth or (gap == depth and which < step):
            depth, step, error = gap, which, SKIPPED
    for fault in faults:
        kind = byte_at(block.fault_code, fault)
        if (kind == FEW_STEPS and skipped) or (kind == MANY_STEPS and repeated) or (kind == RANGE and unreduced):
            continue
        where, which = int64_at(block.fault_depth, fault), max(int64_at(block.fault_step, fault), 0)
        if where == MISSING:
            where = 0 if kind == PROMPT else worked
        if where < depth or (where == depth and which <= step):
            depth, step, error = where, which, FORMAT
    return depth, step, error


@jit
def _tell_after(block, row, depth, step):
    """What the steps behind the first error are."""
    segment = int64_at(block.segments, row)
    for at in range(int64_at(block.offsets, row), int64_at(block.offsets, row + 1)):
        here, i = int32_at(block.step_depth, at), int32_at(block.step_step, at)
        as_true = byte_at(block.clean, segment + here) or byte_at(block.step_after, at) == RESTORED
        after = np.int64(0)
        if here > depth or (here == depth and i > step):
            after = NEW_ERROR if byte_at(block.step_kind, at) else RESTORED if as_true else PROPAGATED
        set_byte(block.step_after, at, after)
