"""What many verdicts say: each statistic a function from the arrays of a run to a table.

Right means: every step follows, and the last vector is y. The steps of a text are judged against the state that the
text itself wrote, so that one slip does not count for all that follows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastgen.report.baselines import Solved
from fastgen.report.rates import Difference, Rate, Table, difference, pass_at, rate, rates
from fastgen.settings import Config
from fastgen.split import exposures

OUTSIDE = "outside"
"""The split of a row that does not say one."""


class Steps(NamedTuple):
    """Every step that was judged, as arrays; -1 is a number that is not there."""

    row: np.ndarray[Any, Any]
    """int32[step], ascending"""
    kind: np.ndarray[Any, Any]
    """uint8[step]: a place in `kinds` of the run; 0 is right"""
    after: np.ndarray[Any, Any]
    """uint8[step]: a place in AFTER"""
    head: np.ndarray[Any, Any]
    """int16[step]: a place in `heads` of the run"""
    depth: np.ndarray[Any, Any]
    """uint8[step]: of which transformation"""
    step: np.ndarray[Any, Any]
    """uint16[step]: which of it"""
    written: np.ndarray[Any, Any]
    """int32[step, field]: a, b, r as they were written"""
    expected: np.ndarray[Any, Any]
    """int32[step, field]: what would have been right there"""


AFTER = ("before", "first", "propagated", "restored", "new")
"""Where a step stands: before the first error of its row, at it, or behind it, and then how it goes on from there."""

WHOSE = ("none", "intended", "same function", "explains", "illegal")
"""What the chain of a text is: a chain of the graph that does not lead from x to y; the chain of the example; the same
function; another one that leads to y; no path of the graph."""


@dataclass(frozen=True)
class Run:
    """One set of predictions, judged."""

    name: str
    config: Config
    kinds: tuple[str, ...]
    classes: dict[str, str]
    """kind -> class"""
    heads: tuple[str, ...]
    splits: tuple[str, ...]
    split: np.ndarray[Any, Any]
    """int32[row]: a place in `splits`. These and the following are of the rows that were judged."""
    index: np.ndarray[Any, Any] | None
    sample: np.ndarray[Any, Any]
    prompt: np.ndarray[Any, Any]
    """int64[row]: equal where the example is the same"""
    chain: np.ndarray[Any, Any]
    """int32[row]: the chain that was meant, or else the one written; -1 where neither is known"""
    known: bool
    """Whether it is the chain that was meant"""
    length: np.ndarray[Any, Any]
    """int32[row]: of the vector"""
    parsed: np.ndarray[Any, Any]
    """bool[row]; so are `valid` (every step is right) and `answer` (the last vector is y)"""
    valid: np.ndarray[Any, Any]
    answer: np.ndarray[Any, Any]
    exact: np.ndarray[Any, Any]
    """int8[row]: 1 where the text is the intended trace, 0 where it is not, -1 where that is not known"""
    whose: np.ndarray[Any, Any]
    """uint8[row]: a place in WHOSE"""
    owner: np.ndarray[Any, Any]
    """int32[row]: the split of the chain written, a place in the config, or -1"""
    error: np.ndarray[Any, Any]
    """uint8[row]: the kind of the first error; so are `error_depth`, `error_step`, int32[row], and `error_head`"""
    error_depth: np.ndarray[Any, Any]
    error_step: np.ndarray[Any, Any]
    error_head: np.ndarray[Any, Any]
    steps: Steps
    solved: Solved | None

    @property
    def right(self) -> np.ndarray[Any, Any]:
        """bool[row]"""
        right: np.ndarray[Any, Any] = self.valid & self.answer
        return right

    @property
    def cluster(self) -> np.ndarray[Any, Any]:
        """int32[row]: the chain, and one more for rows without."""
        return np.where(self.chain < 0, len(self.config.chains), self.chain)

    @property
    def clusters(self) -> int:
        """How many there may be."""
        return len(self.config.chains) + 1

    def rates(self, right: Any, group: Any, groups: int, rows: Any = None) -> list[Rate]:
        """`rates.rates` over the chains; `rows: int[...]` are those that `right` and `group` are of, None all."""
        return rates(right, group, groups, self.cluster if rows is None else self.cluster[rows], self.clusters)

    def by_split(self, right: Any, rows: Any = None) -> list[Rate]:
        """The rate of each split."""
        return self.rates(right, self.split if rows is None else self.split[rows], len(self.splits), rows)


def tables(run: Run) -> list[Table]:
    """Every statistic that the run has the data for."""
    return [found for statistic in STATISTICS if (found := statistic(run)) is not None and found.rows]


# Rows


def headline(run: Run) -> Table:
    """How many texts are right, by split."""
    shown: dict[str, tuple[Any, Any]] = {
        "parsed": (run.parsed, None),
        "valid": (run.valid, None),
        "answer": (run.answer, None),
        "right": (run.right, None),
    }
    if (rows := np.flatnonzero(run.exact >= 0)).size:
        shown["exact"] = (run.exact[rows] == 1, rows)
    columns = [run.by_split(*values) for values in shown.values()]
    note = (
        "parsed: keeps to the grammar. valid: parsed, and every step follows. answer: the last vector is y. right: "
        "both. exact: the very trace that was meant, though others may be as good."
    )
    return Table("score", "Score", note, ("split", *shown), [*zip(run.splits, *columns, strict=True)])


def baselines(run: Run) -> Table | None:
    """What the score would be without a model."""
    if run.solved is None:
        return None
    found = run.solved
    names = ("a random chain", "the most frequent train chain", "any train chain", "ceiling of exact")
    values = (found.random, found.frequent, found.reuse, found.ceiling)
    rows = []
    for number, split in enumerate(run.splits):
        here = run.split[found.rows] == number
        if here.any():
            means = [float(value[here].mean()) for value in values]
            rows.append((split, rate(*_counted(run, run.right[found.rows[here]], found.rows[here])), *means))
    note = (
        f"On {found.rows.size:,} of the same rows. Worked without a slip: a chain drawn at random leads to y; so does "
        "the most frequent chain of train; so does some chain of train. ceiling: the best accuracy in naming the chain "
        "that was meant, of a model that knows how often its split draws each."
    )
    return Table("baselines", "Without a model", note, ("split", "right", *names), rows)


def _counted(run: Run, right: Any, rows: Any) -> tuple[Any, Any]:
    """Right ones and rows per chain."""
    cluster = run.cluster[rows]
    return np.bincount(cluster[right], minlength=run.clusters), np.bincount(cluster, minlength=run.clusters)


def crossed(run: Run) -> Table:
    """Whether steps and answer are right together."""
    cells = {
        "valid, y": run.valid & run.answer,
        "valid, not y": run.valid & ~run.answer,
        "not valid, y": ~run.valid & run.answer,
        "neither": ~run.valid & ~run.answer,
    }
    columns = [run.by_split(each) for each in cells.values()]
    note = "valid: every step follows. y: the last vector is the one asked for. It stands in the prompt, to be copied."
    return Table("crossed", "Steps and answer", note, ("split", *cells), [*zip(run.splits, *columns, strict=True)])


def planned(run: Run) -> Table:
    """Whether the chain that was named leads to y, and whether it was carried out."""
    leads = np.isin(run.whose, [WHOSE.index(name) for name in ("intended", "same function", "explains")])
    cells = {
        "good plan, done": leads & run.valid,
        "good plan, not done": leads & ~run.valid,
        "bad plan, done": ~leads & run.valid,
        "bad plan, not done": ~leads & ~run.valid,
    }
    columns = [run.by_split(each) for each in cells.values()]
    note = "A plan is good where the chain that the text names leads from x to y, and done where every step follows."
    return Table("planned", "Plan and execution", note, ("split", *cells), [*zip(run.splits, *columns, strict=True)])


def solved_by(run: Run) -> Table:
    """Whose chain it was by which y was reached."""
    train = run.owner == 0
    intended = run.whose == WHOSE.index("intended")
    illegal = run.whose == WHOSE.index("illegal")
    other = ~intended & ~illegal
    cells = {
        "by the chain that was meant": run.right & intended,
        f"by another, of {run.config.splits[0].name}": run.right & other & train,
        "by another, unseen": run.right & other & ~train,
        "by none of the graph": run.right & illegal,
    }
    columns = [run.by_split(each) for each in cells.values()]
    note = "Of all rows. Where it is not known which chain was meant, all count as another."
    return Table("whose", "Right, by whose chain", note, ("split", *cells), [*zip(run.splits, *columns, strict=True)])


def _per_split(
    run: Run,
    name: str,
    title: str,
    note: str,
    what: str,
    labels: Sequence[Any],
    value: Any,
    right: Any,
    rows: Any = None,
) -> Table:
    """Rates by a value: int[...], a place in `labels` or negative, one column per split; empty lines are left out."""
    split = run.split if rows is None else run.split[rows]
    width = len(run.splits)
    group = np.where(value < 0, -1, value.astype(np.int64) * width + split)
    found = run.rates(right, group, len(labels) * width, rows)
    lines = [(str(label), *found[i * width : (i + 1) * width]) for i, label in enumerate(labels)]
    kept = [line for line in lines if any(cell.of for cell in line[1:] if isinstance(cell, Rate))]
    return Table(name, title, note, (what, *run.splits), kept)


def by_chain_length(run: Run) -> Table:
    """Right rows by the number of transformations."""
    depths = np.array([*map(len, run.config.chains), -1])
    return _per_split(
        run,
        "chain_length",
        "Right, by length of the chain",
        _meant(run),
        "transformations",
        range(run.config.chain.max + 1),
        depths[run.chain],
        run.right,
    )


def _meant(run: Run) -> str:
    return "Of the chain that was meant." if run.known else "Of the chain that was written: none is known to be meant."


def by_vector_length(run: Run) -> Table | None:
    """Right rows by the number of elements."""
    lengths = np.unique(run.length)
    if lengths.size < 2:
        return None
    place = np.searchsorted(lengths, run.length)
    return _per_split(
        run, "vector_length", "Right, by length of the vector", "", "elements", lengths.tolist(), place, run.right
    )


def by_exposure(run: Run) -> Table | None:
    """Right rows by how much of the chain train shows."""
    if not run.known:
        return None
    longest = np.array([*(pair[0] for pair in exposures(run.config.splits[0], run.config.chains)), -1])
    depth = np.array([*map(len, run.config.chains), -1])
    missing = np.where(run.chain < 0, -1, (depth - longest)[run.chain])
    note = (
        "How many transformations of the chain lie outside its longest run of neighbours that stands in a train chain."
    )
    return _per_split(
        run, "exposure", "Right, by what train shows of the chain", note, "not shown", range(17), missing, run.right
    )


def by_solutions(run: Run) -> Table | None:
    """Right rows by how many chains explain them."""
    if run.solved is None:
        return None
    most = 8
    labels = ["0", *map(str, range(1, most)), f"{most} or more"]
    count = np.minimum(run.solved.solutions, most).astype(np.int64)
    note = f"How many chains of the graph lead from x to y, of {run.solved.rows.size:,} rows."
    rows = run.solved.rows
    return _per_split(
        run, "solutions", "Right, by chains that explain it", note, "chains", labels, count, run.right[rows], rows
    )


def by_chain(run: Run) -> Table:
    """Right rows of every chain, the worst first."""
    owner = {i: split.name for split in run.config.splits if split.of is None for i in split.chains}
    found = run.rates(run.right, run.chain, len(run.config.chains))
    rows = [
        (" ".join(chain.heads), owner.get(i, ""), len(chain), each)
        for i, (chain, each) in enumerate(zip(run.config.chains, found, strict=True))
        if each.of
    ]
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
    rows = []
    k = 1
    while k <= size.max():
        chance, cells = pass_at(k, right, size), []
        for number in range(len(run.splits)):
            here = (split == number) & (size >= k)
            cells.append(difference(np.zeros(here.sum()), chance[here], cluster[here], run.clusters))
        rows.append((f"pass@{k}", *cells))
        k *= 2
    note = "How likely one of so many generations of a prompt is right; of prompts that have as many. In %."
    return Table("pass", "Several generations", note, ("", *run.splits), rows)


# Steps


def by_transformation(run: Run) -> Table:
    """Right steps by head."""
    steps = run.steps
    names = [head.rstrip("0123456789") for head in run.heads]
    order = sorted(set(names))
    place = np.array([order.index(name) for name in names], np.int64)
    head = steps.head.astype(np.int64)
    value = np.where(head < 0, -1, place[head]) if place.size else head
    return _per_split(
        run, "transformation", "Steps right, by transformation", _OWN, "", order, value, steps.kind == 0, steps.row
    )


_OWN = "Each step is judged against the state that the text itself wrote before it."


def by_head(run: Run) -> Table | None:
    """Right steps by transformation with its argument, where one transformation has several."""
    names = [head.rstrip("0123456789") for head in run.heads]
    if len(set(names)) == len(names):
        return None
    steps = run.steps
    return _per_split(
        run,
        "argument",
        "Steps right, by argument",
        _OWN,
        "",
        run.heads,
        steps.head.astype(np.int64),
        steps.kind == 0,
        steps.row,
    )


def by_depth(run: Run) -> Table:
    """Right steps by depth in the chain."""
    steps = run.steps
    labels = range(int(steps.depth.max(initial=0)) + 1)
    return _per_split(
        run, "depth", "Steps right, by depth", _OWN, "depth", labels, steps.depth, steps.kind == 0, steps.row
    )


MOST_PLACES = 64
"""Positions that are told apart; those of longer vectors are counted with their neighbours."""


def by_position(run: Run) -> Table:
    """Right steps by place in the transformation."""
    steps = run.steps
    size = int(steps.step.max(initial=0)) + 1
    width = -(-size // MOST_PLACES)
    labels = [str(i) if width == 1 else f"{i}-{i + width - 1}" for i in range(0, size, width)]
    return _per_split(
        run,
        "position",
        "Steps right, by position",
        _OWN,
        "step",
        labels,
        steps.step // width,
        steps.kind == 0,
        steps.row,
    )


def by_role(run: Run) -> Table:
    """Numbers right, by the role that they have in their steps."""
    from fastgen.text.tokens import ROLES
    from fastgen.transforms import RECORDS

    steps, names = run.steps, [head.rstrip("0123456789") for head in run.heads]
    roles = np.array([[ROLES.index(role) for role in RECORDS[name].roles] for name in names] or [[0, 0, 0]])
    counts = np.zeros((2, len(ROLES) * len(run.splits), run.clusters), np.int64)
    known = np.flatnonzero(steps.head >= 0)
    base = run.split[steps.row[known]].astype(np.int64) * run.clusters + run.cluster[steps.row[known]]
    for field in range(3):
        shown = steps.expected[known, field] >= 0
        cell = roles[steps.head[known], field] * len(run.splits) * run.clusters + base
        good = steps.written[known, field] == steps.expected[known, field]
        counts[0] += np.bincount(cell[shown & good], minlength=counts[0].size).reshape(counts[0].shape)
        counts[1] += np.bincount(cell[shown], minlength=counts[1].size).reshape(counts[1].shape)
    found = [rate(*pair) for pair in zip(*counts, strict=True)]
    width = len(run.splits)
    rows = [(role, *found[i * width : (i + 1) * width]) for i, role in enumerate(ROLES)]
    note = "Most numbers of a text are copied. What is computed is the role result of arithmetic, and previous result."
    kept = [row for row in rows if any(cell.of for cell in row[1:] if isinstance(cell, Rate))]
    return Table("role", "Numbers right, by role", note, ("role", *run.splits), kept)


def by_kind(run: Run) -> Table:
    """Wrong steps by kind, with the share that chance would give."""
    steps = run.steps
    wrong = np.bincount(steps.kind, minlength=len(run.kinds))
    first = np.bincount(run.error, minlength=len(run.kinds))
    total = len(run.right)
    rows = []
    expected = expected_kinds(run)
    for i, kind in enumerate(run.kinds):
        if i and (wrong[i] or first[i]):
            chance, of = expected.get(kind, (math.nan, 0))
            found = int(wrong[i]) / of if of else math.nan
            firsts = rate(*_counted_first(run, run.error == i))
            rows.append((kind, run.classes.get(kind, ""), firsts, int(wrong[i]), found, chance, found - chance))
    rows.sort(key=lambda row: -row[2].count)
    header = ("kind", "class", "rows whose first error", "steps", "of its like", "by chance", "excess")
    note = (
        f"Of {total:,} rows. of its like: its share of the wrong steps in which it could have been seen; by chance: "
        "what that would be if their wrong numbers were uniform; excess: the difference."
    )
    return Table("kind", "Errors, by kind", note, header, rows)


def _counted_first(run: Run, first: Any) -> tuple[Any, Any]:
    return np.bincount(run.cluster[first], minlength=run.clusters), np.bincount(run.cluster, minlength=run.clusters)


def expected_kinds(run: Run) -> dict[str, tuple[float, int]]:
    """kind -> the share that uniformly wrong numbers would give, and of how many wrong steps."""
    return {}


def first_errors(run: Run) -> Table:
    """First errors by transformation and kind."""
    failed = (run.error > 0) & (run.error_head >= 0)
    there = np.unique(run.error[failed])
    cells = np.zeros((len(run.heads), len(run.kinds)), np.int64)
    np.add.at(cells, (run.error_head[failed], run.error[failed]), 1)
    rows = [(head, *cells[i, there].tolist()) for i, head in enumerate(run.heads) if cells[i].any()]
    header = ("", *(run.kinds[kind] for kind in there))
    return Table("first", "First errors, by transformation and kind", "Rows.", header, rows)


def after_error(run: Run) -> Table:
    """How it goes on after the first error."""
    steps = run.steps
    behind = np.flatnonzero(steps.after >= AFTER.index("propagated"))
    rows = []
    for place in range(AFTER.index("propagated"), len(AFTER)):
        rows.append((AFTER[place], *run.by_split(steps.after[behind] == place, steps.row[behind])))
    note = (
        "Steps after the first wrong one of their row. propagated: right for the state that the text wrote, and not "
        "what the true run has there; restored: what the true run has; new: wrong again."
    )
    return Table("after", "After the first error", note, ("", *run.splits), rows if behind.size else [])


def survival(run: Run) -> Table:
    """How many rows are without error up to each depth and step."""
    failed = run.error > 0
    width = int(run.length.max(initial=1))
    place = np.where(failed, np.maximum(run.error_depth, 0) * width + np.clip(run.error_step, 0, width - 1), -1)
    depth = int(run.error_depth.max(initial=0)) + 1
    stride = max(1, -(-depth * width // 256))
    rows = []
    for end in range(0, depth * width + 1, stride):
        rows.append((end, *run.by_split(~(failed & (place < end)))))
    note = f"The share of rows whose first error is not within so many steps, {width} to a transformation."
    return Table("survival", "Without error up to a step", note, ("steps", *run.splits), rows)


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


def operand_heats(run: Run) -> Iterator[Heat]:
    """For transformations that compute of two numbers: right results by the numbers that they were given."""
    from fastgen.transforms import RECORDS

    steps, k = run.steps, run.config.k
    size = min(k, MOST_VALUES)
    numbers = ("element", "previous result", "constant")
    shown = (steps.written >= 0).all(axis=1) & (steps.written[:, :2] < k).all(axis=1)
    for i, head in enumerate(run.heads):
        record = RECORDS[head.rstrip("0123456789")]
        if record.roles[0] not in numbers or record.roles[1] not in numbers:
            continue
        here = np.flatnonzero(shown & (steps.head == i))
        if not here.size:
            continue
        a, b = (steps.written[here, field] * size // k for field in (0, 1))
        good = steps.written[here, 2] == steps.expected[here, 2]
        of = np.bincount(a * size + b, minlength=size * size).reshape(size, size)
        right = np.bincount((a * size + b)[good], minlength=size * size).reshape(size, size)
        labels = tuple(str(-(-value * k // size)) for value in range(size))
        yield Heat(head, f"b ({record.roles[1]})", f"a ({record.roles[0]})", (labels, labels), right, of)


def place_heat(run: Run) -> Heat | None:
    """Right steps by transformation and depth."""
    steps = run.steps
    known = np.flatnonzero(steps.head >= 0)
    if not known.size:
        return None
    depths = int(steps.depth[known].max()) + 1
    cell = steps.head[known].astype(np.int64) * depths + steps.depth[known]
    shape = (len(run.heads), depths)
    of = np.bincount(cell, minlength=shape[0] * depths).reshape(shape)
    right = np.bincount(cell[steps.kind[known] == 0], minlength=shape[0] * depths).reshape(shape)
    there = of.sum(axis=1) > 0
    rows = tuple(head for head, any_ in zip(run.heads, there, strict=True) if any_)
    return Heat("Steps right", "depth", "", (rows, tuple(map(str, range(depths)))), right[there], of[there])


STATISTICS: tuple[Callable[[Run], Table | None], ...] = (
    *(headline, baselines, crossed, planned, solved_by),
    *(by_kind, first_errors, after_error, survival),
    *(by_transformation, by_head, by_depth, by_position, by_role),
    *(by_chain_length, by_vector_length, by_exposure, by_solutions, chances, by_chain),
)
"""In the order of the report."""


# Several runs


def compared(runs: Sequence[Run]) -> list[Table]:
    """Each run beside the first, on the examples that both have."""
    first, tables = runs[0], []
    rows = []
    for other in runs[1:]:
        a, b = paired(first, other)
        for number, split in enumerate(first.splits):
            here = first.split[a] == number
            pairs = (first.right[a[here]], other.right[b[here]], first.cluster[a[here]])
            better, worse = int((~pairs[0] & pairs[1]).sum()), int((pairs[0] & ~pairs[1]).sum())
            rows.append((other.name, split, difference(*pairs, first.clusters), better, worse))
    note = f"Right texts, in points, compared with {first.name} example by example; gained and lost are examples."
    header = ("run", "split", "difference", "gained", "lost")
    tables.append(Table("compared", f"Compared with {first.name}", note, header, rows))
    return tables


def paired(first: Run, other: Run) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of two runs with the same example and sample."""
    keys = []
    for run in (first, other):
        keys.append(run.prompt.astype(np.uint64) << np.uint64(20) ^ run.sample.astype(np.uint64))
    _, a, b = np.intersect1d(*keys, return_indices=True)
    return a, b


def curves(runs: Sequence[Run]) -> list[Table]:
    """What changes from run to run: score, transformations and roles."""
    found = []
    for statistic, column in ((headline, "right"), (by_transformation, None), (by_role, None)):
        tables = [statistic(run) for run in runs]
        labels = list(dict.fromkeys(row[0] for table in tables for row in table.rows))
        header = ("run", *labels)
        rows = []
        for run, table in zip(runs, tables, strict=True):
            cells = {row[0]: row[table.header.index(column) if column else _last(run, table)] for row in table.rows}
            rows.append((run.name, *(cells.get(label, Rate(0, 0, 0, 1)) for label in labels)))
        of = "" if column else f" of {runs[0].splits[-1]}"
        found.append(Table(f"curve_{tables[0].name}", f"{tables[0].title}{of}", tables[0].note, header, rows))
    return found


def _last(run: Run, table: Table) -> int:
    return len(table.header) - 1


__all__ = ["Difference", "Run", "Steps", "Table", "compared", "curves", "tables"]
