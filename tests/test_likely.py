"""What chance gives: if the wrong numbers are all that there are, it is what is found, exactly."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from helpers import variant
from judged import real

from fastgen.doors import compose
from fastgen.engine import Example
from fastgen.report.tables import by_kind
from fastgen.text.render import render
from fastgen.transforms import RECORDS, Transformation
from fastgen.verdict.batch import verify
from fastgen.verdict.kinds import KINDS
from fastgen.verdict.likely import ALONE, RESULTS, copied_from_elsewhere, expected


def worked(config, record, x):
    transformation = Transformation(record, None if record.argument is None else 1)
    steps = []
    y = transformation(list(x), config.k, steps)
    return Example(0, 0, (transformation.head,), list(x), y, steps)


def alone(config, record):
    """The config with a graph of one transformation."""
    head = Transformation(record, None if record.argument is None else 1).head
    only = {"train": {"chains": 1, "n": None, "of": None, "length": None}}
    return variant(
        config,
        graph={"layers": 1, "width": 1, "vertices": [head]},
        chain={"min": 1, "max": 1, "weights": None, "reject": []},
        split={**config.identity()["split"], "sets": only},
    )


def enumerated(config, record, field, vectors):
    """The steps of each text that differs from a right one in one number of this field, and which are the first wrong.

    It is each of the others, in every step. The graph has no other transformation: of a few steps, all could happen to
    be those of another.
    """
    config = alone(config, record)
    prompts, texts = [], []
    for x in vectors:
        each = worked(config, record, x)
        prompt, text = render(each, config)
        head, *said = text.removesuffix(" .").replace(" , ", " ").split()
        numbers = np.array(said, int).reshape(len(x), -1)
        bound = len(x) if record.roles["abr".index(field)] in ("position", "source", "count") else config.k
        place = config.grammar.step.index(field)
        for i in range(len(x)):
            for value in set(range(bound)) - {numbers[i, place]}:
                changed = numbers.copy()
                changed[i, place] = value
                prompts.append(prompt)
                texts.append(f" {head} " + " , ".join(" ".join(map(str, step)) for step in changed) + " .")
    steps = verify(pa.array(prompts), pa.array(texts), config).steps
    first = (steps["kind"] > 0) & (steps["after"] == 0)
    assert first.sum() == len(texts)
    return steps, {name: values[first] for name, values in steps.items()}


COMPUTED = [record for record in RECORDS.values() if record.of_operands]
ORDERED = [RECORDS[name] for name in ("sort", "sort_descending", "evens_first")]


@pytest.mark.parametrize("record", COMPUTED, ids=repr)
@pytest.mark.parametrize("k", [2, 5, 11])
def test_results_by_chance_are_what_all_wrong_results_are(record, k):
    config = compose(f"k={k}", "length=2")
    pairs = product(range(k), repeat=2)
    _, steps = enumerated(config, record, "r", [(a, b) for a, b in pairs if k < 11 or b == 3 * a % k])
    found = expected(config, steps)
    codes = {kind: np.count_nonzero(steps["kind"] == KINDS.index(kind)) for kind in KINDS[1:]}
    assert {kind for kind in codes if codes[kind]} == {*found} - {"no modulo"} <= {*RESULTS}
    for kind, (share, of) in found.items():
        assert share * of == pytest.approx(codes[kind], abs=1e-6), kind
    if k == 11:
        assert found["off by one"] == (pytest.approx(0.2), steps["kind"].size)
    assert sum(share * of for share, of in found.values()) == pytest.approx(steps["kind"].size)


def test_no_modulo_counts_where_the_sum_passes_k():
    config = compose("k=5", "length=2")
    _, steps = enumerated(config, RECORDS["cumsum"], "r", list(product(range(5), repeat=2)))
    passes = steps["a"] + steps["b"] >= 5
    assert expected(config, steps)["no modulo"] == (0.0, passes.sum())


@pytest.mark.parametrize("record", ORDERED, ids=repr)
def test_sources_by_chance_are_what_all_wrong_sources_are(record):
    """Over all vectors: each of them is as likely."""
    config = compose("k=3", "length=3")
    _, steps = enumerated(config, record, "b", list(product(range(3), repeat=3)))
    found = expected(config, steps)
    assert {*found} == {"source", "unstable"}
    for kind, (share, of) in found.items():
        assert of == steps["kind"].size
        assert share * of == pytest.approx(np.count_nonzero(steps["kind"] == KINDS.index(kind)))


@pytest.mark.parametrize("field", ["a", "b"])
@pytest.mark.parametrize("record", RECORDS.values(), ids=repr)
def test_every_other_operand_has_one_kind(record, field):
    config = compose("k=5", "length=3")
    _, steps = enumerated(config, record, field, [(3, 1, 4), (2, 2, 0)])
    found = expected(config, steps)
    assert {*found} <= ({"source", "unstable"} if record in ORDERED and field == "b" else {*ALONE})
    assert sum(share * of for share, of in found.values()) == pytest.approx(steps["kind"].size)


def test_wrong_results_without_operands_are_of_one_kind():
    config = compose("k=5", "length=2", "text=result")
    steps = {"kind": np.array([KINDS.index("wrong result")] * 3 + [0])}
    assert expected(config, steps) == {"wrong result": (1.0, 3)}


def test_of_wrong_sources_one_in_k_has_an_equal_element():
    kinds = np.array([KINDS.index("source"), 0, KINDS.index("unstable")])
    steps = {"kind": kinds, **{name: np.zeros(3, np.int32) for name in ("op", "a", "b")}}
    assert expected(compose("k=5"), steps) == {"source": (0.8, 2), "unstable": (0.2, 2)}


def test_nothing_wrong_gives_nothing():
    none = {name: np.zeros(4, np.int64) for name in ("kind", "op", "a", "b", "r", "expected", "step")}
    assert expected(compose(), none) == {}
    assert copied_from_elsewhere(compose(), none) == (0, 0.0, 0)


def test_copies_from_elsewhere_are_as_many_as_chance_gives():
    config, record = compose("k=4", "length=3"), RECORDS["reverse"]
    steps, _ = enumerated(config, record, "r", product(range(4), repeat=3))
    found, chance, of = copied_from_elsewhere(config, steps)
    assert of == 4**3 * 3 * 3
    assert found == pytest.approx(chance * of)
    assert chance == pytest.approx(1 - (1 - 1 / 4) ** 2)


def test_the_report_shows_the_share_by_chance():
    made = real(compose(), rows=400)
    table = by_kind(made)
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["off by one"]["by chance"] == pytest.approx(0.2)
    for name, row in rows.items():
        assert math.isnan(row["by chance"]) == (name not in {*ALONE, *RESULTS, "source", "unstable"}), name
        assert math.isnan(row["excess"]) or row["excess"] == row["of its like"] - row["by chance"]
    assert "wrong copies of elements" in table.note
