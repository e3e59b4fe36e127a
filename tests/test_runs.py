"""A run holds what the verdicts say of each row and each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from judged import columns, predictions

from fastgen.doors import compose
from fastgen.report.runs import NO_SPLIT, Run, run_of
from fastgen.shard import table
from fastgen.transforms import RECORDS
from fastgen.transforms.base import split_head
from fastgen.verdict.kinds import AFTER, KINDS, WHOSE

CONFIG = compose("n=1000")


def named(run: Run, head: str) -> str:
    """What a head is called in a run."""
    name = (split_head(head) or ("",))[0]
    if head in run.config.grammar.heads or name not in RECORDS:
        return head if head in run.config.grammar.heads else "?"
    return name if RECORDS[name].argument is None else name + "*"


@pytest.mark.parametrize(
    "overrides",
    [(), ("text=result",), ("task=plan",), ("task=execute", "length={min:5,max:7}"), ("text=names",), ("task=direct",)],
)
def test_a_run_says_what_the_verdicts_say(overrides: tuple[str, ...]) -> None:
    config = compose("n=1000", *overrides)
    texts = columns(config)
    read, verdicts = predictions(texts, config)
    run = run_of("run", config, read, verdicts)
    heads, step = (*run.heads, "", "?"), 0  # NOTHING and UNKNOWN, from behind
    for r in range(len(read)):
        verdict = verdicts.row(r)
        assert run.splits[run.split[r]] == texts["split"][r]
        assert (run.parsed[r], run.valid[r], run.answer[r]) == (verdict.parsed, verdict.valid, verdict.answer)
        assert WHOSE[run.whose[r]] == verdict.whose
        assert run.forced[r] == verdict.forced
        assert KINDS[run.error[r]] == (verdict.error or "")
        assert run.intended[r] == run.chain[r] == read.intended[r]
        owner = run.owner[r]
        assert (None if owner < 0 else config.splits[owner].name) == verdict.owner
        shown = [heads[place] for place in run.chains[run.written[r]]]
        deepest = config.chain.max + 1
        wanted = [named(run, head) for head in verdict.chain[:deepest]]
        assert shown == wanted + [""] * (deepest - len(wanted))
        if verdict.error_head and verdict.error_depth < deepest:
            assert heads[run.error_head[r]] == named(run, verdict.error_head)
        for each in verdict.steps:
            assert run.steps.row[step] == r
            found = run.steps
            assert (KINDS[found.kind[step]], AFTER[found.after[step]]) == (each.kind, each.after)
            for field in ("op", "depth", "step", "a", "b", "r", "due_a", "due_b", "expected", "other"):
                assert getattr(found, field)[step] == getattr(each, field)
            if each.op and each.depth < len(verdict.chain) and each.depth < deepest:
                head = heads[found.head[step]]
                same = (split_head(verdict.chain[each.depth]) or ("",))[0] == _name(each.op)
                assert head == named(run, verdict.chain[each.depth]) if same else head.rstrip("*") == _name(each.op)
            step += 1
    assert step == run.steps.row.size
    assert {each.size for each in run.steps} == {step}


def _name(op: int) -> str:
    return next(record.name for record in RECORDS.values() if record.code == op)


def test_keys_are_equal_where_examples_are() -> None:
    rows = table(CONFIG, "train", 0, 40)
    prompt, texts = rows["prompt"].to_pylist(), rows["completion"].to_pylist()
    twice: dict[str, Any] = {"prompt": prompt * 2, "sample": [0] * 40 + [1] * 40, "prediction": texts * 2}
    run = run_of("run", CONFIG, *predictions(twice, CONFIG))
    assert run.splits == (NO_SPLIT,)
    assert run.index is None
    assert (run.prompt[:40] == run.prompt[40:]).all()
    assert np.unique(run.prompt).size == 40
    assert not run.known
    assert (run.chain == rows["chain_id"].to_numpy().tolist() * 2).all()  # the one written

    keyed = {"split": ["train"] * 40 + ["validation"] * 40, "index": [*range(40)] * 2, "prediction": texts * 2}
    run = run_of("run", CONFIG, *predictions(keyed, CONFIG))
    assert np.unique(run.prompt).size == 80
    order = np.argsort(keyed["index"], kind="stable")
    again = run_of(
        "run", CONFIG, *predictions({name: [values[i] for i in order] for name, values in keyed.items()}, CONFIG)
    )
    assert (again.prompt == run.prompt[order]).all()


def test_splits_without_rows_are_left_out_and_rows_without_a_split_have_one() -> None:
    texts = columns(CONFIG, 12)
    validation = {name: values[12:] for name, values in texts.items()}
    run = run_of("run", CONFIG, *predictions(validation, CONFIG))
    assert run.splits == ("validation",)
    assert not run.split.any()


def test_no_row_that_is_judged() -> None:
    nothing = {"split": ["nowhere"], "index": [0], "prediction": ["sort"]}
    run = run_of("run", CONFIG, *predictions(nothing, CONFIG))
    assert (run.split.size, run.steps.row.size, run.splits) == (0, 0, (NO_SPLIT,))
