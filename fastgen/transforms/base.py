"""The record of a transformation, and the registry of all of them.

Everything that fastgen knows of a transformation is in its record: tests, benchmarks, tables and valid names are loops
over the records. To add one, write its reference and its kernel below each other in one file; see the README.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Literal

from numba.core import types
from numba.core.errors import NumbaError

from fastgen.jit import jit
from fastgen.trace import steps_before

Role = Literal["position", "source", "element", "previous result", "constant", "count", "result"]
"""What an operand of a step is."""

Step = tuple[int, int, int, int]
"""(op, a, b, r)"""

UNREDUCED = 2**62
"""A modulus that nothing reaches: a result is then the value before it is reduced."""

RESULT = (types.int64,) * 3
"""What compiled code calls a `result` with."""

OWN_CODES = range(1, 128)
PLUGIN_CODES = range(128, 255)
_NAME = re.compile(r"[a-z][a-z_]*[a-z]")
_HEAD = re.compile(r"([a-z_]+)([0-9]*)")


class Record:
    """A transformation without its argument: its name, code, roles, reference and kernel.

    Called like its reference, it appends its steps, with the code, to a list:

    >>> steps = []
    >>> RECORDS["cumsum"]([3, 1, 4], 5, steps)
    [3, 4, 3]
    >>> steps
    [(5, 0, 3, 3), (5, 3, 1, 4), (5, 4, 4, 3)]
    """

    name: str
    code: int
    family: str
    """The module that defines it: elementwise, scan, permute, order, or a plug-in's."""
    roles: tuple[Role, Role, Role]
    """What a, b and r are."""
    argument: Literal["modulus", "length"] | None
    """What the argument is reduced by, or None where there is no argument."""
    degenerate: Mapping[int, str]
    """Arguments that make it trivial, and how."""
    of_operands: Callable[[int, int, int], int] | None
    """The result from the operands, (a, b, k) -> r, where it is computed from them; see `result`."""
    _kernel: Any

    def __init__(self, reference: Callable[..., list[int]], **fields: Any) -> None:
        update_wrapper(self, reference)  # so that doctest and help() find the definition
        self.reference = reference
        self.name = reference.__name__
        self.family = reference.__module__.rpartition(".")[2]
        self.of_operands = self._kernel = None
        vars(self).update(fields)

    def __repr__(self) -> str:
        return f"<transformation {self.name}>"

    def __call__(self, x: Sequence[int], k: int, steps: list[Step], *argument: int) -> list[int]:
        """The reference on one vector: returns y, appends `(op, a, b, r)` per step to `steps`."""
        logged: list[tuple[int, int, int]] = []
        y = self.reference(x, k, logged, *argument)
        steps.extend((self.code, a, b, r) for a, b, r in logged)
        return y

    def steps(self, length: int) -> int:
        """How many steps it logs on a vector of `length` elements."""
        return int(steps_before(1, length))

    def result(self, function: Callable[[int, int, int], int]) -> Callable[[int, int, int], int]:
        """Declare how a step's result is computed from its operands: `function(a, b, k)`, in plain Python.

        With it a wrong operand and a wrong result can be told apart. Where an operand is a source, the result is the
        element there, and nothing has to be declared. Called with the modulus UNREDUCED it gives the value
        before it is reduced.

        Verdicts compile it for int64; where Numba can't, texts with a wrong step are judged by plain Python.
        """
        self.of_operands = function
        return function

    def kernel(self, function: Callable[..., None]) -> Any:
        """Declare the compiled version: `function(x, y, trace, op, k, c)`, of the same file.

        x: uint8|uint16[position, row]      the vectors, all of one length; read only
        y: uint8|uint16[position, row]      filled with the results
        trace: uint32|uint64[step, row]     filled with the step codes (`trace.code(trace, op, a, b, r)`)
        op, k, c: int64                     the record's code, the modulus, the argument (0 where there is none)

        Rows share chain and length. The loop over rows stands in a function of its own for one position, which LLVM
        vectorises (a double loop it does not: 1.1 instead of 0.1 ns per element of cumsum). Nothing is raised;
        results equal the reference's exactly.
        """
        self._kernel = jit(function)
        return self._kernel

    @property
    def compiled(self) -> Any:
        """The kernel, a Numba dispatcher."""
        if self._kernel is None:
            raise TypeError(f"transformation {self.name} has no kernel: decorate one with @{self.name}.kernel")
        return self._kernel

    def compiled_result(self) -> Any:
        """`of_operands` as a Numba dispatcher; None where there is none, or it can't be compiled to give an int64."""
        if self.of_operands is None:
            return None
        compiled = jit(self.of_operands)
        try:
            compiled.compile(RESULT)
        except NumbaError:
            return None
        return compiled if compiled.overloads[RESULT].signature.return_type == types.int64 else None


RECORDS: dict[str, Record] = {}
"""name -> record, in the order of definition."""


def transformation(
    code: int,
    a: Role,
    b: Role,
    argument: Literal["modulus", "length"] | None = None,
    degenerate: Mapping[int, str] | None = None,
) -> Callable[[Callable[..., list[int]]], Record]:
    """Declare the decorated reference as a transformation.

    The reference is called as `reference(x, k, steps)` or, with an argument, `reference(x, k, steps, c)`. It returns
    y and appends one `(a, b, r)` per step to the list `steps`. Its docstring is the definition.

    `code` is stored in files: never change it. fastgen's own are 1-127, those of other packages 128-254.
    Raises ValueError where name or code is malformed or taken.
    """

    def declare(reference: Callable[..., list[int]]) -> Record:
        name = reference.__name__
        own = reference.__module__.startswith("fastgen.")
        codes = OWN_CODES if own else PLUGIN_CODES
        if not _NAME.fullmatch(name):
            raise ValueError(f"transformation {name}: a name is lower-case letters and _, and ends in a letter")
        if code not in codes:
            raise ValueError(f"transformation {name}: its code is {code}, not in {codes.start}..{codes.stop - 1}")
        for other in RECORDS.values():
            if other.name == name or other.code == code:
                raise ValueError(f"transformation {name} (code {code}): {other.name} (code {other.code}) has that")
        record = Record(reference, code=code, roles=(a, b, "result"), argument=argument, degenerate=degenerate or {})
        RECORDS[name] = record
        return record

    return declare


@dataclass(frozen=True)
class Transformation:
    """A record with its argument: what stands at a vertex, what a chain is a list of."""

    record: Record
    argument: int | None = None

    @property
    def head(self) -> str:
        """How it is written everywhere: the name with the argument glued on."""
        return self.record.name + ("" if self.argument is None else str(self.argument))

    def __repr__(self) -> str:
        return self.head

    def __call__(self, x: Sequence[int], k: int, steps: list[Step]) -> list[int]:
        """The reference on one vector: returns y, appends `(op, a, b, r)` per step to `steps`."""
        return self.record(x, k, steps, *(() if self.argument is None else (self.argument,)))


def by_code() -> dict[int, Record]:
    """Code -> record."""
    return {record.code: record for record in RECORDS.values()}


def split_head(head: str) -> tuple[str, int | None] | None:
    """Name and argument of a head, whether or not there is such a transformation; None where it is not a head.

    >>> split_head("add3"), split_head("swap_pairs"), split_head("3add")
    (('add', 3), ('swap_pairs', None), None)
    """
    match = _HEAD.fullmatch(head)
    return None if match is None else (match[1], int(match[2]) if match[2] else None)
