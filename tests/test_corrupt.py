"""Errors made on purpose are found: kind and place of each."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from fastgen.doors import compose
from fastgen.engine import Example, example
from fastgen.settings import Config
from fastgen.text.parse import parse
from fastgen.text.render import render
from fastgen.transforms import RECORDS, Transformation
from fastgen.verdict.corrupt import MADE, corrupt
from fastgen.verdict.reference import verify_one

CONFIG = compose()
EXPECTED = {
    "position": {"reverse", "rotate", "swap_pairs", "interleave", "sort", "sort_descending", "evens_first"},
    "argument": {"add", "multiply", "negate"},
    "source": {"sort", "sort_descending", "evens_first"},
    "unstable": {"sort", "sort_descending", "evens_first"},
    "count": {"rank"},
}


def drawn(config: Config, record, random: Random) -> Example:
    """An example of the transformation between two others, whether or not the graph has them."""
    argument = None if record.argument is None else random.randrange(2, 5)
    chain = [Transformation(RECORDS["cumsum"]), Transformation(record, argument), Transformation(RECORDS["difference"])]
    x = [random.randrange(config.k) for _ in range(8)]
    y, steps = x, []
    for transformation in chain:
        y = transformation(y, config.k, steps)
    return Example(0, 0, tuple(transformation.head for transformation in chain), x, y, steps)


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("record", RECORDS.values(), ids=repr)
def test_kind_and_place_are_found(record, consistent):
    random, made = Random(record.name), Counter()
    for round_ in range(12):
        each = drawn(CONFIG, record, random)
        prompt, right = render(each, CONFIG)
        for kind in MADE:
            step = round_ % 8
            try:
                text = corrupt(each, CONFIG, kind, 1, step, consistent)
            except ValueError:
                continue
            found = verify_one(parse(text, CONFIG, prompt), CONFIG)
            assert text != right
            assert (found.error, found.error_depth, found.error_step) == (kind, 1, step), (text, each)
            assert not any(one.kind or one.after for one in found.steps[: 8 + step])
            if consistent:
                assert not any(one.after == "new error" for one in found.steps), (kind, text, found)
            made[kind] += 1
    assert made["format"] == 12
    for kind, names in EXPECTED.items():
        assert (made[kind] > 0) == (record.name in names), kind


def test_what_can_not_be_made_is_refused():
    each = example(CONFIG, "train", 0)
    for arguments, message in (
        (("nonsense", 0, 0), "there are format"),
        (("copy", 9, 0), "transformations of 8"),
        (("repeated", 0, 0), "cannot have it"),
    ):
        with pytest.raises(ValueError, match=message):
            corrupt(each, CONFIG, *arguments)
    with pytest.raises(ValueError, match="shows a, b and r"):
        corrupt(each, compose("text=result"), "copy", 0, 0)
