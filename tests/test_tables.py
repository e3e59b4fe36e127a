"""Every statistic says what plain Python counts in the verdicts, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from judged import columns, predictions

from fastgen import solve
from fastgen.doors import compose
from fastgen.report import runs
from fastgen.report import tables as statistics
from fastgen.report.predictions import Predictions
from fastgen.report.rates import Mean, Rate, Table
from fastgen.report.runs import Run, number_roles, run_of
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.transforms import RECORDS
from fastgen.transforms.base import split_head
from fastgen.verdict.kinds import AFTER, CLASS_OF, CLASSES, KINDS, Verdict

CONFIG = compose("n=1000", "graph=mixed", "split.sets.validation.length={min:7,max:9}")
NAME = {record.code: record.name for record in RECORDS.values()}


class Judged(NamedTuple):
    config: Config
    read: Predictions
    run: Run
    verdicts: list[Verdict]


@pytest.fixture(scope="module")
def judged() -> Judged:
    return of(CONFIG, columns(CONFIG, 120))


def of(config: Config, texts: dict[str, Any]) -> Judged:
    read, verdicts = predictions(texts, config)
    listed = [verdicts.row(r) for r in range(len(read))]
    return Judged(config, read, run_of("run", config, read, verdicts), listed)


Said = Iterator[tuple[Any, int, bool]]
"""What is counted: its label, in which row it is, whether it is right."""


def right(verdict: Verdict) -> bool:
    return verdict.valid and verdict.answer


def steps_by(label: Callable[[Judged, Verdict, Any, int], Any]) -> Callable[[Judged], Said]:
    def said(judged: Judged) -> Said:
        for r, verdict in enumerate(judged.verdicts):
            for step in verdict.steps:
                if (name := label(judged, verdict, step, r)) is not None:
                    yield name, r, not step.kind

    return said


def rows_by(label: Callable[[Judged, int], Any]) -> Callable[[Judged], Said]:
    def said(judged: Judged) -> Said:
        for r, verdict in enumerate(judged.verdicts):
            if (name := label(judged, r)) is not None:
                yield name, r, right(verdict)

    return said


def argument(judged: Judged, verdict: Verdict, step: Any, r: int) -> str | None:
    if not step.op or RECORDS[NAME[step.op]].argument is None:
        return None
    head = verdict.chain[step.depth] if step.depth < judged.config.chain.max + 1 else ""
    same = (split_head(head) or ("",))[0] == NAME[step.op]
    return head if same and head in judged.config.grammar.heads else NAME[step.op] + "*"


def numbers(judged: Judged) -> Said:
    for r, verdict in enumerate(judged.verdicts):
        for step in verdict.steps:
            roles = number_roles(RECORDS[NAME[step.op]]) if step.op else ("", "", "")
            dues = (step.due_a, step.due_b, step.expected)
            for written, due, role in zip((step.a, step.b, step.r), dues, roles, strict=True):
                if due >= 0:
                    yield role, r, written == due


def chain(judged: Judged, r: int) -> tuple[str, ...]:
    return judged.config.chains[judged.read.intended[r]].heads


def parts(heads: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {heads[i:j] for i in range(len(heads)) for j in range(i + 1, len(heads) + 1)}


def shown(judged: Judged) -> set[tuple[str, ...]]:
    config = judged.config
    return set().union(*(parts(config.chains[i].heads) for i in config.splits[0].chains))


def not_shown(judged: Judged, r: int) -> int:
    heads = chain(judged, r)
    return len(heads) - max((len(part) for part in parts(heads) & shown(judged)), default=0)


def solutions(judged: Judged, r: int, train: bool) -> str:
    given, config = judged.read.given, judged.config
    found = solve.solutions(config.chains, config.k, given.row(r).x or (), given.row(r).y or ())
    count = len([i for i in found if not train or i in config.splits[0].drawn])
    return str(count) if count < 8 else "8 or more"


COUNTED: dict[str, Callable[[Judged], Said]] = {
    "transformation": steps_by(lambda judged, verdict, step, r: NAME.get(step.op)),
    "argument": steps_by(argument),
    "depth": steps_by(
        lambda judged, verdict, step, r: step.depth if step.depth < judged.config.chain.max else "beyond"
    ),
    "position": steps_by(lambda judged, verdict, step, r: step.step if step.step < 9 else "beyond"),
    "role": numbers,
    "chain_length": rows_by(lambda judged, r: len(chain(judged, r))),
    "vector_length": rows_by(lambda judged, r: len(judged.read.given.row(r).x or ())),
    "exposure": rows_by(not_shown),
    "unseen_pairs": rows_by(lambda judged, r: sum(pair not in shown(judged) for pair in pairwise(chain(judged, r)))),
    "solutions": rows_by(lambda judged, r: solutions(judged, r, train=False)),
    "train_solutions": rows_by(lambda judged, r: solutions(judged, r, train=True)),
}


def found(judged: Judged, name: str) -> Table:
    [one] = [each for each in statistics.tables(judged.run) if each.name == name]
    return one


def rates(judged: Judged, one: Table) -> dict[tuple[str, str], tuple[int, int]]:
    cells = {}
    for row in one.rows:
        for split in judged.run.splits:
            cell = row[one.header.index(split)]
            if cell.of:
                cells[row[0], split] = (cell.count, cell.of)
    return cells


@pytest.mark.parametrize("name", COUNTED)
def test_rates_are_those_of_plain_counting(judged: Judged, name: str) -> None:
    good, all_ = Counter[Any](), Counter[Any]()
    for label, r, is_right in COUNTED[name](judged):
        cell = str(label), judged.run.splits[judged.run.split[r]]
        good[cell] += is_right
        all_[cell] += 1
    assert len(all_) > 1
    assert rates(judged, found(judged, name)) == {cell: (good[cell], of) for cell, of in all_.items()}


def test_steps_are_counted_in_blocks_of_any_size(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = statistics.by_position(judged.run)
    monkeypatch.setattr(runs, "BLOCK", 97)
    assert judged.run.steps.row.size > 10 * 97
    assert statistics.by_position(judged.run) == whole


def test_shares_of_roles_are_of_all_numbers(judged: Judged) -> None:
    counted = Counter(role for role, _, _ in numbers(judged))
    for row in found(judged, "role").rows:
        assert row[1] == pytest.approx(counted[row[0]] / counted.total())


def kind_of(verdict: Verdict) -> str:
    return verdict.error or ""


def whose(judged: Judged, r: int) -> str:
    verdict = judged.verdicts[r]
    if not right(verdict):
        return "not right"
    named = {"intended": "by the chain that was meant", "same function": "by the same function"}
    other = "by another, of train" if verdict.owner == "train" else "by another, unseen"
    return named.get(verdict.whose, "by none of the graph" if verdict.whose == "illegal" else other)


def plan(judged: Judged, r: int) -> str:
    verdict = judged.verdicts[r]
    good = verdict.whose in ("intended", "same function", "explains")
    return f"{'good' if good else 'bad'} plan, {'done' if verdict.valid else 'not done'}"


def both(judged: Judged, r: int) -> str:
    verdict = judged.verdicts[r]
    names = {(True, True): "valid, y", (True, False): "valid, not y", (False, True): "not valid, y"}
    return names.get((verdict.valid, verdict.answer), "neither")


@pytest.mark.parametrize(("name", "label"), [("whose", whose), ("planned", plan), ("crossed", both)])
def test_parts_are_those_of_plain_counting(judged: Judged, name: str, label: Callable[[Judged, int], str]) -> None:
    counts = Counter((judged.run.splits[judged.run.split[r]], label(judged, r)) for r in range(len(judged.read)))
    one = found(judged, name)
    assert {part for _, part in counts} <= set(one.header)
    for row in one.rows:
        assert sum(cell.count for cell in row[1:]) == row[1].of == 120
        for part, cell in zip(one.header[1:], row[1:], strict=True):
            assert cell.count == counts[row[0], part]


def test_the_score_is_that_of_plain_counting(judged: Judged) -> None:
    one = found(judged, "score")
    for row in one.rows:
        cells = dict(zip(one.header, row, strict=True))
        here = [
            v for v, split in zip(judged.verdicts, judged.run.split, strict=True) if judged.run.splits[split] == row[0]
        ]
        assert cells["rows"] == len(here) == 120
        for name in ("parsed", "valid", "answer", "exact"):
            assert cells[name].count == sum(getattr(verdict, name) for verdict in here)
        assert cells["right"].count == sum(map(right, here))


def test_first_errors_are_those_of_plain_counting(judged: Judged) -> None:
    counts = Counter(
        (name, judged.run.splits[split])
        for verdict, split in zip(judged.verdicts, judged.run.split, strict=True)
        if verdict.error
        for name in (verdict.error, CLASS_OF[verdict.error] + " class")
    )
    steps = Counter(step.kind for verdict in judged.verdicts for step in verdict.steps)
    one = found(judged, "kind")
    assert {row[0] for row in one.rows} == {kind for kind in KINDS[1:] if steps[kind] or kind in dict(counts)} | {
        kind for kind, _ in counts if kind in KINDS
    }
    for row in one.rows:
        cells = dict(zip(one.header, row, strict=True))
        assert cells["steps"] == steps[row[0]]
        assert [cells[split].count for split in judged.run.splits] == [counts[row[0], s] for s in judged.run.splits]
        assert cells["class"] == CLASS_OF[row[0]]
    one = found(judged, "class")
    assert [row[0] for row in one.rows] == [*CLASSES]
    for row in one.rows:
        assert [cell.count for cell in row[1:]] == [counts[f"{row[0]} class", split] for split in judged.run.splits]


def crosstab(one: Table) -> dict[tuple[str, str], int]:
    return {
        (row[0], name): count for row in one.rows for name, count in zip(one.header[1:], row[1:], strict=True) if count
    }


def test_transformations_are_confused_as_in_plain_counting(judged: Judged) -> None:
    heads, counts = judged.config.grammar.heads, Counter[Any]()
    for r, verdict in enumerate(judged.verdicts):
        for depth in range(judged.config.chain.max + 1):
            pair = []
            for each in (chain(judged, r), verdict.chain):
                head = each[depth] if depth < len(each) else "nothing"
                name = (split_head(head) or ("",))[0]
                other = name + ("*" if name in RECORDS and RECORDS[name].argument else "")
                known = head in (*heads, "nothing")
                pair.append(head if known else other if name in RECORDS else "unknown")
            if pair != ["nothing", "nothing"]:
                counts[tuple(pair)] += 1
    assert crosstab(found(judged, "confusion")) == counts
    assert sum(count for (meant, written), count in counts.items() if meant != written) > 5


def test_kinds_by_transformation_and_what_was_worked_instead(judged: Judged) -> None:
    first, other = Counter[Any](), Counter[Any]()
    for verdict in judged.verdicts:
        if verdict.error_head:
            name = (split_head(verdict.error_head) or ("",))[0]
            known = verdict.error_head in judged.config.grammar.heads
            if name in RECORDS:
                first[
                    verdict.error_head if known else name + ("*" if RECORDS[name].argument else ""), verdict.error
                ] += 1
        seen = {(step.depth, step.op, step.other) for step in verdict.steps if step.kind == "other transformation"}
        other.update((NAME[op], NAME[worked]) for _, op, worked in seen)
    assert crosstab(found(judged, "first")) == first
    assert other
    assert crosstab(found(judged, "executed")) == other


def test_what_follows_an_error(judged: Judged) -> None:
    counts = Counter(
        (step.after, judged.run.splits[split])
        for verdict, split in zip(judged.verdicts, judged.run.split, strict=True)
        for step in verdict.steps
        if step.after
    )
    one = found(judged, "after")
    for row in one.rows:
        assert [cell.count for cell in row[1:]] == [counts[row[0], split] for split in judged.run.splits]
    for i, split in enumerate(judged.run.splits):
        assert one.rows[0][1 + i].of == sum(counts[after, split] for after in AFTER[1:])


def test_survival_is_that_of_plain_counting(judged: Judged) -> None:
    one = found(judged, "survival")
    assert [row[0] for row in one.rows] == [*map(str, range(9 * judged.config.chain.max + 1)), "y"]
    for row in one.rows:
        for i, cell in enumerate(row[1:]):
            alive = 0
            for verdict, split in zip(judged.verdicts, judged.run.split, strict=True):
                if split != i:
                    continue
                if row[0] == "y":
                    alive += right(verdict)
                elif verdict.error_depth is None or verdict.error_step is None:
                    alive += 1
                else:
                    alive += verdict.error_depth * 9 + min(verdict.error_step, 8) >= int(row[0])
            assert (cell.count, cell.of) == (alive, 120)


def test_chains_one_by_one(judged: Judged) -> None:
    good, all_ = Counter[str](), Counter[str]()
    for r, verdict in enumerate(judged.verdicts):
        good[" ".join(chain(judged, r))] += right(verdict)
        all_[" ".join(chain(judged, r))] += 1
    rows = found(judged, "chains").rows
    assert {row[0]: (row[3].count, row[3].of) for row in rows} == {heads: (good[heads], all_[heads]) for heads in all_}
    assert [row[3].share for row in rows] == sorted(row[3].share for row in rows)
    owners = {" ".join(each.heads): judged.config.owners[i] for i, each in enumerate(judged.config.chains)}
    assert all(owners[row[0]] == row[1] and len(row[0].split()) == row[2] for row in rows)


def test_heat_maps_count_every_step_once(judged: Judged) -> None:
    config, heats = judged.config, statistics.heats(judged.run)
    [place] = heats["depth"]
    counts = Counter[Any]()
    planes: dict[str, Counter[Any]] = {}
    sources = Counter[Any]()
    for verdict in judged.verdicts:
        for step in verdict.steps:
            if not step.op:
                continue
            record = RECORDS[NAME[step.op]]
            if step.depth < config.chain.max:
                counts[not step.kind] += 1
            if "source" in record.roles and step.due_b >= 0 and step.step < 9:
                sources[step.step, step.due_b, not step.kind] += 1
            numeric = {"element", "previous result", "constant"} >= set(record.roles[:2])
            if numeric and min(step.a, step.b, step.expected) >= 0 and max(step.a, step.b) < config.k:
                head = verdict.chain[step.depth] if step.depth < len(verdict.chain) else ""
                planes.setdefault(head, Counter())[step.a, step.b, step.r == step.expected] += 1
    assert (place.right.sum(), place.of.sum()) == (counts[True], counts.total())
    [copies] = [heat for heat in heats["role"] if heat.title == "Copies right"]
    for i in range(9):
        for j in range(9):
            assert copies.right[i, j] == sources[i, j, True]
            assert copies.of[i, j] == sources[i, j, True] + sources[i, j, False]
    for heat in heats["role"]:
        if heat.title in planes:
            plane = planes.pop(heat.title)
            for a in range(config.k):
                for b in range(config.k):
                    assert heat.right[a, b] == plane[a, b, True]
                    assert heat.of[a, b] == plane[a, b, True] + plane[a, b, False]
    [strip] = [heat for heat in heats["role"] if heat.title == "Results right, of one number"]
    for head, right, of in zip(strip.labels[0], strip.right, strip.of, strict=True):
        plane = next(planes.pop(name) for name in list(planes) if name == head or name.startswith(head.rstrip("*")))
        roles = RECORDS[head.rstrip("0123456789*")].roles
        free = 1 if roles[0] == "constant" else 0 if roles[1] == "constant" else 1
        for value in range(config.k):
            here = {key: count for key, count in plane.items() if key[free] == value}
            assert of[value] == sum(here.values())
            assert right[value] == sum(count for key, count in here.items() if key[2])


# Loss


@pytest.mark.parametrize("overrides", [(), ("task=plan",), ("task=execute", "text=result"), ("task=direct",)])
def test_loss_is_that_of_the_tokens_one_by_one(overrides: tuple[str, ...]) -> None:
    from fastgen.engine import example
    from fastgen.text.tokens import IGNORED, tokens

    config = compose("n=1000", *overrides)
    random = np.random.default_rng(0)
    texts = table(config, "train", 0, 40)["completion"].to_pylist()
    loss = [random.random(len(text.split()) + i % 2) for i, text in enumerate(texts)]
    logprobs = [(-each).tolist() for each in loss]
    wrong = {3: None, 4: [-1.0], 5: [float("nan"), *logprobs[5][1:]], 7: [1.0, *logprobs[7][1:]]}
    for r, value in wrong.items():
        logprobs[r] = value
    texts[8], texts[9] = texts[8] + " 7", "sort"
    columns = {"split": ["train"] * 40, "index": [*range(40)], "prediction": texts, "token_logprobs": logprobs}
    run = of(config, columns).run
    by_role, by_depth, by_name = ({}, {}, {})
    for r in range(40):
        if r in (*wrong, 8, 9):
            continue
        each = example(config, "train", r)
        _, learnt, roles = tokens(each, config)
        roles = [role for label, role in zip(learnt, roles, strict=True) if label != IGNORED]
        depth = -len(each.chain) - 1 if overrides == ("task=plan",) else -1
        for role, nats in zip(roles, loss[r], strict=False):
            depth += role == "head"
            record = RECORDS[(split_head(each.chain[depth]) or ("",))[0]] if depth >= 0 else None
            if record and role in record.roles:
                by_name.setdefault(record.name, []).append(nats)
                role = number_roles(record)[2] if role == "result" else role
            if record and role not in ("punctuation", "answer", "end"):
                by_depth.setdefault(str(depth), []).append(nats)
            by_role.setdefault(role, []).append(nats)
    found = {each.name: each for each in statistics.tables(run)}
    assert "34 texts. 6 are left out" in found["loss_role"].note
    for name, values in (("loss_role", by_role), ("loss_depth", by_depth), ("loss_transformation", by_name)):
        rows = {row[0]: row[1] for row in found[name].rows} if name in found else {}
        assert rows.keys() == values.keys()
        for label, cell in rows.items():
            assert (cell.value, cell.of) == (pytest.approx(np.mean(values[label])), len(values[label]))
            assert cell.low <= cell.value <= cell.high


def test_logprobs_of_another_tokenizer_are_left_out_and_that_is_said() -> None:
    rows = table(CONFIG, "train", 0, 5)
    values = [[-1.0] * 7] * 5
    texts = {"prompt": rows["prompt"], "prediction": rows["completion"], "token_logprobs": values}
    [one] = [each for each in statistics.tables(of(CONFIG, texts).run) if each.name.startswith("loss")]
    assert "of 0 texts. 5 are left out" in one.note
    assert [isinstance(cell, Mean) and cell.of == 0 for cell in one.rows[0][1:]] == [True]


# Nothing and worse


def test_tables_of_no_row_and_of_garbage() -> None:
    nothing = {"split": ["nowhere"], "index": [0], "prediction": ["sort"]}
    assert all(isinstance(each, Table) for each in statistics.tables(of(CONFIG, nothing).run))
    statistics.heats(of(CONFIG, nothing).run)
    prompt = table(CONFIG, "train", 0, 1)["prompt"][0].as_py()
    texts = ["7 " * 50_000, "sort ; " * 20_000, "add99999 " * 3000, "sort " + "0 0 0 , " * 20_000]
    garbage = of(CONFIG, {"prompt": [prompt] * 4, "sample": [*range(4)], "prediction": texts}).run
    for each in statistics.tables(garbage):
        assert len(each.rows) < 200
        assert len(each.header) < 100
    assert all(heat.of.size <= 32 * 32 for heats in statistics.heats(garbage).values() for heat in heats)


def test_verdicts_know_which_rate_is_a_rate(judged: Judged) -> None:
    for one in statistics.tables(judged.run):
        for row in one.rows:
            assert all(isinstance(cell, str | int | float | Rate | Mean) for cell in row)
            assert all(cell.low <= cell.share <= cell.high for cell in row if isinstance(cell, Rate) and cell.of)
