"""The generator against published values, compiled against reference, and seeds and splits that share nothing."""

import random
from itertools import combinations

import numpy as np
import pytest
from helpers import variant

from fastgen import rng
from fastgen.doors import compose
from fastgen.jit import jit
from fastgen.shard import table

KNOWN = [  # counter, key, result: `kat_vectors` of Random123, philox4x32 10
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

MOST = 2**64 - 1


@jit
def take_digits(words, radix, digits):
    """Compiled: the first digits of each word, digits: uint64[word, digit]; the words keep what is left."""
    for w in range(words.size):
        for d in range(digits.shape[1]):
            digits[w, d], words[w] = rng.take_digit(words[w], radix)


def compiled(seed, stream, start, draw, count):
    first, second = np.empty(count, np.uint64), np.empty(count, np.uint64)
    rng.fill_words(*map(np.uint64, (seed, stream, start, draw)), first, second)
    return first.tolist(), second.tolist()


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_of_the_published_vectors(counter, key, result):
    assert rng.philox(counter, key) == result


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_compiled_words_of_the_published_vectors(counter, key, result):
    seed, index = key[0] | key[1] << 32, counter[0] | counter[1] << 32
    words = result[0] | result[1] << 32, result[2] | result[3] << 32
    assert compiled(seed, counter[3], index, counter[2], 1) == ([words[0]], [words[1]])
    if counter[2] == 0:
        assert rng.words(seed, counter[3], index, 2) == list(words)


def test_compiled_words_are_the_references():
    draws = random.Random(0)
    cases = [
        (MOST, 2**32 - 1, MOST, 0),
        (0, 0, 2**32 - 3, 1),
        (1, 1, MOST - 6, 5),
    ]  # an index that carries over 32 bits
    for _ in range(50):
        seed, stream, index = draws.getrandbits(64), draws.getrandbits(32), draws.getrandbits(draws.choice([8, 32, 64]))
        cases.append((seed, stream, index, draws.randrange(40)))
    for seed, stream, start, draw in cases:
        count = min(7, MOST - start + 1)
        expected = [rng.words(seed, stream, start + r, 2 * draw + 2)[-2:] for r in range(count)]
        first, second = compiled(seed, stream, start, draw, count)
        assert list(map(list, zip(first, second, strict=True))) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 9])
def test_words_are_a_prefix_of_more_words(count):
    assert rng.words(5, 6, 7, count) == rng.words(5, 6, 7, 20)[:count]
    assert len(set(rng.words(5, 6, 7, 20))) == 20


@pytest.mark.parametrize("radix", [1, 2, 11, 256, 257, 1004, 65_536, 2**32 - 1, 2**32])
def test_compiled_digits_are_the_references(radix):
    draws = random.Random(radix)
    words = [0, 1, MOST, MOST - 1, 2**63, 2**63 - 1, 2**32, 2**32 - 1, *(draws.getrandbits(64) for _ in range(200))]
    left, digits = np.array(words, np.uint64), np.empty((len(words), 8), np.uint64)
    take_digits(left, np.uint64(radix), digits)
    for word, found, rest in zip(words, digits.tolist(), left.tolist(), strict=True):
        expected = []
        for _ in range(8):
            digit, word = rng.digit(word, radix)
            assert 0 <= digit < radix
            expected.append(digit)
        assert (found, rest) == (expected, word)


def test_digits_of_a_word_are_its_expansion():
    """The digits of radices 11, 3, 7 say in which of 231 equal parts of [0, 1) the word lies."""
    for word in [0, 12345, 2**63, MOST, 0xDEADBEEF_CAFEF00D]:
        rest, part = word, 0
        for radix in (11, 3, 7):
            found, rest = rng.digit(rest, radix)
            part = part * radix + found
        assert part == word * 231 >> 64


SEEDS = [0, 1, 2, 2**32 - 1, 2**32, 2**64 - 2, 2**64 - 1]
ROWS = 20_000


def rows(config, split, start=0):
    """The (chain, x) of rows from `start` on, as a set. At length 16 and k=11 there are 10^19 of them."""
    found = table(config, split, start, start + ROWS)
    x = found["x"].combine_chunks().values.to_numpy().reshape(ROWS, 16)
    return {(chain, vector.tobytes()) for chain, vector in zip(found["chain_id"].to_pylist(), x, strict=True)}


def vectors(found):
    return {vector for _, vector in found}


def test_neither_seeds_nor_splits_share_examples():
    base = compose("length=16", "n=100_000")
    corpora = {
        (seed, split): rows(variant(base, seed=seed), split) for seed in SEEDS for split in ("train", "validation")
    }
    for found in corpora.values():
        assert len(vectors(found)) == ROWS
    for one, other in combinations(corpora, 2):
        assert not vectors(corpora[one]) & vectors(corpora[other]), f"{one} and {other} share vectors"


def test_a_control_shares_chains_but_no_example():
    config = compose("length=16", "n=100_000", "+split.sets.seen={of:train,n:20_000}")
    train, seen = rows(config, "train"), rows(config, "seen")
    assert {chain for chain, _ in train} == {chain for chain, _ in seen}
    assert not vectors(train) & vectors(seen)


def test_shared_examples_would_be_found():
    """The two tests above see one example that two sets share, at whatever index."""
    config = compose("length=16", "n=100_000")
    assert len(rows(config, "train") & rows(config, "train", start=ROWS - 1)) == 1
    assert not rows(config, "train") & rows(config, "train", start=ROWS)
