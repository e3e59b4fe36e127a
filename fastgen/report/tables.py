"""What many verdicts say: each statistic a function from a run to a table.

Right means: every step follows, and the last vector is y. The steps of a text are judged against the state that the
text itself wrote, so that one slip does not count for all that follows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastgen.overlap import mix_rows
from fastgen.report.loss import losses
from fastgen.report.rates import Rate, Table, difference, mean, pass_at, rate
from fastgen.report.runs import NOTHING, Run, name_of, number_roles
from fastgen.split import exposures
from fastgen.transforms import RECORDS
from fastgen.verdict.kinds import AFTER, CLASS_OF, CLASSES, KINDS, WHOSE
from fastgen.verdict.likely import copied_from_elsewhere, expected


def tables(run: Run) -> list[Table]:
    """Every statistic that the run has the data for."""
    found = [statistic(run) for statistic in STATISTICS]
    return [table for table in (*found, *losses(run)) if table is not None and table.rows]


# Rows

WORDS = (
    "parsed: it keeps to the grammar. valid: parsed, and every step follows from the state that the text itself wrote "
    "(without steps: parsed, and the answer right). answer: the last vector is y. right: valid, with the right answer. "
    "exact: the very text that was meant, though others may be as good."
)
"""What is said of a text; every other table means the same."""


def headline(run: Run) -> Table:
    """How many texts are right, by split."""
    shown: dict[str, Any] = {"parsed": run.parsed, "valid": run.valid, "answer": run.answer, "right": run.right}
    columns = [_all(run, good) for good in shown.values()]
    if (run.exact >= 0).any():
        shown["exact"] = run.exact
        columns.append(_all(run, run.exact == 1, np.flatnonzero(run.exact >= 0)))
    sizes = np.bincount(run.split, minlength=len(run.splits)).tolist()
    rows = [*zip(run.splits, sizes, *columns, strict=True)]
    return Table("score", "Score", WORDS, ("split", "rows", *shown), rows)


def baselines(run: Run) -> Table | None:
    """What the score would be without a model."""
    if run.solved is None:
        return None
    found = run.solved
    names = ("a random chain", "the most frequent train chain", "any train chain", "ceiling of exact")
    values = (found.random, found.frequent, found.by_train > 0, found.ceiling)
    right = _all(run, run.right[found.rows], found.rows)
    rows: list[tuple[Any, ...]] = []
    for number, split in enumerate(run.splits):
        here = run.split[found.rows] == number
        if here.any():
            cluster = run.cluster[found.rows[here]]
            rows.append((split, right[number], *(mean(value[here], cluster, run.clusters) for value in values)))
    train = run.config.splits[0].name
    note = (
        f"On {found.rows.size:,} of the same rows. Worked without a slip: a chain drawn at random from the graph leads "
        f"to y; so does the one that {train} draws most often; so does any that {train} draws. ceiling: the best "
        "accuracy in naming the chain that was meant, of a model that knows how often its split draws each."
    )
    return Table("baselines", "Without a model", note, ("split", "right", *names), rows)


def crossed(run: Run) -> Table:
    """Whether steps and answer are right together."""
    names = ("valid, y", "valid, not y", "not valid, y", "neither")
    part = 2 * ~run.valid + ~run.answer
    note = "y: the last vector is the one asked for, which stands in the prompt, where it can be copied."
    return _parts(run, "crossed", "Steps and answer", note, names, part)


def planned(run: Run) -> Table:
    """Whether the chain that was named leads to y, and whether it was carried out."""
    leads = np.isin(run.whose, [WHOSE.index(name) for name in ("intended", "same function", "explains")])
    names = ("good plan, done", "good plan, not done", "bad plan, done", "bad plan, not done")
    note = (
        "A plan is the chain that the text names. It is good where it is one of the graph that leads from x to y, and "
        "done where every step follows."
    )
    return _parts(run, "planned", "Plan and execution", note, names, 2 * ~leads + ~run.valid)


def solved_by(run: Run) -> Table:
    """Whose chain it was by which y was reached."""
    train = run.config.splits[0].name
    names = (
        *("by the chain that was meant", "by the same function", f"by another, of {train}"),
        *("by another, unseen", "by none of the graph", "not right"),
    )
    meant, same, illegal = (run.whose == WHOSE.index(name) for name in ("intended", "same function", "illegal"))
    part = np.select([~run.right, meant, same, illegal, run.owner == 0], [5, 0, 1, 4, 2], 3)
    note = f"unseen: {train} does not have that chain. Where it is not known which one was meant, all count as another."
    return _parts(run, "whose", "By whose chain", note, names, part)


def by_class(run: Run) -> Table:
    """First errors by class."""
    number = {name: i for i, name in enumerate(CLASSES)}
    place = np.array([len(CLASSES), *(number[CLASS_OF[kind]] for kind in KINDS[1:])])
    found = _shares(run.counts(place[run.error], len(CLASSES) + 1))
    note = (
        "Rows whose first error is of the class, of all rows. operand: control or retrieval, which can't be told apart."
    )
    return _table(run, "class", "First errors, by class", note, "class", CLASSES, found[:-1])


def by_kind(run: Run) -> Table:
    """Errors by kind, with the share that chance would give."""
    wrong = run.tally(lambda block: run.steps.kind[block].astype(np.int64), len(KINDS)).tolist()
    first = _shares(run.counts(run.error, len(KINDS)))
    chances = expected(run.config, run.steps._asdict())
    rows: list[tuple[Any, ...]] = []
    for kind, steps, rates in sorted(zip(KINDS, wrong, first, strict=True), key=lambda each: -_count(each[2])):
        if kind and (steps or _count(rates)):
            chance, of = chances.get(kind, (math.nan, 0))
            share = steps / of if of else math.nan
            rows.append((kind, CLASS_OF[kind], *rates, steps, share, chance, share - chance))
    note = (
        "By split: rows whose first error it is, of all rows. steps: all wrong ones of the kind. of its like: their "
        "share of the wrong steps in which it could have been seen; by chance: what that would be if the wrong numbers "
        "were uniform; excess: the difference."
    )
    found, chance, of = copied_from_elsewhere(run.config, run.steps._asdict())
    if of:
        note += f" Of {of:,} wrong copies of elements {found / of:.0%} are another element, and {chance:.0%} by chance."
    header = ("kind", "class", *run.splits, "steps", "of its like", "by chance", "excess")
    return Table("kind", "First errors, by kind", note, header, rows)


def first_errors(run: Run) -> Table:
    """First errors by transformation and kind."""
    failed = (run.error > 0) & (run.error_head >= 0)
    return _crosstab(
        *("first", "Kinds of first errors, by transformation", "Rows, of those whose first error is in it.", ""),
        *(run.heads, KINDS, run.error_head[failed], run.error[failed]),
    )


def confusion(run: Run) -> Table | None:
    """Which transformation was written where another was meant."""
    if not run.known:
        return None
    there = np.flatnonzero(run.intended >= 0)
    meant, written = run.chains[run.intended[there]], run.chains[run.written[there]]
    either = (meant != NOTHING) | (written != NOTHING)
    names = (*run.heads, "nothing", "unknown")  # -2 and -1 are the last two
    note = (
        "Transformations at the same depth of both chains. nothing: the chain is over. unknown: there is no such "
        "transformation. Another chain than the one that was meant may lead to y as well."
    )
    pair = meant[either] % len(names), written[either] % len(names)
    return _crosstab("confusion", "Written where another was meant", note, "meant", names, names, *pair)


def executed(run: Run) -> Table:
    """Which transformation was worked under the name of another."""
    steps = run.steps
    wrong = np.flatnonzero(steps.kind == KINDS.index("other transformation"))
    here = np.stack([steps.row[wrong], steps.depth[wrong]])
    wrong = wrong[np.append(True, (np.diff(here) != 0).any(axis=0))[: wrong.size]]
    note = "All steps are right for a transformation other than the one that is named."
    names = [*RECORDS]
    place = _places()
    pair = place[steps.op[wrong]], place[steps.other[wrong]]
    return _crosstab("executed", "Worked under another name", note, "named", names, names, *pair)


def after_error(run: Run) -> Table:
    """How it goes on after the first error."""
    counts = run.step_counts(lambda block: run.steps.after[block].astype(np.int64) - 1, len(AFTER) - 1)
    note = (
        "Steps after the first wrong one of their row. propagated: right for the state that the text wrote, and not "
        "what the true run has there; restored: what the true run has; new error: wrong again."
    )
    return _table(run, "after", "After the first error", note, "", AFTER[1:], _shares(counts))


def survival(run: Run) -> Table:
    """How many rows are without error up to each depth and step."""
    width, deepest = int(run.length.max(initial=1)), run.config.chain.max
    size = width * deepest
    edges = [*range(0, size, -(-size // 256)), size]
    place = run.error_depth.astype(np.int64) * width + np.clip(run.error_step, 0, width - 1)
    place = np.where(run.error_depth < 0, size, np.minimum(place, size))
    falls = np.cumsum(run.counts(np.searchsorted(edges, place, "right"), len(edges) + 1), axis=0)
    right = run.counts(run.right, 2)[1:]
    good = np.concatenate([falls[-1] - falls[:-1], right])
    note = (
        f"The share of rows whose first wrong step is not among the first so many, {width} to a transformation. At the "
        "end, y: the rows that are right."
    )
    rates = _rates(good, np.broadcast_to(falls[-1], good.shape))
    return _table(run, "survival", "Without error up to a step", note, "steps", [*edges, "y"], rates)


def by_chain_length(run: Run) -> Table:
    """Right rows by the number of transformations."""
    depths = np.array([*map(len, run.config.chains), -1])
    labels = range(run.config.chain.max + 1)
    title = "Right, by length of the chain"
    return _rows_by(run, "chain_length", title, _meant(run), "transformations", labels, depths[run.chain])


def _meant(run: Run) -> str:
    return "Of the chain that was meant." if run.known else "Of the chain that was written: none is known to be meant."


def by_vector_length(run: Run) -> Table | None:
    """Right rows by the number of elements."""
    lengths = np.unique(run.length)
    if lengths.size < 2:
        return None
    place = np.searchsorted(lengths, run.length)
    return _rows_by(run, "vector_length", "Right, by length of the vector", "", "elements", lengths.tolist(), place)


def by_exposure(run: Run) -> Table | None:
    """Right rows by how much of the chain train shows."""
    train = run.config.splits[0]
    longest = np.array([*(pair[0] for pair in exposures(train, run.config.chains)), -1])
    depth = np.array([*map(len, run.config.chains), -1])
    note = (
        "How many transformations of the chain lie outside the longest run of neighbours in it that stands in one of "
        f"{train.name} (length - longest_train_part). {_meant(run)}"
    )
    title = f"Right, by what {train.name} shows of the chain"
    place = np.where(run.chain < 0, -1, (depth - longest)[run.chain])
    return _rows_by(run, "exposure", title, note, "not shown", range(run.config.chain.max + 1), place)


def by_unseen_pairs(run: Run) -> Table | None:
    """Right rows by how many pairs of neighbours in the chain train does not show."""
    train = run.config.splits[0]
    pairs = np.array([*(pair[1] for pair in exposures(train, run.config.chains)), -1])
    note = f"Pairs of neighbours in the chain that stand in none of {train.name} (n_unseen_pairs). {_meant(run)}"
    place = np.where(run.chain < 0, -1, pairs[run.chain])
    return _rows_by(run, "unseen_pairs", "Right, by unseen pairs", note, "pairs", range(run.config.chain.max), place)


MOST_SOLUTIONS = 8


def by_solutions(run: Run) -> Table | None:
    """Right rows by how many chains explain them."""
    note = "How many chains of the graph lead from x to y (n_solutions)"
    return run.solved and _by_solutions(
        run, "solutions", "Right, by chains that explain it", note, run.solved.solutions
    )


def by_train_solutions(run: Run) -> Table | None:
    """Right rows by how many chains of train explain them."""
    train = run.config.splits[0].name
    title, note = (
        f"Right, by {train} chains that explain it",
        f"How many of {train} lead from x to y (n_train_solutions)",
    )
    return run.solved and _by_solutions(run, "train_solutions", title, note, run.solved.by_train)


def _by_solutions(run: Run, name: str, title: str, note: str, count: Any) -> Table:
    assert run.solved
    labels = [*map(str, range(MOST_SOLUTIONS)), f"{MOST_SOLUTIONS} or more"]
    note = f"{note}, of {run.solved.rows.size:,} rows."
    count = np.minimum(count, MOST_SOLUTIONS).astype(np.int64)
    return _rows_by(run, name, title, note, "chains", labels, count, run.solved.rows)


def by_chain(run: Run) -> Table:
    """Right rows of every chain, the worst first."""
    owner = np.array([run.config.owners.get(i, "") for i in range(len(run.config.chains))])
    counts = _halves(run.counts(run.right, 2).sum(axis=1))
    rows: list[tuple[Any, ...]] = []
    for i, chain in enumerate(run.config.chains):
        if counts[1][0][i]:
            found = rate(counts[0][0][i], counts[1][0][i])
            rows.append((" ".join(chain.heads), str(owner[i]), len(chain), found))
    rows.sort(key=lambda row: row[3].share)
    return Table("chains", "Right, by chain", _meant(run), ("chain", "split", "transformations", "right"), rows)


def chances(run: Run) -> Table | None:
    """How likely one of several generations is right."""
    order = np.argsort(run.prompt, kind="stable")
    _, first, size = np.unique(run.prompt[order], return_index=True, return_counts=True)
    if size.max(initial=0) < 2:
        return None
    right = np.add.reduceat(run.right[order].astype(np.int64), first)
    split, cluster = run.split[order[first]], run.cluster[order[first]]
    rows: list[tuple[Any, ...]] = []
    k = 1
    while k <= size.max():
        chance = pass_at(k, right, size)
        here = [(split == number) & (size >= k) for number in range(len(run.splits))]
        rows.append((f"pass@{k}", *(mean(chance[some], cluster[some], run.clusters) for some in here)))
        k *= 2
    note = "How likely one of so many generations of a prompt is right; of the prompts that have as many."
    return Table("pass", "Several generations", note, ("", *run.splits), rows)


# Steps

_OWN = "Each step is judged against the state that the text itself wrote before it."


def by_transformation(run: Run) -> Table:
    """Right steps by transformation."""
    place = _places()
    title = "Steps right, by transformation"
    return _steps_by(run, "transformation", title, _OWN, "", [*RECORDS], lambda block: place[run.steps.op[block]])


def by_head(run: Run) -> Table | None:
    """Right steps by transformation with its argument, where it has one."""
    argued = np.array([RECORDS[name_of(head)].argument is not None for head in run.heads] + [False])
    labels = [*run.heads, ""]
    note = f"{_OWN} add*: add with an argument that is not in the graph, or one that is not known."
    return _steps_by(
        *(run, "argument", "Steps right, by argument", note, "", labels),
        lambda block: np.where(argued[run.steps.head[block]], run.steps.head[block], -1),
    )


def by_depth(run: Run) -> Table:
    """Right steps by depth in the chain."""
    deepest = run.config.chain.max
    labels = [*range(deepest), "beyond"]
    return _steps_by(
        *(run, "depth", "Steps right, by depth", _OWN, "depth", labels),
        lambda block: np.minimum(run.steps.depth[block], deepest),
    )


MOST_PLACES = 64
"""Positions that are told apart; those of longer vectors are counted with their neighbours."""


def by_position(run: Run) -> Table:
    """Right steps by place in the transformation."""
    size = int(run.length.max(initial=1))
    width = -(-size // MOST_PLACES)
    labels = [str(i) if width == 1 else f"{i}-{i + width - 1}" for i in range(0, size, width)]
    return _steps_by(
        *(run, "position", "Steps right, by position", _OWN, "step", [*labels, "beyond"]),
        lambda block: np.minimum(run.steps.step[block] // width, len(labels)),
    )


def by_role(run: Run) -> Table:
    """Numbers right, by the role that they have in their steps."""
    roles = [number_roles(record) for record in RECORDS.values()]
    labels = [*dict.fromkeys(role for each in roles for role in each)]
    place = np.full((256, 3), -1, np.int64)
    for record, each in zip(RECORDS.values(), roles, strict=True):
        place[record.code] = [labels.index(role) for role in each]
    steps, counts = run.steps, np.zeros((2 * len(labels), len(run.splits), run.clusters), np.int64)
    for field, (written, due) in enumerate(((steps.a, steps.due_a), (steps.b, steps.due_b), (steps.r, steps.expected))):
        if "abr"[field] in run.config.grammar.step:
            counts += run.step_counts(_right_numbers(place[:, field], steps.op, written, due), 2 * len(labels))
    good, of = _halves(counts)
    shares = of.sum(axis=(1, 2)) / max(1, of.sum())
    found = zip(labels, shares.tolist(), _rates(good, of), strict=True)
    rows = [(role, share, *rates) for role, share, rates in found if share]
    note = (
        "A number is right if it is the one due there; a result, if it follows from the operands as they were written. "
        "What is copied, and positions and constants, are most of a text: they flatter."
    )
    return Table("role", "Numbers right, by role", note, ("role", "of all", *run.splits), rows)


def _right_numbers(place: Any, op: Any, written: Any, due: Any) -> Callable[[slice], Any]:
    def group(block: slice) -> Any:
        return np.where(due[block] < 0, -1, 2 * place[op[block]] + (written[block] == due[block]))

    return group


# Heat maps


class Heat(NamedTuple):
    """Rates in a plane."""

    title: str
    across: str
    down: str
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    """Of the rows, of the columns."""
    right: np.ndarray[Any, Any]
    """int64[row, column]"""
    of: np.ndarray[Any, Any]


MOST_VALUES = 32
"""Values of an operand that are told apart in a heat map."""


def heats(run: Run) -> dict[str, list[Heat]]:
    """Name of a table -> the heat maps that belong to it."""
    return {"depth": [*place_heat(run)], "role": [*operand_heats(run), *source_heat(run)]}


def place_heat(run: Run) -> Iterator[Heat]:
    """Right steps by transformation and depth."""
    steps, deepest = run.steps, run.config.chain.max

    def group(block: slice) -> Any:
        head, depth = steps.head[block].astype(np.int64), steps.depth[block]
        return np.where((head < 0) | (depth >= deepest), -1, 2 * (head * deepest + depth) + (steps.kind[block] == 0))

    right, of = _halves(run.tally(group, 2 * len(run.heads) * deepest))
    yield from _heat("Steps right", "depth", "", run.heads, range(deepest), right, of)


def operand_heats(run: Run) -> Iterator[Heat]:
    """Of what is computed: right results by the numbers that they were given.

    A plane for each transformation of two numbers; those of which one is constant, or both the same, in one for all.
    """
    if set(run.config.grammar.step) != {"a", "b", "r"}:
        return
    steps, k = run.steps, run.config.k
    size = min(k, MOST_VALUES)
    numbers = {"element", "previous result", "constant"}
    computed = np.array([numbers.issuperset(RECORDS[name_of(head)].roles[:2]) for head in run.heads] + [False])

    def group(block: slice) -> Any:
        head, a, b = steps.head[block].astype(np.int64), steps.a[block], steps.b[block]
        shown = computed[head] & (np.minimum(np.minimum(a, b), steps.expected[block]) >= 0) & (np.maximum(a, b) < k)
        place = (head * size + a.astype(np.int64) * size // k) * size + b.astype(np.int64) * size // k
        return np.where(shown, 2 * place + (steps.r[block] == steps.expected[block]), -1)

    right, of = (each.reshape(-1, size, size) for each in _halves(run.tally(group, 2 * len(run.heads) * size * size)))
    labels = [str(-(-value * k // size)) for value in range(size)]
    strips: list[tuple[str, Any, Any]] = []
    for head, good, all_ in zip(run.heads, right, of, strict=True):
        if not all_.any():
            continue
        roles = RECORDS[name_of(head)].roles
        if "constant" in roles or all_.trace() > 0.9 * all_.sum():
            axis = roles.index("constant") if "constant" in roles else 0
            strips.append((head, good.sum(axis=axis), all_.sum(axis=axis)))
        else:
            yield from _heat(head, f"b ({roles[1]})", f"a ({roles[0]})", labels, labels, good, all_)
    if strips:
        heads, goods, alls = zip(*strips, strict=True)
        yield from _heat("Results right, of one number", "element", "", heads, labels, np.array(goods), np.array(alls))


def source_heat(run: Run) -> Iterator[Heat]:
    """Of what is copied: right steps by their place and that of their source."""
    steps, longest = run.steps, int(run.length.max(initial=1))
    size = min(longest, MOST_VALUES)
    due = np.zeros(256, np.int64)
    due[[record.code for record in RECORDS.values() if "source" in record.roles]] = 1

    def group(block: slice) -> Any:
        source, step = steps.due_b[block], steps.step[block]
        shown = (due[steps.op[block]] > 0) & (source >= 0) & (source < longest) & (step < longest)
        place = step.astype(np.int64) * size // longest * size + source.astype(np.int64) * size // longest
        return np.where(shown, 2 * place + (steps.kind[block] == 0), -1)

    right, of = _halves(run.tally(group, 2 * size * size))
    labels = [str(-(-value * longest // size)) for value in range(size)]
    if all(RECORDS[name].roles[1] == "source" for name in RECORDS if "source" in RECORDS[name].roles):
        yield from _heat("Copies right", "source that is due", "position", labels, labels, right, of)


def _heat(title: str, across: str, down: str, rows: Any, columns: Any, right: Any, of: Any) -> Iterator[Heat]:
    """The heat map, without rows of which there is nothing; none where that is all."""
    right, of = (each.reshape(len(rows), len(columns)) for each in (right, of))
    there = of.any(axis=1)
    if there.any():
        labels = tuple(str(row) for row, any_ in zip(rows, there, strict=True) if any_), tuple(map(str, columns))
        yield Heat(title, across, down, labels, right[there], of[there])


# What tables are made of


def _places() -> np.ndarray[Any, Any]:
    """int64[op]: the place of a transformation in RECORDS, or -1."""
    place = np.full(256, -1, np.int64)
    place[[record.code for record in RECORDS.values()]] = range(len(RECORDS))
    return place


def _count(rates: Iterable[Rate]) -> int:
    return sum(each.count for each in rates)


def _halves(counts: Any) -> tuple[Any, Any]:
    """Right ones and all, of counts of 2 * group + right."""
    wrong, right = np.moveaxis(counts.reshape(-1, 2, *counts.shape[1:]), 1, 0)
    return right, right + wrong


def _rates(good: Any, of: Any) -> list[list[Rate]]:
    """By group and split, of int64[group, split, cluster]."""
    return [[rate(*pair) for pair in zip(*each, strict=True)] for each in zip(good, of, strict=True)]


def _shares(counts: Any) -> list[list[Rate]]:
    """Each group's share of all groups."""
    return _rates(counts, np.broadcast_to(counts.sum(axis=0), counts.shape))


