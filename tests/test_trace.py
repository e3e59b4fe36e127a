"""Step codes: what `pack` and `unpack` say, what compiled code writes, and the bytes on disk are the same."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from fastgen import trace

WIDTHS = [(np.dtype(np.uint32), 255), (np.dtype(np.uint64), 65_535)]

each_width = pytest.mark.parametrize(("dtype", "largest"), WIDTHS, ids=str)


def steps(largest: int) -> Any:
    """int64[step, field]: random ones, and those with one field at its largest."""
    random = np.random.default_rng(largest).integers(0, largest + 1, (200, 4))
    return np.concatenate([random, np.eye(4, dtype=np.int64) * largest, np.full((1, 4), largest)])


@numba.njit
def write(codes: Any, fields: Any) -> None:
    for s in range(codes.size):
        codes[s] = trace.code(codes, fields[s, 0], fields[s, 1], fields[s, 2], fields[s, 3])


@each_width
def test_compiled_code_writes_what_pack_says(dtype: np.dtype[Any], largest: int) -> None:
    fields = steps(largest)
    codes = np.zeros(len(fields), dtype)
    write(codes, fields)
    assert codes.tolist() == [trace.pack(tuple(step), dtype) for step in fields.tolist()]
    narrow = np.zeros(len(fields), dtype)
    write(narrow, fields.astype(f"u{dtype.itemsize // 4}"))
    assert narrow.tolist() == codes.tolist()


@each_width
def test_bytes_are_op_a_b_r(dtype: np.dtype[Any], largest: int) -> None:
    fields = steps(largest)
    codes = np.array([trace.pack(tuple(step), dtype) for step in fields.tolist()], dtype.newbyteorder("<"))
    written = b"".join(int(value).to_bytes(dtype.itemsize // 4, "little") for value in fields.ravel())
    assert codes.tobytes() == written


@each_width
def test_unpack_inverts_pack(dtype: np.dtype[Any], largest: int) -> None:
    fields = steps(largest)
    codes = np.array([trace.pack(tuple(step), dtype) for step in fields.tolist()], dtype)
    assert np.array_equal(np.stack(trace.unpack(codes), axis=-1), fields)
    for step in fields.tolist():
        assert trace.unpack(trace.pack(tuple(step), dtype), dtype) == tuple(step)


@pytest.mark.parametrize(
    ("k", "length", "vector", "code"),
    [
        (2, 1, np.uint8, np.uint32),
        (256, 256, np.uint8, np.uint32),
        (256, 257, np.uint8, np.uint64),
        (257, 8, np.uint16, np.uint64),
        (65_536, 65_536, np.uint16, np.uint64),
    ],
)
def test_dtypes(k: int, length: int, vector: type, code: type) -> None:
    assert trace.vector_dtype(k) == vector
    assert trace.code_dtype(k, length) == code
    assert k - 1 <= np.iinfo(vector).max
    assert max(k - 1, length - 1) < 1 << (np.dtype(code).itemsize * 2)
