"""Modular arithmetic on narrow integers: every pair of bytes, and the edges of two bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from fastgen import modular

BYTES = np.arange(256)
WIDE_MODULI = (2, 3, 11, 255, 256, 257, 1000, 32_767, 32_768, 32_769, 40_000, 65_535, 65_536)


@numba.njit
def add(a: Any, b: Any, k: int, out: Any) -> None:
    for i in range(a.size):
        out[i] = modular.add(a[i], b[i], k)


@numba.njit
def subtract(a: Any, b: Any, k: int, out: Any) -> None:
    for i in range(a.size):
        out[i] = modular.subtract(a[i], b[i], k)


@numba.njit
def multiply(a: Any, b: Any, k: int, out: Any) -> None:
    m = modular.reciprocal(a, k)
    for i in range(a.size):
        out[i] = modular.multiply(a[i], b[i], k, m)


FUNCTIONS = {"add": (add, np.add), "subtract": (subtract, np.subtract), "multiply": (multiply, np.multiply)}

each_function = pytest.mark.parametrize(("compiled", "exact"), FUNCTIONS.values(), ids=FUNCTIONS)


def check(compiled: Callable[..., None], exact: np.ufunc, values: Any, k: int, dtype: type) -> None:
    """All pairs of the values, against NumPy in 64 bits."""
    a, b = (pair.ravel() for pair in np.meshgrid(values, values))
    out = np.full(a.size, np.iinfo(dtype).max, dtype)
    compiled(a.astype(dtype), b.astype(dtype), k, out)
    wrong = np.flatnonzero(out != exact(a, b) % k)
    assert wrong.size == 0, f"k={k}: of {a[wrong[0]]} and {b[wrong[0]]}: {out[wrong[0]]}"


@each_function
def test_every_pair_of_bytes(compiled: Callable[..., None], exact: np.ufunc) -> None:
    for k in range(2, 257):
        check(compiled, exact, BYTES if compiled is multiply else BYTES[:k], k, np.uint8)


@each_function
def test_two_bytes(compiled: Callable[..., None], exact: np.ufunc) -> None:
    random = np.random.default_rng(0)
    for k in WIDE_MODULI:
        below = 65_536 if compiled is multiply else k
        edges = [*range(8), *range(k // 2 - 4, k // 2 + 4), *range(k - 8, k), *range(below - 8, below)]
        values = np.unique([*edges, *random.integers(0, below, 500)])
        check(compiled, exact, values[(values >= 0) & (values < below)], k, np.uint16)
