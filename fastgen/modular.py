"""Arithmetic modulo k on narrow integers, for compiled code.

Numba does all integer arithmetic in 64 bits; these stay at 8 or 16, so that a vector register holds as many rows as
it can. `a` and `b` are uint8 or uint16 and below k, k is an int64 from 2 to 256 or 65,536; the results are exact.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastgen.jit import jit, resize


@intrinsic
def add(typingctx: Any, a: Any, b: Any, k: Any) -> Any:
    """(a + b) mod k, without a carry out of the narrow type: a - (k - b) where that is not negative."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, b, k = values
        rest = builder.sub(builder.trunc(k, a.type), b)  # k = 256 is 0 in eight bits, and 0 - b is still k - b
        return builder.select(builder.icmp_unsigned(">=", a, rest), builder.sub(a, rest), builder.add(a, b))

    return a(a, a, types.int64), codegen


@intrinsic
def subtract(typingctx: Any, a: Any, b: Any, k: Any) -> Any:
    """(a - b) mod k."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, b, k = values
        difference = builder.sub(a, b)
        wrapped = builder.add(difference, builder.trunc(k, a.type))
        return builder.select(builder.icmp_unsigned(">=", a, b), difference, wrapped)

    return a(a, a, types.int64), codegen


@jit
def reciprocal(x: Any, k: int) -> int:
    """floor(2^(2w) / k), for `multiply` of elements of the array `x`, which are w bits wide."""
    return (1 << (16 * x.itemsize)) // k


@intrinsic
def multiply(typingctx: Any, a: Any, b: Any, k: Any, reciprocal: Any) -> Any:
    """(a * b) mod k by a multiplication and a shift. a and b need not be below k.

    With p = a * b < 2^(2w) and m = floor(2^(2w) / k), the estimate floor(p * m / 2^(2w)) is the quotient or one less
    (Barrett, CRYPTO '86), so one conditional subtraction completes it.
    """

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, b, k, m = values
        width = a.type.width
        double, quadruple = ir.IntType(2 * width), ir.IntType(4 * width)
        product = builder.mul(builder.zext(a, double), builder.zext(b, double))
        estimate = builder.lshr(
            builder.mul(builder.zext(product, quadruple), builder.zext(builder.trunc(m, double), quadruple)),
            ir.Constant(quadruple, 2 * width),
        )
        k = resize(builder, k, double)
        rest = builder.sub(product, builder.mul(builder.trunc(estimate, double), k))
        less = builder.sub(rest, k)  # wraps around to a large number where rest < k: the smaller one is the result
        least = builder.select(builder.icmp_unsigned("<", rest, less), rest, less)
        return builder.trunc(least, a.type)

    return a(a, a, types.int64, types.int64), codegen