def _all(run: Run, right: Any, rows: Any = None) -> list[Rate]:
    """The rate of each split."""
    return _rates(*_halves(run.counts(right, 2, rows)))[0]


def _table(
    run: Run, name: str, title: str, note: str, what: str, labels: Sequence[Any], found: Sequence[Sequence[Rate]]
) -> Table:
    """A line for each label with a column for each split; those of which there is nothing are left out."""
    lines = zip(labels, found, strict=True)
    kept = [(str(label), *rates) for label, rates in lines if any(each.of for each in rates)]
    return Table(name, title, note, (what, *run.splits), kept)


def _parts(run: Run, name: str, title: str, note: str, names: Sequence[str], part: Any) -> Table:
    """What share of each split's rows falls to each part: int[row], a place in `names`."""
    columns = _shares(run.counts(part, len(names)))
    return Table(name, title, note, ("split", *names), [*zip(run.splits, *columns, strict=True)])


def _rows_by(
    run: Run, name: str, title: str, note: str, what: str, labels: Sequence[Any], value: Any, rows: Any = None
) -> Table:
    """Right rows by a value: int[row], a place in `labels`, or negative."""
    right = run.right if rows is None else run.right[rows]
    counts = run.counts(np.where(value < 0, -1, 2 * value + right), 2 * len(labels), rows)
    return _table(run, name, title, note, what, labels, _rates(*_halves(counts)))


