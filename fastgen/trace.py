"""The trace: every step of an example as one integer.

A step is `(op, a, b, r)`: the transformation's code, two operands, the result. Its step code holds the four in equal
fields, the lowest first, so that the little-endian bytes of a trace are op, a, b, r, op, a, b, r, ...
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, overload_attribute, register_model
from numba.np.numpy_support import as_dtype

from fastgen.jit import jit, resize

NARROW = 256
"""The largest k and length whose steps fit in four bytes."""

LARGEST = 65_536
"""The largest k and length there are: fields of 16 bits."""


def vector_dtype(k: int) -> np.dtype[Any]:
    """dtype of the elements of a vector: uint8 where 0..k-1 fits, else uint16."""
    return np.dtype(np.uint8 if k <= NARROW else np.uint16)


def code_dtype(k: int, length: int) -> np.dtype[Any]:
    """dtype of a step code: uint32 where all fields fit in a byte, else uint64. `length` is the longest there is."""
    return np.dtype(np.uint32 if k <= NARROW and length <= NARROW else np.uint64)


@jit
def steps_before(depth: int, length: int) -> int:
    """Where in a trace the steps of transformation 0, 1, ... begin; of `len(chain)`, how many steps there are.

    Every transformation logs one step per position. Every offset into a trace is asked for here.
    """
    return depth * length


def unpack(codes: Any, dtype: np.dtype[Any] | None = None) -> tuple[Any, Any, Any, Any]:
    """The four fields (op, a, b, r) of step codes: an array of them, or an int with its `dtype`.

    >>> unpack(np.array([0x04030201], np.uint32))
    (array([1], dtype=uint32), array([2], dtype=uint32), array([3], dtype=uint32), array([4], dtype=uint32))
    """
    bits = (codes.dtype if dtype is None else dtype).itemsize * 2
    mask = (1 << bits) - 1
    op, a, b, r = ((codes >> (bits * field)) & mask for field in range(4))
    return op, a, b, r


def pack(step: tuple[int, int, int, int], dtype: np.dtype[Any]) -> int:
    """The step code of one step: the reference of `code`.

    >>> hex(pack((1, 2, 3, 4), np.dtype(np.uint32)))
    '0x4030201'
    """
    return sum(value << (dtype.itemsize * 2 * field) for field, value in enumerate(step))


@intrinsic
def code(typingctx: Any, trace: Any, op: Any, a: Any, b: Any, r: Any) -> Any:
    """The step code of (op, a, b, r) in compiled code, of the dtype of the array `trace`.

    Numba widens every integer to 64 bits; written in LLVM at the width of the code, a kernel's loop is about twice
    as fast (0.13 instead of 0.28 ns per element of cumsum at length 8).
    """
    word = trace.dtype

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.IntType(word.bitwidth)
        op, *operands = (resize(builder, value, kind) for value in values[1:])
        for field, operand in enumerate(operands, start=1):
            op = builder.or_(op, builder.shl(operand, ir.Constant(kind, word.bitwidth // 4 * field)))
        return op

    return word(trace, op, a, b, r), codegen


class Untraced(types.Type):  # type: ignore[misc]
    """The type of what a kernel is given for a trace where nobody asks for one: what is written to it is dropped.

    LLVM then leaves out all that only the step codes needed, and the same kernel takes a third of the time.
    """

    def __init__(self, code: Any) -> None:
        self.dtype = code
        super().__init__(f"Untraced({code})")


register_model(Untraced)(models.OpaqueModel)


@overload(operator.setitem, strict=False)  # strict: the annotations would have to agree too
def _drop(trace: Any, place: Any, code: Any) -> Any:
    return (lambda trace, place, code: None) if isinstance(trace, Untraced) else None


@overload_attribute(Untraced, "dtype", strict=False)
def _dtype(trace: Any) -> Any:
    kind = as_dtype(trace.dtype).type
    return lambda trace: kind


@intrinsic
def untraced(typingctx: Any, like: Any) -> Any:
    """Of compiled code: no trace, of the dtype of the array `like`, which some kernels compute in."""
    kind = Untraced(like.dtype)
    return kind(like), lambda context, builder, signature, values: context.get_dummy_value()
