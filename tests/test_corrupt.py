"""Errors made on purpose are found: kind and place of each."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from campaign_verdict import CONFIGS, draw, right, wrong

from fastgen.doors import compose
from fastgen.engine import Example, example
from fastgen.settings import Config
from fastgen.text.parse import parse
from fastgen.text.render import render
from fastgen.transforms import RECORDS, Transformation
from fastgen.verdict.corrupt import corrupt, lacks
from fastgen.verdict.kinds import KINDS
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
        for kind in KINDS[1:]:
            step = round_ % 8
            try:
                text = corrupt(each, CONFIG, kind, 1, step, consistent)
            except ValueError:
                continue
            found = verify_one(parse(text, CONFIG, prompt), CONFIG)
            assert text != right
            assert (found.error, found.error_depth, found.error_step) == (kind, 1, step), (text, each)
            assert not any(one.kind or one.after for one in found.steps[: 8 + step]), kind
            if consistent and kind != "other transformation":
                assert not any(one.after == "new error" for one in found.steps), (kind, text, found)
            made[kind] += 1
    assert made["format"] == 12
    for kind, names in EXPECTED.items():
        assert (made[kind] > 0) == (record.name in names), kind


@pytest.mark.parametrize("shown", ["b", "a,b", "r,b", "a,r", "a", "a,b,r"])
@pytest.mark.parametrize("name", ["cumsum", "cummax", "cummin", "sort"])
def test_what_follows_a_skipped_step_is_consistent_with_what_is_shown(name, shown):
    config, random, made = compose(f"text.step=[{shown}]"), Random(name), Counter()
    for round_ in range(48):
        each = drawn(config, RECORDS[name], random)
        for kind in ("skipped", "repeated"):
            try:
                text = corrupt(each, config, kind, 1, round_ % 8, consistent=True)
            except ValueError:
                continue
            found = verify_one(parse(text, config, render(each, config)[0]), config)
            assert (found.error, found.error_depth, found.error_step) == (kind, 1, round_ % 8)
            assert not any(one.after == "new error" for one in found.steps), (text, found)
            made[kind] += 1
    assert (made["skipped"] and made["repeated"]) or (shown == "a" and name != "sort")


@pytest.mark.parametrize("keys", ["task=plan", "task=plan length=2 k=3", "task=execute length={min:1,max:5}"])
def test_the_reference_finds_them_too(keys):
    config, random, made = compose(*keys.split()), Random(keys), Counter()
    for index in range(60):
        each = example(config, "train", index)
        prompt, _ = render(each, config)
        for kind in (kind for kind in KINDS[1:] if not lacks(kind, config)):
            if found := draw(config, each, kind, random):
                text, _, place = found
                verdict = verify_one(parse(text, config, prompt), config)
                assert verdict.error == kind, (prompt, text)
                assert (verdict.error_depth, verdict.error_step) == (place or (None, None)), (prompt, text)
                made[kind] += 1
    assert len(made) >= (18 if keys == "task=plan" else 13)


def test_what_can_not_be_made_is_refused():
    each = example(CONFIG, "train", 0)
    for arguments, message in (
        (("nonsense", 0, 0), "there are format"),
        (("copy", 9, 0), "at depth 0, 1, step 0 to 7"),
        (("copy",), "depth=None step=None: in the text"),
        (("copy", 2, 0), "at depth 0, 1, step"),
        (("wrong chain", 0, 0), "has no place"),
        (("forced", 0, 0), "may be one at depth 1, step"),
        (("repeated", 0, 0), "can't have it"),
        (("disobeyed", 0, 0), "needs a chain that is given"),
    ):
        with pytest.raises(ValueError, match=message):
            corrupt(each, CONFIG, *arguments)


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        ("", {*KINDS[1:]} - {"disobeyed"}),
        ("task=plan", {*KINDS[1:]}),
        ("task=execute", {*KINDS[1:]} - {"forced", "wrong chain"}),
        ("task=direct", {"wrong result"}),
        ("text=names", {"format", "wrong chain"}),
        ("text=names task=execute", {"format", "wrong result"}),
        (
            "text=result",
            {"format", "skipped", "repeated", "wrong result", "other transformation", "forced", "wrong chain"},
        ),
    ],
)
def test_which_kinds_a_text_can_have(keys, kinds):
    config = compose(*keys.split())
    assert {kind for kind in KINDS[1:] if not lacks(kind, config)} == kinds
    each = example(config, "train", 0)
    for kind in {*KINDS[1:]} - kinds:
        with pytest.raises(ValueError, match=f"kind={kind}: needs "):
            corrupt(each, config, kind, 0, 0)


def test_choice_goes_round_among_all_errors_of_a_place():
    config = compose("length=3")
    each = Example(0, 0, ("add3",), [3, 1, 4], [6, 4, 7], [(1, 3, 3, 6), (1, 1, 3, 4), (1, 4, 3, 7)])
    made = [corrupt(each, config, "operand", 0, 1, choice=choice) for choice in range(20)]
    assert made[:10] == made[10:]
    assert {text.split(" , ")[1] for text in made} == {f"{a} 3 {(a + 3) % 11}" for a in range(11) if a != 1}
    config = compose("length=3", "task=execute", "text=names")
    made = [corrupt(each, config, "wrong result", 1, 1, choice=choice) for choice in range(20)]
    assert made[:10] == made[10:]
    assert {*made} == {f" add3 -> 6 {r} 7 ." for r in range(11) if r != 4}


@pytest.mark.parametrize("keys", CONFIGS)
def test_a_small_campaign(keys):
    config = compose(*keys.split())
    kinds = [kind for kind in KINDS[1:] if not lacks(kind, config)]
    made = wrong(config, 20 * len(kinds), Random(keys))
    assert right(config, 100, 0) >= 100
    assert sum(made.values()) > 10 * len(kinds)
    assert {kind for kind, _ in made} == {*kinds} or keys not in ("", "task=execute", "task=plan")
