"""What chance alone gives: of which kind an error would be if the wrong number were any other.

Of a wrong step one number is looked at, the first of a, b and r that is not the one due. By chance it would have been
any of the other numbers that this place can have, each equally likely: 0..k-1 for an element, a previous result, a
constant or a result, 0..length-1 for a position, a source or a count; what stands before it in the step is right. Its
kind then depends on

- the operands, for a result that is computed from them: `off by one`, `other operation` or `wrong result`, and never
  `no modulo`, which is no number below k;
- the vector, for a source that the order asks for: `unstable` if that element is equal, else `source`. The other
  elements are taken to be uniform;
- nothing else: any other position, constant, element, count or copy has the one kind there is for it.

Errors that are not in a number (`skipped`, `disobeyed`, `forced`, ...) have no such share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastgen.settings import Config
from fastgen.text.parse import LARGEST
from fastgen.transforms import RECORDS, Record, by_code
from fastgen.transforms.base import UNREDUCED
from fastgen.verdict.kinds import KINDS
from fastgen.verdict.reference import other_results

RESULTS = "off by one", "no modulo", "other operation", "wrong result"
"""What a wrong result can be."""

ALONE = "position", "argument", "operand", "copy", "count"
"""What a wrong number of its place always is."""


def expected(config: Config, steps: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, tuple[float, int]]:
    """Kind -> the share that chance gives, and of how many wrong steps: those in which it could have been seen.

    `steps` are arrays by name, one value per step, as `Verdicts.steps` (`run.steps._asdict()` of a report's run): of
    them `kind`, codes of KINDS, `op`, `a` and `b` are read. Right steps may be among them. Only kinds that could have
    been seen are returned; what was found of one is `numpy.count_nonzero(steps["kind"] == code)` of that many.

    >>> from fastgen.doors import compose
    >>> kinds = [KINDS.index("off by one"), KINDS.index("wrong result")]
    >>> sums = {"op": [1, 1], "a": [3, 3], "b": [3, 3], "kind": kinds}
    >>> expected(compose(), {name: np.array(values) for name, values in sums.items()})
    {'off by one': (0.2, 2), 'other operation': (0.3, 2), 'wrong result': (0.5, 2)}
    """
    wrong = np.flatnonzero(steps["kind"])
    kind = steps["kind"][wrong]
    counts = dict(zip(KINDS, np.bincount(kind, minlength=len(KINDS)).tolist(), strict=True))
    found = {name: (1.0, counts[name]) for name in ALONE}
    if of := counts["source"] + counts["unstable"]:
        found |= {"source": (1 - 1 / config.k, of), "unstable": (1 / config.k, of)}
    if set(config.grammar.step) == {"a", "b", "r"}:
        wrong = wrong[np.isin(kind, [KINDS.index(name) for name in RESULTS])]
        found |= _results(config, *(steps[name][wrong].astype(np.int64) for name in ("op", "a", "b")))
    else:
        found["wrong result"] = (1.0, counts["wrong result"])
    return {name: found[name] for name in KINDS if name in found and found[name][1]}


def of_result(record: Record, a: int, b: int, config: Config) -> dict[str, float]:
    """Kind -> its share of the other results that a step of these operands can have; kinds that it can have.

    >>> from fastgen.doors import compose
    >>> of_result(RECORDS["cumsum"], 2, 10, compose())
    {'off by one': 0.2, 'no modulo': 0.0, 'other operation': 0.3, 'wrong result': 0.5}
    """
    k, words = config.k, config.grammar.number_words
    if record.of_operands is None:
        return {"wrong result": 1.0}
    right, unreduced = record.of_operands(a, b, k), record.of_operands(a, b, UNREDUCED)
    near = {(right + 1) % k, (right - 1) % k} - {right}
    others = {value for value in other_results(a, b, k) if value < k} - near - {right}
    counts = {"off by one": len(near), "other operation": len(others), "wrong result": k - 1 - len(near | others)}
    shares = {kind: count / (k - 1) for kind, count in counts.items() if count}
    if k <= unreduced < (LARGEST if words is None else len(words)):
        shares["no modulo"] = 0.0
    return {kind: shares[kind] for kind in RESULTS if kind in shares}


def _results(config: Config, op: Any, a: Any, b: Any) -> dict[str, tuple[float, int]]:
    """`expected` of wrong results: `of_result` of every (op, a, b) that there is, as often as it is there."""
    keys, times = np.unique((op << 34) + (a << 17) + b, return_counts=True)
    records = by_code()
    total, of = dict.fromkeys(RESULTS, 0.0), dict.fromkeys(RESULTS, 0)
    for key, count in zip(keys.tolist(), times.tolist(), strict=True):
        record, low = records[key >> 34], (1 << 17) - 1
        for kind, share in of_result(record, key >> 17 & low, key & low, config).items():
            total[kind] += share * count
            of[kind] += count
    return {kind: (total[kind] / of[kind], of[kind]) for kind in RESULTS if of[kind]}


def copied_from_elsewhere(config: Config, steps: Mapping[str, np.ndarray[Any, Any]]) -> tuple[int, float, int]:
    """Wrong copies of an element that are another element of the vector: how many, the share by chance, of how many.

    `steps` as for `expected`, all of them, in their order: the vector is what the steps of the transformation should
    have copied. With n elements drawn uniformly the share by chance is 1 - (1 - 1/k)^(n - 1): 49 % at k=11, length 8.

    >>> from fastgen.doors import compose
    >>> reverse = {"op": [9] * 3, "step": [0, 1, 2], "r": [6, 2, 6], "expected": [6, 5, 6], "kind": [0, 7, 0]}
    >>> copied_from_elsewhere(compose("length=3"), {name: np.array(values) for name, values in reverse.items()})
    (0, 0.1, 1)
    """
    copying = [record.code for record in RECORDS.values() if "source" in record.roles]
    wrong = np.flatnonzero(steps["kind"] == KINDS.index("copy"))
    wrong = wrong[np.isin(steps["op"][wrong], copying)]
    if not wrong.size:
        return 0, 0.0, 0
    starts = np.append(np.flatnonzero(steps["step"] == 0), steps["step"].size)
    there, place = np.unique(np.searchsorted(starts, wrong, side="right") - 1, return_inverse=True)
    sizes = np.diff(starts)[there]
    inside = np.arange(sizes.sum()) + np.repeat(starts[there] - np.cumsum(sizes) + sizes, sizes)
    element, of = steps["expected"][inside], np.repeat(np.arange(there.size), sizes)
    known = element >= 0
    elements = np.unique(of[known] * LARGEST + element[known])
    distinct = np.bincount(elements // LARGEST, minlength=there.size)
    found = int(np.isin(place * LARGEST + steps["r"][wrong], elements).sum())
    return found, float((distinct[place] - 1).mean()) / (config.k - 1), wrong.size