def _steps_by(
    run: Run, name: str, title: str, note: str, what: str, labels: Sequence[Any], value: Callable[[slice], Any]
) -> Table:
    """Right steps by a value of theirs: that of a slice of steps, int[step], a place in `labels`, or negative."""

    def group(block: slice) -> Any:
        place = value(block).astype(np.int64)
        return np.where(place < 0, -1, 2 * place + (run.steps.kind[block] == 0))

    counts = run.step_counts(group, 2 * len(labels))
    return _table(run, name, title, note, what, labels, _rates(*_halves(counts)))


def _crosstab(
    name: str, title: str, note: str, what: str, rows: Sequence[str], columns: Sequence[str], row: Any, column: Any
) -> Table:
    """How often a place in `rows` meets one in `columns`; lines and columns of nothing are left out."""
    cells = np.bincount(row.astype(np.int64) * len(columns) + column, minlength=len(rows) * len(columns))
    cells = cells.reshape(len(rows), len(columns))
    there = np.flatnonzero(cells.any(axis=0))
    lines = [(rows[i], *line) for i, line in enumerate(cells[:, there].tolist()) if any(line)]
    return Table(name, title, note, (what, *(columns[i] for i in there.tolist())), lines)


STATISTICS: tuple[Callable[[Run], Table | None], ...] = (
    *(headline, baselines, crossed, planned, solved_by, chances),
    *(by_class, by_kind, first_errors, survival, after_error),
    *(by_transformation, by_head, by_depth, by_position, by_role, confusion, executed),
    *(by_chain_length, by_vector_length, by_exposure, by_unseen_pairs, by_solutions, by_train_solutions, by_chain),
)
"""In the order of the report."""


