"""The tests that every transformation has to pass, for fastgen's own and for those of other packages.

>>> from fastgen.transforms import RECORDS
>>> check_reference(RECORDS["cumsum"])

A package that brings a transformation calls `check(record)` in a test of its own. Every check is deterministic, returns
nothing, and raises AssertionError with the record, the case and the first difference.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import numpy as np
from numba.core import types
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.registry import cpu_target
from numba.core.untyped_passes import ExtractByteCode

from fastgen.trace import NARROW, code_dtype, vector_dtype
from fastgen.transforms.base import RECORDS, UNREDUCED, Record, Role

Vectors = np.ndarray[Any, np.dtype[Any]]
Case = tuple[int, int, int]
"""(k, length, rows)"""

SMALL = tuple(product((2, 3, 5), (1, 2, 3, 4, 5)))
"""(k, length) of which every vector there is gets tested."""

NARROW_CASES: tuple[Case, ...] = (
    *product((2, 3, 7, 9, 11, 127, 128, 255, 256), (1, 2, 8, 9, 16, 33), (1, 31)),
    *product((2, 11, 255, 256), (8, 64), (2, 256)),
    *product((2, 256), (255, 256), (3,)),
)
"""Elements and fields of a byte; the moduli and lengths around the powers of two."""

WIDE_CASES: tuple[Case, ...] = (
    *product((257, 65_535, 65_536), (1, 2, 8, 9, 16, 33), (1, 31)),
    *product((2, 11, 256, 257, 65_536), (256, 257, 300), (2,)),
    *product((2, 256, 65_536), (1000,), (3,)),
)
"""Elements of two bytes or vectors of more than 256, and so fields of two bytes."""


def check(record: Record) -> None:
    """All of the checks below."""
    check_declaration(record)
    check_reference(record)
    check_every_small_vector(record)
    check_random_vectors(record)
    check_types(record)
    check_result(record)


def check_declaration(record: Record) -> None:
    """The record is registered, documents itself by an example, and has roles that exist."""
    _require(RECORDS.get(record.name) is record, record, "is not the one registered under its name")
    _require(">>>" in (record.__doc__ or ""), record, "its docstring has no example (>>>)")
    for role in record.roles:
        _require(role in get_args(Role), record, f"there is no role {role!r}; there are {get_args(Role)}")
    _require(record.roles[2] == "result", record, "the third field of a step is its result")


def check_reference(record: Record) -> None:
    """On every small vector: one step per position with the result y[i], and operands that are what the roles say."""
    for k, length in SMALL:
        for c in _arguments(record, k, length):
            for x in product(range(k), repeat=length):
                case = f"k={k} x={list(x)} c={c}"
                steps: list[tuple[int, int, int, int]] = []
                y = record(list(x), k, steps, *_given(record, c))
                _require(len(y) == length, record, f"{case}: y has {len(y)} elements")
                _require(all(0 <= value < k for value in y), record, f"{case}: y={y} is not in 0..{k - 1}")
                _require(len(steps) == record.steps(length), record, f"{case}: {len(steps)} steps")
                _require([r for _, _, _, r in steps] == y, record, f"{case}: y={y}, but the steps are {steps}")
                for i, (op, *operands, _) in enumerate(steps):
                    _require(op == record.code, record, f"{case}: step {i} has code {op}")
                    if record.of_operands:
                        given = record.of_operands(operands[0], operands[1], k)
                        _require(given == y[i], record, f"{case}: step {i}: its operands give {given}")
                    for role, operand in zip(record.roles, operands, strict=False):
                        _require(_plays(role, operand, i, x, y, c), record, f"{case}: step {i}: {operand} is no {role}")


def check_every_small_vector(record: Record) -> None:
    """Kernel and reference agree on every vector, with every argument, in both widths of step code."""
    for k, length in SMALL:
        x = np.indices((k,) * length, np.uint8).reshape(length, -1)
        for c in _arguments(record, k, length):
            y, steps = _reference(record, x, k, c)
            for fields in (np.uint8, np.uint16):
                _compare(record, x, k, c, y, steps, np.dtype(fields))


def check_random_vectors(record: Record) -> None:
    """Kernel and reference agree on random vectors, for moduli and lengths up to the largest, narrow and wide.

    Half of the rows have few distinct values, the extreme ones: ties, and results at the edge of the type.
    """
    random = np.random.default_rng(record.code)
    for k, length, rows in (*NARROW_CASES, *WIDE_CASES):
        x = random.integers(0, k, (length, rows)).astype(vector_dtype(k))
        extreme = np.array([0, 1, k // 2, k - 1])[random.integers(0, 4, (length, rows))]
        x[:, ::2] = extreme[:, ::2]
        every = _arguments(record, k, length)
        some = sorted({*every[:2], every[-1], every[int(random.integers(len(every)))]})
        for c in some if length <= NARROW else some[-2:]:
            y, steps = _reference(record, x, k, c)
            fields = np.dtype(f"u{code_dtype(k, length).itemsize // 4}")
            _compare(record, x, k, c, y, steps, fields)


def check_types(record: Record) -> None:
    """Nothing in the kernel, or in the compiled functions that it calls, is a floating-point number.

    Numba makes a float of what is signed on one path and unsigned on another: exact up to 2^53, and slow.
    """
    for element, code in ((types.uint8, types.uint32), (types.uint8, types.uint64), (types.uint16, types.uint64)):
        x, trace = types.Array(element, 2, "C"), types.Array(code, 2, "C")
        _require_no_float(record, record.compiled, (x, x, trace, types.int64, types.int64, types.int64), set())


def check_result(record: Record) -> None:
    """How a result is computed from its operands gives the same compiled, as verdicts call it, reduced and unreduced.

    Where Numba can't compile it to an integer, verdicts call it as it is, and there is nothing to compare.
    """
    compiled = record.compiled_result()
    if record.of_operands is None or compiled is None:
        return
    random = np.random.default_rng(record.code)
    for k in sorted({k for k, _, _ in (*NARROW_CASES, *WIDE_CASES)}):
        extreme = list(product({0, 1, k // 2, k - 1}, repeat=2))
        for a, b in (*extreme, *random.integers(0, k, (100, 2)).tolist()):
            for modulus in (k, UNREDUCED):
                is_, should = compiled(a, b, modulus), record.of_operands(a, b, modulus)
                _require(is_ == should, record, f"result({a}, {b}, {modulus}) is {is_} compiled, should be {should}")


def _require_no_float(record: Record, function: Any, signature: tuple[Any, ...], seen: set[Any]) -> None:
    if (function, signature) in seen:
        return
    seen.add((function, signature))
    inferred = _infer(function.py_func, signature)
    for variable, kind in inferred.typemap.items():
        _require("float" not in str(kind), record, f"{function.__name__}{signature}: {variable} is {kind}")
    for expression, called in inferred.calltypes.items():
        callee = inferred.typemap.get(expression.func.name) if getattr(expression, "op", "") == "call" else None
        if isinstance(callee, types.Dispatcher):
            _require_no_float(record, callee.dispatcher, called.args, seen)


def _infer(function: Callable[..., None], signature: tuple[Any, ...]) -> Any:
    """Numba's compiler up to its types. (What comes from the cache has lost them, and compiling anew takes seconds.)"""
    compiler = CompilerBase(cpu_target.typing_context, cpu_target.target_context, None, signature, None, Flags(), {})
    compiler.state.func_id = FunctionIdentity.from_function(function)
    ExtractByteCode().run_pass(compiler.state)
    for define in (DefaultPassBuilder.define_untyped_pipeline, DefaultPassBuilder.define_typed_pipeline):
        define(compiler.state).run(compiler.state)
    return compiler.state


