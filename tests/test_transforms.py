"""The transformations: the generic tests of a record, and algebra that knows nothing of the references."""

from __future__ import annotations

from itertools import product
from typing import Any

import numba
import numpy as np
import pytest

from fastgen import testing
from fastgen.trace import code_dtype, vector_dtype
from fastgen.transforms import RECORDS, Record, Transformation, order, split_head, transformation

CASES = [(k, length) for k in (2, 3, 11, 255, 256, 257, 65_536) for length in (1, 2, 7, 8, 300)]

each_record = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
each_case = pytest.mark.parametrize(("k", "length"), CASES)


@each_record
def test_declaration(record: Record) -> None:
    testing.check_declaration(record)


@each_record
def test_reference(record: Record) -> None:
    testing.check_reference(record)


@each_record
def test_kernel_on_every_small_vector(record: Record) -> None:
    testing.check_every_small_vector(record)


@each_record
def test_kernel_on_random_vectors(record: Record) -> None:
    testing.check_random_vectors(record)


@each_record
def test_no_float_in_kernel(record: Record) -> None:
    testing.check_types(record)


@each_record
def test_result_compiled(record: Record) -> None:
    testing.check_result(record)


def test_a_result_that_compiled_code_gives_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    record = RECORDS["rank"]
    monkeypatch.setattr(record, "of_operands", lambda a, b, k: a**5 % k)
    with pytest.raises(AssertionError, match=r"rank \(code 16\): result\(\d+, \d+, \d+\) is -?\d+ compiled"):
        testing.check_result(record)
    for left_to_python in (lambda a, b, k: (a / 2) * 2 // 1, lambda a, b, k: int(str(a)[::-1], 16) % k, None):
        monkeypatch.setattr(record, "of_operands", left_to_python)
        testing.check_result(record)


def test_there_are_the_sixteen() -> None:
    families = {"elementwise": 4, "scan": 4, "permute": 4, "order": 4}
    own = [record for record in RECORDS.values() if record.code <= 16]
    assert {family: sum(record.family == family for record in own) for family in families} == families
    assert [record.code for record in sorted(own, key=lambda record: record.code)] == list(range(1, 17))


# What follows is said of the kernels and was derived by hand, not from the references.


def apply(name: str, x: Any, k: int, c: int = 0) -> Any:
    """y of the kernel."""
    length, rows = x.shape
    y, trace = np.empty_like(x), np.empty((length, rows), code_dtype(k, length))
    RECORDS[name].compiled(np.ascontiguousarray(x), y, trace, RECORDS[name].code, k, c)
    return y


def vectors(k: int, length: int) -> Any:
    """x: uint8|uint16[position, row], 64 rows, in half of them few distinct values."""
    random = np.random.default_rng([k, length])
    x = random.integers(0, k, (length, 64))
    x[:, ::2] %= 3
    return x.astype(vector_dtype(k))


@each_case
def test_inverses(k: int, length: int) -> None:
    x = vectors(k, length)
    for c in {1, k // 2, k - 1}:
        assert np.array_equal(apply("add", apply("add", x, k, c), k, k - c), x)
    for c in {1, length // 2}:
        assert np.array_equal(apply("rotate", apply("rotate", x, k, c), k, length - c), x)
    for name in ("negate", "reverse", "swap_pairs"):
        assert np.array_equal(apply(name, apply(name, x, k), k), x), name
    assert np.array_equal(apply("difference", apply("cumsum", x, k), k), x)
    assert np.array_equal(apply("cumsum", apply("difference", x, k), k), x)
    if k % 2:
        assert np.array_equal(apply("multiply", apply("multiply", x, k, 2), k, (k + 1) // 2), x)
    y = apply("interleave", x, k)
    assert np.array_equal(np.concatenate([y[::2], y[1::2]]), x)


@each_case
def test_idempotence(k: int, length: int) -> None:
    x = vectors(k, length)
    for name in ("sort", "sort_descending", "evens_first", "cummax", "cummin"):
        once = apply(name, x, k)
        assert np.array_equal(apply(name, once, k), once), name


@each_case
def test_permutations_keep_the_elements(k: int, length: int) -> None:
    x = vectors(k, length)
    for name in ("reverse", "rotate", "swap_pairs", "interleave", "sort", "sort_descending", "evens_first"):
        assert np.array_equal(np.sort(apply(name, x, k, length // 3), axis=0), np.sort(x, axis=0)), name


@each_case
def test_order(k: int, length: int) -> None:
    x = vectors(k, length)
    assert np.array_equal(apply("sort", x, k), np.sort(x, axis=0))
    assert np.array_equal(apply("sort_descending", x, k), np.sort(x, axis=0)[::-1])
    assert np.all(np.diff((apply("evens_first", x, k) % 2).astype(int), axis=0) >= 0)
    if k > length:
        rank = apply("rank", x, k).astype(int)
        assert np.all(rank < length)
        assert np.array_equal(np.argsort(rank, axis=0, kind="stable"), np.argsort(x, axis=0, kind="stable"))


@each_case
def test_scans_are_monotone(k: int, length: int) -> None:
    x = vectors(k, length)
    largest, least = apply("cummax", x, k).astype(int), apply("cummin", x, k).astype(int)
    assert np.all(np.diff(largest, axis=0) >= 0)
    assert np.all(np.diff(least, axis=0) <= 0)
    assert np.all((least <= x) & (x <= largest))
    assert np.array_equal(largest[-1], x.max(axis=0))
    assert np.array_equal(least[-1], x.min(axis=0))


@each_case
def test_homomorphisms(k: int, length: int) -> None:
    """Additive: cumsum, difference, multiply and negate of a sum are the sums of theirs. Multiplicative: square."""
    x, z = vectors(k, length), vectors(k, length)[:, ::-1]
    total = ((x.astype(int) + z) % k).astype(x.dtype)
    for name in ("cumsum", "difference", "multiply", "negate"):
        apart = apply(name, x, k, 3 % k).astype(int) + apply(name, z, k, 3 % k)
        assert np.array_equal(apply(name, total, k, 3 % k), apart % k), name
    product_ = (x.astype(np.int64) * z % k).astype(x.dtype)
    apart = apply("square", x, k).astype(np.int64) * apply("square", z, k)
    assert np.array_equal(apply("square", product_, k), apart % k)


@pytest.mark.parametrize("length", [8, 256, 257, 1000])
def test_equal_values_keep_their_order(length: int) -> None:
    """The sources in the trace: ascending where values are equal. 256 is the last length of the network."""
    k = 3
    x = vectors(k, length)
    sources = {}
    for name in ("sort", "sort_descending", "evens_first"):
        y, trace = np.empty_like(x), np.empty(x.shape, code_dtype(k, length))
        RECORDS[name].compiled(x, y, trace, RECORDS[name].code, k, 0)
        bits = trace.itemsize * 2
        sources[name] = ((trace >> (2 * bits)) & ((1 << bits) - 1)).astype(int)
        assert np.array_equal(np.take_along_axis(x, sources[name], axis=0), y)
    keys = {"sort": x.astype(int), "sort_descending": -x.astype(int), "evens_first": x.astype(int) % 2}
    for name, key in keys.items():
        assert np.array_equal(sources[name], np.argsort(key, axis=0, kind="stable")), name


@pytest.mark.parametrize("k", [256, 65_536])
def test_radix_sort_stays_inside_its_arrays(k: int) -> None:
    """Compiled so that an index that is too large raises IndexError: elsewhere it may go unnoticed."""
    checked = numba.njit(boundscheck=True)(order._radix_sort.py_func)
    x = np.array([[k - 1], [0], [k - 1], [255], [1]], vector_dtype(k))
    places, spare = np.empty(len(x), np.int64), np.empty(len(x), np.int64)
    checked(x, 0, x.dtype.type(0), x.dtype.type(k - 1), places, spare)
    assert places.tolist() == np.argsort(x[:, 0], kind="stable").tolist()


@pytest.mark.parametrize(
    "record", [record for record in RECORDS.values() if record.argument], ids=lambda record: record.name
)
def test_degenerate_arguments_are_all_declared(record: Record) -> None:
    """On every vector: which arguments change nothing, and which make every element 0."""
    k = length = 5
    every = list(product(range(k), repeat=length))
    found = {}
    for c in range(5):
        results = [record(list(x), k, [], c) for x in every]
        if all(y == list(x) for x, y in zip(every, results, strict=True)):
            found[c] = "changes nothing"
        elif not any(map(any, results)):
            found[c] = "makes every element 0"
    assert found == record.degenerate


def test_head_and_transformation() -> None:
    add3 = Transformation(RECORDS["add"], 3)
    steps: list[tuple[int, int, int, int]] = []
    assert (add3.head, str(add3)) == ("add3", "add3")
    assert add3([4, 0], 5, steps) == [2, 3]
    assert steps == [(1, 4, 3, 2), (1, 0, 3, 3)]
    for record, c in product(RECORDS.values(), (None, 0, 17)):
        if (record.argument is None) == (c is None):
            assert split_head(Transformation(record, c).head) == (record.name, c)
    for malformed in ("", "3", "add-3", "add 3", "Add3", "add3x", "add3.0", "added3\n", "add\uff13"):
        assert split_head(malformed) is None, malformed


def reference(x: list[int], k: int, steps: list[tuple[int, int, int]]) -> list[int]:
    """Do nothing."""
    steps.extend((value, value, value) for value in x)
    return x


@pytest.mark.parametrize(
    ("name", "module", "code", "message"),
    [
        ("ends_in_a_digit2", "plugin", 200, "ends in a letter"),
        ("Upper", "plugin", 200, "lower-case"),
        ("fresh", "plugin", 127, r"not in 128\.\.254"),
        ("fresh", "plugin", 255, r"not in 128\.\.254"),
        ("fresh", "fastgen.transforms.scan", 128, r"not in 1\.\.127"),
        ("fresh", "fastgen.transforms.scan", 0, r"not in 1\.\.127"),
        ("fresh", "fastgen.transforms.scan", 5, "cumsum"),
        ("cumsum", "plugin", 200, "cumsum"),
    ],
)
def test_refused_declarations(monkeypatch: pytest.MonkeyPatch, name: str, module: str, code: int, message: str) -> None:
    monkeypatch.setattr(reference, "__name__", name)
    monkeypatch.setattr(reference, "__module__", module)
    before = dict(RECORDS)
    with pytest.raises(ValueError, match=message):
        transformation(code=code, a="element", b="element")(reference)
    assert before == RECORDS


def test_a_record_without_a_kernel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "__module__", "plugin")
    record = transformation(code=254, a="element", b="element")(reference)
    try:
        with pytest.raises(TypeError, match=r"@reference\.kernel"):
            _ = record.compiled
    finally:
        del RECORDS["reference"]