# Several runs


def compared(runs: Sequence[Run]) -> list[Table]:
    """Each run beside the first, on the examples that both have."""
    first = runs[0]
    rows: list[tuple[Any, ...]] = []
    for other in runs[1:]:
        a, b = paired(first, other)
        for number, split in enumerate(first.splits):
            here = first.split[a] == number
            pairs = (first.right[a[here]], other.right[b[here]], first.cluster[a[here]])
            better, worse = int((~pairs[0] & pairs[1]).sum()), int((pairs[0] & ~pairs[1]).sum())
            rows.append((other.name, split, int(here.sum()), difference(*pairs, first.clusters), better, worse))
    note = f"Right texts, in points, compared with {first.name} example by example; gained and lost are examples."
    header = ("run", "split", "examples", "difference", "gained", "lost")
    return [Table("compared", f"Compared with {first.name}", note, header, rows)]


def paired(first: Run, other: Run) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of two runs with the same example and sample."""
    keys, others = (run.sample.astype(np.uint64) for run in (first, other))
    mix_rows(keys, first.prompt)
    mix_rows(others, other.prompt)
    _, a, b = np.intersect1d(keys, others, return_indices=True)
    return a, b


def curves(runs: Sequence[Run]) -> list[Table]:
    """What changes from run to run, by split: the score, transformations and roles."""
    splits = list(dict.fromkeys(split for run in runs for split in run.splits))
    none = Rate(0, 0, 0.0, 1.0)
    scores = [(run.name, dict(zip(run.splits, _all(run, run.right), strict=True))) for run in runs]
    rows = [(name, *(found.get(split, none) for split in splits)) for name, found in scores]
    found = [Table("curve_score", "Right, by run", "", ("run", *splits), rows)]
    for statistic, what in ((by_transformation, "transformation"), (by_role, "role")):
        lines: dict[str, list[tuple[Any, ...]]] = {}
        for run in runs:
            table = statistic(run)
            for row in table.rows:
                cells = dict(zip(table.header, row, strict=True))
                lines.setdefault(row[0], []).append((row[0], run.name, *(cells.get(each, none) for each in splits)))
        rows = [line for each in lines.values() for line in each]
        found.append(Table(f"curve_{what}", f"{table.title}, by run", table.note, (what, "run", *splits), rows))
    return found