def _arguments(record: Record, k: int, length: int) -> range:
    """Every argument; of those by length, also the ones that a shorter vector of a range gets."""
    return {None: range(1), "modulus": range(k), "length": range(2 * length)}[record.argument]


def _given(record: Record, c: int) -> tuple[int, ...]:
    return () if record.argument is None else (c,)


def _plays(role: Role, operand: int, i: int, x: tuple[int, ...], y: list[int], c: int) -> bool:
    """Whether the operand of step i is what its role says. Before the first position stands a 0, a 1 or x[0]."""
    match role:
        case "position":
            return operand == i
        case "source":
            return x[operand] == y[i]
        case "element":
            return operand in x or (i == 0 and operand == 0)
        case "previous result":
            return operand == y[i - 1] if i else operand in (0, 1, x[0])
        case "constant":
            return operand == c
        case "count":
            return 0 <= operand <= len(x)
    return False


def _reference(record: Record, x: Vectors, k: int, c: int) -> tuple[Vectors, Vectors]:
    """y: int64[position, row] and steps: int64[step, row, field] of the reference, one row after the other."""
    length, rows = x.shape
    y = np.empty(x.shape, np.int64)
    steps = np.empty((record.steps(length), rows, 4), np.int64)
    for r, row in enumerate(x.T.tolist()):
        logged: list[tuple[int, int, int, int]] = []
        y[:, r] = record(row, k, logged, *_given(record, c))
        steps[:, r] = logged
    return y, steps


