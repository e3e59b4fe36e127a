"""Keys of rows: hashes against plain Python, sets against Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgen.overlap import Keys, common, count_elements, hash_rows, keep_distinct, mix_rows

MASK = 2**64 - 1


def mix(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def reference(row: list[int], seed: int, size: int) -> int:
    """Eight bytes at a time, the last ones filled up with zeros."""
    data = b"".join(value.to_bytes(size, "little") for value in row)
    for start in range(0, len(data), 8):
        seed = mix(seed ^ int.from_bytes(data[start : start + 8], "little"))
    return seed


def hashed(rows: list[list[int]], seeds: list[int], dtype: Any) -> list[int]:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    values = np.array([value for row in rows for value in row], dtype)
    hashes = np.empty(len(rows), np.uint64)
    hash_rows(values, offsets, np.array(seeds, np.uint64), hashes)
    return [int(each) for each in hashes]


def test_the_mix_is_splitmix64() -> None:
    """The first numbers that SplitMix64 gives for the seed 1234567, as published with its source."""
    states = [(1234567 + i * 0x9E3779B97F4A7C15) & MASK for i in range(1, 6)]
    words = np.array(states, np.uint64)
    mix_rows(words, np.zeros_like(words))
    assert [int(word) for word in words] == [mix(state) for state in states]
    assert [int(word) for word in words] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hashes_against_the_reference(dtype: Any) -> None:
    random = np.random.default_rng(3)
    rows = [random.integers(np.iinfo(dtype).max + 1, size=length).tolist() for length in range(40)]
    seeds = [int(seed) for seed in random.integers(2**63, size=len(rows))]
    size = np.dtype(dtype).itemsize
    assert hashed(rows, seeds, dtype) == [reference(*pair, size) for pair in zip(rows, seeds, strict=True)]


def test_every_vector_has_a_key_of_its_own() -> None:
    """All 3^8 vectors, and all of up to five elements below 4."""
    rows = [[number // 3**i % 3 for i in range(8)] for number in range(3**8)]
    assert len(set(hashed(rows, [5] * len(rows), np.uint8))) == len(rows)


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 9)))
def test_sets(first: list[int], second: list[int], both: list[int]) -> None:
    a, b = set(first + both), set(second + both)
    assert common(*(np.array(sorted(each), np.uint64) for each in (a, b))) == len(a & b)
    keys = np.array(sorted(first + both), np.uint64)
    assert keys[: keep_distinct(keys)].tolist() == sorted(a)


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=8)), st.sampled_from([1, 2, 8]))
def test_a_set_that_is_full_lets_go_of_what_it_holds_twice(batches: list[list[int]], slices: int) -> None:
    kept = [[key for key in batch if key < 2**64 // slices] for batch in batches]
    distinct = sorted({key for batch in kept for key in batch})
    keys = Keys(len(distinct) + 8, slices)
    for batch in batches:
        keys.add(np.array(batch, np.uint64))
    keys.settle()
    assert keys.distinct.tolist() == distinct
    assert keys.rows == sum(map(len, kept))


def test_a_set_that_is_full_of_different_keys_says_so() -> None:
    keys = Keys(3, 1)
    keys.add(np.array([1, 2, 3], np.uint64))
    keys.add(np.array([], np.uint64))
    with pytest.raises(MemoryError):
        keys.add(np.array([4], np.uint64))


def test_elements_are_counted_by_position() -> None:
    values, offsets = np.array([1, 0, 1, 2, 2, 2], np.uint8), np.array([0, 2, 2, 6], np.int32)
    counts = np.zeros((3, 3), np.int64)
    count_elements(values, offsets, counts)
    assert counts.tolist() == [[0, 2, 0], [1, 0, 1], [0, 0, 2]]
    one = np.zeros((1, 3), np.int64)
    count_elements(values, offsets, one)
    assert one.tolist() == [[1, 2, 3]]
