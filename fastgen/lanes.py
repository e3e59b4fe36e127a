"""Moving eight elements at a time between rows and positions, for compiled code.

Outside the kernels the elements of one example lie together; inside, the same position of many examples does. These
cross between the two in whole words and vectors. All addresses may be unaligned; the byte order is little-endian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastgen.jit import jit, resize

LANES = 8
"""Rows and steps of one transposed block."""

VECTOR = 32
"""A tile is padded to a multiple of this many rows, which a vectorised loop needs; a tile of few rows to LANES."""


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, target: ir.Type) -> Any:
    data = cgutils.create_struct_proxy(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


@intrinsic
def load_word(typingctx: Any, array: Any, index: Any) -> Any:
    """The eight bytes from array[index] on, as a uint64."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index = values
        return builder.load(_pointer(context, builder, signature.args[0], array, index, ir.IntType(64)), align=1)

    return types.uint64(array, types.int64), codegen


@intrinsic
def store_word(typingctx: Any, array: Any, index: Any, word: Any) -> Any:
    """Write the eight bytes of a uint64 to array[index], array[index + 1], ..."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, word = values
        builder.store(word, _pointer(context, builder, signature.args[0], array, index, word.type), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), codegen


# Memory by address. A compiled function that is given an array counts a reference to it, and one less when it returns:
# two atomic operations, about 10 ns. A parser that calls one per token passes addresses instead.


def _element(builder: Any, address: Any, index: Any, kind: ir.Type) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _load_as(bits: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, index = values
        loaded = builder.load(_element(builder, address, index, ir.IntType(bits)))
        if bits == 64:
            return loaded
        return (builder.zext if bits == 8 else builder.sext)(loaded, ir.IntType(64))

    return codegen


@intrinsic
def byte_at(typingctx: Any, address: Any, index: Any) -> Any:
    """uint8 number `index` from `address` on, as an int64."""
    return types.int64(types.int64, types.int64), _load_as(8)


@intrinsic
def half_word_at(typingctx: Any, address: Any, index: Any) -> Any:
    """The four bytes from number `index` on, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.zext(_load_unaligned(builder, values, ir.IntType(32)), ir.IntType(64))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def word_at(typingctx: Any, address: Any, index: Any) -> Any:
    """The eight bytes from number `index` on, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _load_unaligned(builder, values, ir.IntType(64))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def within_at(typingctx: Any, address: Any, index: Any, low: Any, high: Any) -> Any:
    """Which of the sixteen bytes from number `index` on are from `low` to `high`: bit i for the i-th."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 16)
        low, high = (_sixteen(builder, builder.trunc(value, ir.IntType(8))) for value in values[2:])
        offset = builder.sub(_load_unaligned(builder, values[:2], vector), low)
        return builder.zext(
            builder.bitcast(builder.icmp_unsigned("<=", offset, builder.sub(high, low)), ir.IntType(16)), ir.IntType(64)
        )

    return types.int64(types.int64, types.int64, types.int64, types.int64), codegen


def _sixteen(builder: Any, byte: Any) -> Any:
    """A vector of the same byte."""
    vector = ir.VectorType(byte.type, 16)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), 16), [0] * 16))


def _load_unaligned(builder: Any, values: Any, kind: ir.Type) -> Any:
    address, index = values
    return builder.load(builder.bitcast(_element(builder, address, index, ir.IntType(8)), kind.as_pointer()), align=1)


@intrinsic
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Which is the lowest bit that is set; 64 where none is."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), codegen


@intrinsic
def int32_at(typingctx: Any, address: Any, index: Any) -> Any:
    """int32 number `index` from `address` on, as an int64."""
    return types.int64(types.int64, types.int64), _load_as(32)


@intrinsic
def int64_at(typingctx: Any, address: Any, index: Any) -> Any:
    """int64 number `index` from `address` on."""
    return types.int64(types.int64, types.int64), _load_as(64)


def _store_as(bits: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, index, value = values
        kind = ir.IntType(bits)
        builder.store(resize(builder, value, kind), _element(builder, address, index, kind))
        return context.get_dummy_value()

    return codegen


@intrinsic
def set_byte(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Write an int64 as uint8 number `index` from `address` on."""
    return types.void(types.int64, types.int64, types.int64), _store_as(8)


@intrinsic
def set_int32(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Write an int64 as int32 number `index` from `address` on."""
    return types.void(types.int64, types.int64, types.int64), _store_as(32)


@intrinsic
def set_int64(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Write int64 number `index` from `address` on."""
    return types.void(types.int64, types.int64, types.int64), _store_as(64)


@intrinsic
def store_transposed(
    typingctx: Any, source: Any, start: Any, stride: Any, target: Any, places: Any, row: Any, offset: Any
) -> Any:
    """target[places[row + j] + offset + i] = source[start + i * stride + j] for i, j in 0..7.

    Eight loads and eight stores; between them, blocks of 4, 2 and 1 lanes are exchanged between vectors that are as far
    apart (Eklundh, 1972). A prototype took 4.5 ns per example of 24 steps, and 17.6 with a plain double loop.
    """

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        source, start, stride, target, places, row, offset = values
        source_kind, _, _, target_kind, places_kind, *_ = signature.args
        element = context.get_value_type(source_kind.dtype)
        vector = ir.VectorType(element, LANES)
        size = source_kind.dtype.bitwidth // 8
        vectors = []
        for i in range(LANES):
            index = builder.add(start, builder.mul(stride, ir.Constant(stride.type, i)))
            vectors.append(builder.load(_pointer(context, builder, source_kind, source, index, vector), align=size))
        for distance in (4, 2, 1):
            for i in range(LANES):
                if not i & distance:
                    a, b = vectors[i], vectors[i + distance]
                    low = [j if not j & distance else LANES + j - distance for j in range(LANES)]
                    high = [j + distance if not j & distance else LANES + j for j in range(LANES)]
                    for result, lanes in ((i, low), (i + distance, high)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
                        vectors[result] = builder.shuffle_vector(a, b, mask)
        for j, transposed in enumerate(vectors):
            index = builder.add(row, ir.Constant(row.type, j))
            place = builder.load(_pointer(context, builder, places_kind, places, index, ir.IntType(64)))
            place = builder.add(place, offset)
            builder.store(transposed, _pointer(context, builder, target_kind, target, place, vector), align=size)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, target, places, integer, integer), codegen


@jit
def load_tile(x: Any, offsets: Any, group: Any, words: Any, tile: Any, length: int) -> None:
    """Vectors of the rows `group` to position-major: tile[i * words.size + r] = x[offsets[group[r]] + i].

    Rows beyond those of the group, which pad the tile, are 0. x is read up to seven bytes past its elements.
    """
    per_word = 8 // x.itemsize
    words[group.size :] = 0
    for i in range(0, length, per_word):
        for r in range(group.size):
            words[r] = load_word(x, offsets[group[r]] + i)
        for j in range(min(per_word, length - i)):
            _unpack_row(words, np.uint64(8 * x.itemsize * j), tile[(i + j) * words.size : (i + j + 1) * words.size])


@jit
def _unpack_row(words: Any, shift: Any, tile: Any) -> None:
    for r in range(words.size):
        tile[r] = words[r] >> shift