def _compare(record: Record, x: Vectors, k: int, c: int, y: Vectors, steps: Vectors, fields: np.dtype[Any]) -> None:
    """Run the kernel on x and compare with the reference's y and steps; `fields` is the dtype of a step's fields."""
    length, rows = x.shape
    case = f"k={k} length={length} rows={rows} c={c} {x.dtype}, fields {fields}"
    _require(int(steps.max()) <= np.iinfo(fields).max, record, f"{case}: an operand does not fit")
    before = x.copy()
    results, codes = _guarded(length, rows, x.dtype), _guarded(len(steps), rows, np.dtype(f"u{4 * fields.itemsize}"))
    record.compiled(x, results[1:-1], codes[1:-1], record.code, k, c)
    for difference, what in (
        (_first_difference(results[1:-1], y), "position, row: y"),
        (_first_difference(_fields(codes[1:-1], fields), steps), "step, row, field of (op, a, b, r):"),
        (_first_difference(x, before), "position, row: x, which is read only,"),
    ):
        if difference is not None:
            where, is_, should = difference
            _require(False, record, f"{case}: {what} at {where} is {is_}, should be {should}; x={x[:, where[1]]}")
    for guarded in (results, codes):
        _require(bool(np.all(guarded[[0, -1]] == _poison(guarded.dtype))), record, f"{case}: writes outside its arrays")


def _guarded(length: int, rows: int, dtype: np.dtype[Any]) -> Vectors:
    """An array that no kernel has filled yet, with a row more at both ends for it to leave alone."""
    return np.full((length + 2, rows), _poison(dtype))


def _poison(dtype: np.dtype[Any]) -> Any:
    return dtype.type(0xAAAA_AAAA_AAAA_AAAA & np.iinfo(dtype).max)


def _fields(codes: Vectors, fields: np.dtype[Any]) -> Vectors:
    """The little-endian bytes of a trace are op, a, b, r, whatever `trace.unpack` makes of them."""
    little = codes.astype(codes.dtype.newbyteorder("<"))
    return little.view(fields.newbyteorder("<")).reshape(*codes.shape, 4)


def _first_difference(is_: Vectors, should: Vectors) -> tuple[tuple[int, ...], int, int] | None:
    if np.array_equal(is_, should):
        return None
    where = tuple(int(index) for index in np.argwhere(is_ != should)[0])
    return where, int(is_[where]), int(should[where])


def _require(condition: bool, record: Record, message: str) -> None:
    if not condition:
        raise AssertionError(f"{record.name} (code {record.code}): {message}")
